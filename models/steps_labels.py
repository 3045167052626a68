"""The steps that bring labels: who issues them, why, what is to be published, and what was."""

LABELS = """
-- Accounts that label, each with keys of its own.
CREATE TABLE labeler (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    did TEXT NOT NULL UNIQUE
) STRICT;

-- Keys with which a labeler signs or has signed. `public`: as a did:key. `secret`: sealed (labeler/signing_key.py);
-- NULL: it comes from the environment, or is forgotten. One is active at a time; `new`: not in the DID document yet;
-- `held`: it was active, and signs nothing while its successor is brought into the document.
CREATE TABLE label_key (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    labeler INTEGER NOT NULL,
    public TEXT NOT NULL,
    secret BLOB,
    state TEXT NOT NULL CHECK (state IN ('new', 'active', 'held', 'retired')),
    at INTEGER NOT NULL,
    UNIQUE (labeler, public)
) STRICT;
CREATE UNIQUE INDEX label_key_active ON label_key (labeler) WHERE state = 'active';

-- Why labels came or went: appended to, and never changed. `actor`: a DID, or `rule:NAME` of an automatic rule, or
-- `cli`. `community`: for which; 0: for the whole site. `batch`: what was done together. `undoes`: the number of the
-- event that this one takes back. Times are microseconds, but `exp`, of what was added, is milliseconds.
CREATE TABLE label_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    labeler INTEGER NOT NULL,
    community INTEGER NOT NULL DEFAULT 0,
    actor TEXT NOT NULL,
    role TEXT NOT NULL,
    uri TEXT NOT NULL,
    cid TEXT NOT NULL DEFAULT '',
    added TEXT NOT NULL DEFAULT '',
    removed TEXT NOT NULL DEFAULT '',
    exp INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    rule TEXT NOT NULL DEFAULT '',
    batch TEXT NOT NULL DEFAULT '',
    undoes INTEGER
) STRICT;
CREATE INDEX label_event_uri ON label_event (uri, id);
CREATE INDEX label_event_actor ON label_event (actor, id);
CREATE INDEX label_event_rule ON label_event (rule, id) WHERE rule != '';
CREATE INDEX label_event_batch ON label_event (batch, id) WHERE batch != '';
CREATE INDEX label_event_community ON label_event (community, id) WHERE community != 0;
CREATE TRIGGER label_event_update BEFORE UPDATE ON label_event
    BEGIN SELECT raise(ABORT, 'a label event is never changed'); END;
CREATE TRIGGER label_event_delete BEFORE DELETE ON label_event
    BEGIN SELECT raise(ABORT, 'a label event is never deleted'); END;
CREATE TRIGGER label_event_replace BEFORE INSERT ON label_event
    WHEN EXISTS (SELECT 1 FROM label_event WHERE id = NEW.id)
    BEGIN SELECT raise(ABORT, 'a label event is never replaced'); END;

-- Labels that are to be signed and published, written in the transaction of what decided them; the publisher takes them
-- away. `cid` is empty for none; `cts` and `exp` are milliseconds. `priority`: the smallest goes first, then the
-- smallest number. What is said anew of the same takes the place of what waits, under a new number.
CREATE TABLE label_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    labeler INTEGER NOT NULL,
    uri TEXT NOT NULL,
    cid TEXT NOT NULL DEFAULT '',
    val TEXT NOT NULL,
    neg INTEGER NOT NULL CHECK (neg IN (0, 1)),
    cts INTEGER NOT NULL,
    exp INTEGER,
    priority INTEGER NOT NULL,
    event INTEGER NOT NULL,
    UNIQUE (labeler, uri, cid, val)
) STRICT;
CREATE INDEX label_outbox_order ON label_outbox (labeler, priority, id);
CREATE INDEX label_outbox_expiry ON label_outbox (exp) WHERE exp IS NOT NULL AND neg = 0;

-- What was published, the newest of each subject, version and value. `did`: whose subject it is. `signed`: the whole
-- label as it is sent (CBOR). A `seq` is never used again; the next one stands in `label_head`.
CREATE TABLE label (
    seq INTEGER PRIMARY KEY,
    labeler INTEGER NOT NULL,
    did TEXT NOT NULL,
    uri TEXT NOT NULL,
    cid TEXT NOT NULL DEFAULT '',
    val TEXT NOT NULL,
    neg INTEGER NOT NULL CHECK (neg IN (0, 1)),
    cts INTEGER NOT NULL,
    exp INTEGER,
    label_key INTEGER NOT NULL,
    event INTEGER NOT NULL,
    signed BLOB NOT NULL,
    UNIQUE (labeler, uri, cid, val)
) STRICT;
-- With the subject, so that labels are looked through without being read.
CREATE INDEX label_stream ON label (labeler, seq, uri);
-- Subjects that begin alike, in the order of `seq` by thousands: what queryLabels walks (labeler/query.py).
CREATE INDEX label_block ON label (labeler, seq >> 12, uri);
CREATE INDEX label_expiry ON label (exp) WHERE exp IS NOT NULL AND neg = 0;
CREATE INDEX label_signed_by ON label (label_key, seq);

-- The next `seq`, and who may give it out: the publisher that took the last turn.
CREATE TABLE label_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    next INTEGER NOT NULL CHECK (next > 0),
    turn INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO label_head (one, next) VALUES (1, 1);

-- How many labels were published in each minute of the last day (minutes since 1970).
CREATE TABLE label_sent (
    labeler INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (labeler, minute)
) STRICT, WITHOUT ROWID;
"""

SUBJECTS = """
-- First by the end of the subject, which of a post is its key. Keys rise with time: what is labelled now stands
-- together, and few pages of the index are written for many labels.
DROP INDEX label_event_uri;
CREATE INDEX label_event_subject ON label_event (substr(uri, -13), uri, id);
-- It cost a third of an event. `PRAGMA recursive_triggers`, which is on in all connections (models/database.py), lets
-- the trigger of what is deleted see what is replaced.
DROP TRIGGER label_event_replace;
"""
