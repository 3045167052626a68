"""Steps 10 and later: what readers report, and what becomes of it."""

REPORTS = """
-- What readers tell moderators of an account or a record. `reporter` and `did` (whose it is) are DIDs; `uri`: of the
-- record, empty for an account; `cid`: the version that was seen. `convo` and `message`: of a conversation, or of a
-- message in it. `times`: how often the same reporter said the same of it, `last_at`: when last. `tool`: the name of
-- the program that sent it, `tool_meta`: what that says of itself (JSON). `labeler`: the DID of the labeler to which it
-- was sent; empty: to the service itself. `host`: the domain of the reporter's PDS. `evidence`: the snapshot of what
-- was reported.
CREATE TABLE report (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    reporter TEXT NOT NULL,
    reason_type TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    did TEXT NOT NULL,
    uri TEXT NOT NULL DEFAULT '',
    cid TEXT NOT NULL DEFAULT '',
    convo TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    labeler TEXT NOT NULL DEFAULT '',
    host TEXT NOT NULL DEFAULT '',
    tool TEXT NOT NULL DEFAULT '',
    tool_meta TEXT NOT NULL DEFAULT '',
    times INTEGER NOT NULL DEFAULT 1,
    evidence INTEGER
) STRICT;
CREATE INDEX report_at ON report (at);
CREATE INDEX report_subject ON report (did, uri, at);
CREATE INDEX report_said ON report (reporter, did, uri, reason_type);
CREATE INDEX report_reporter ON report (reporter, at);
CREATE INDEX report_host ON report (host, at);
CREATE INDEX report_last_at ON report (last_at);
CREATE INDEX report_evidence ON report (evidence) WHERE evidence IS NOT NULL;

-- Whom a report reaches: the moderators of a community, or those of the site (`community` 0).
CREATE TABLE report_route (
    report INTEGER NOT NULL,
    community INTEGER NOT NULL,
    PRIMARY KEY (report, community)
) STRICT, WITHOUT ROWID;
CREATE INDEX report_route_community ON report_route (community, report);

-- What authors say against what was decided about them, a row for each community (0: the site) whose decision it is.
-- `report`: with which it came; `did`, `uri`: of its subject. `decision`: the number in the community's log, and
-- `label_event`: what labelled it, each 0 if there is none; who decided stands there, and may not decide this.
CREATE TABLE appeal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    report INTEGER NOT NULL,
    community INTEGER NOT NULL,
    labeler TEXT NOT NULL DEFAULT '',
    did TEXT NOT NULL,
    uri TEXT NOT NULL DEFAULT '',
    decision INTEGER NOT NULL DEFAULT 0,
    label_event INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'granted', 'denied'))
) STRICT;
CREATE UNIQUE INDEX appeal_open ON appeal (did, uri, labeler, community) WHERE state = 'open';
CREATE INDEX appeal_community ON appeal (community, state, at);
CREATE INDEX appeal_report ON appeal (report);

-- What was reported, as it was then: the bytes of the record and their `cid` (text), empty for none; `handle`: what the
-- account's DID document called it; `parent`, `parent_text`: what a post answers. One row a version, for all reports of
-- it. `due_at`: when something of it is to be fetched that is not here, NULL: nothing is; `fault`: why it was not to be
-- had. It goes with the last report of it.
CREATE TABLE evidence (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    did TEXT NOT NULL,
    uri TEXT NOT NULL,
    cid TEXT NOT NULL DEFAULT '',
    record BLOB,
    handle TEXT NOT NULL DEFAULT '',
    parent TEXT NOT NULL DEFAULT '',
    parent_text TEXT NOT NULL DEFAULT '',
    due_at INTEGER,
    tries INTEGER NOT NULL DEFAULT 0,
    fault TEXT NOT NULL DEFAULT '',
    UNIQUE (uri, cid)
) STRICT;
CREATE INDEX evidence_due ON evidence (due_at) WHERE due_at IS NOT NULL;

CREATE TRIGGER report_gone AFTER DELETE ON report BEGIN
    DELETE FROM report_route WHERE report = old.id;
    DELETE FROM appeal WHERE report = old.id;
    DELETE FROM evidence WHERE id = old.evidence AND NOT EXISTS (SELECT 1 FROM report WHERE evidence = old.evidence);
END;

-- Posts that were reported to a community and are shown until its moderators decide. `at`: since when they wait for
-- that; `reports`: how many have reported it; `reason_type`: as what the first did. `brigade`: 1 if very many of those
-- who report it within an hour are strangers here, or come from one host: a hint, and nothing follows from it.
CREATE TABLE flag (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    community INTEGER NOT NULL,
    post INTEGER NOT NULL,
    at INTEGER NOT NULL,
    reports INTEGER NOT NULL DEFAULT 1,
    reason_type TEXT NOT NULL,
    brigade INTEGER NOT NULL DEFAULT 0,
    UNIQUE (community, post)
) STRICT;
CREATE INDEX flag_queue ON flag (community, at, id);
CREATE INDEX flag_post ON flag (post);
CREATE TRIGGER post_unflagged AFTER DELETE ON post BEGIN
    DELETE FROM flag WHERE post = old.id;
END;
"""
