"""The step that brings automatic labels: posts to hold against rules, what rules did, and what other labelers say."""

LABEL_RULES = """
-- There is a row while rules are declared. Without one, nothing is noted of posts.
CREATE TABLE label_watch (one INTEGER PRIMARY KEY CHECK (one = 1)) STRICT;

-- Posts that are to be held against the rules. `times`: rises with each reason to do it, so that none is lost which
-- comes meanwhile. `waits`: the account whose age has to be known first; empty: for nothing.
CREATE TABLE label_due (
    post INTEGER PRIMARY KEY,
    times INTEGER NOT NULL DEFAULT 1,
    waits TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX label_due_waits ON label_due (waits) WHERE waits != '';
CREATE TRIGGER post_due AFTER INSERT ON post WHEN EXISTS (SELECT 1 FROM label_watch) BEGIN
    INSERT INTO label_due (post) VALUES (new.id) ON CONFLICT (post) DO UPDATE SET times = times + 1, waits = '';
END;
CREATE TRIGGER post_due_again AFTER UPDATE OF cid ON post
    WHEN new.cid != old.cid AND EXISTS (SELECT 1 FROM label_watch) BEGIN
    INSERT INTO label_due (post) VALUES (new.id) ON CONFLICT (post) DO UPDATE SET times = times + 1, waits = '';
END;

-- What each rule did on a day (days since 1970, UTC). `matched`: posts that it fits; `labelled`: labels that it issued;
-- `over`: those it did not issue because it had issued as many as it may.
CREATE TABLE label_rule_day (
    rule TEXT NOT NULL,
    day INTEGER NOT NULL,
    matched INTEGER NOT NULL DEFAULT 0,
    labelled INTEGER NOT NULL DEFAULT 0,
    over INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (rule, day)
) STRICT, WITHOUT ROWID;

-- The last ones that a rule fits, for people to look at. `at`: microseconds.
CREATE TABLE label_rule_sample (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule TEXT NOT NULL,
    at INTEGER NOT NULL,
    uri TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT;
CREATE INDEX label_rule_sample_rule ON label_rule_sample (rule, id);

-- When accounts came to be, by their directory (microseconds). NULL: not known; it is asked for at `due_at`, unless
-- that is 0: nobody can say.
CREATE TABLE account_age (
    did TEXT PRIMARY KEY,
    created_at INTEGER,
    due_at INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
CREATE INDEX account_age_due ON account_age (due_at) WHERE created_at IS NULL AND due_at > 0;

-- Other labelers that are read. `cursor`: the `seq` up to which their stream was; `state`, `report` (JSON): for people.
CREATE TABLE label_input (
    did TEXT PRIMARY KEY,
    cursor INTEGER,
    at INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT '',
    report TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;

-- The newest that they say of posts and accounts that are known here, negations too. `cts` and `exp`: milliseconds.
CREATE TABLE foreign_label (
    src TEXT NOT NULL,
    uri TEXT NOT NULL,
    cid TEXT NOT NULL,
    val TEXT NOT NULL,
    neg INTEGER NOT NULL CHECK (neg IN (0, 1)),
    cts INTEGER NOT NULL,
    exp INTEGER,
    PRIMARY KEY (src, uri, cid, val)
) STRICT, WITHOUT ROWID;
CREATE INDEX foreign_label_uri ON foreign_label (uri);
CREATE INDEX foreign_label_exp ON foreign_label (exp) WHERE exp IS NOT NULL AND neg = 0;

-- What was done here because of such a label, so that it can be undone. `act`: hide, queue or adopt; `number`: of the
-- decision in the community's log, or of the event; 0 for none.
CREATE TABLE foreign_act (
    src TEXT NOT NULL,
    uri TEXT NOT NULL,
    val TEXT NOT NULL,
    act TEXT NOT NULL CHECK (act IN ('hide', 'queue', 'adopt')),
    community INTEGER NOT NULL,
    subject TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (src, uri, val, act, community, subject)
) STRICT, WITHOUT ROWID;
"""
