"""Steps 10 and later: what readers report, and what becomes of it."""

REPORTS = """
-- What readers tell moderators of an account or a record. `reporter` and `did` (whose it is) are DIDs; `uri`: of the
-- record, empty for an account; `cid`: the version that was seen. `times`: how often the same reporter said the same of
-- it, `last_at`: when last. `tool`: the name of the program that sent it.
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
    tool TEXT NOT NULL DEFAULT '',
    times INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX report_subject ON report (did, uri, at);
CREATE INDEX report_said ON report (reporter, did, uri, reason_type);
CREATE INDEX report_reporter ON report (reporter, at);
CREATE INDEX report_last_at ON report (last_at);

-- Posts that were reported to a community and are shown until its moderators decide. `at`: since when they wait for
-- that; `reports`: how many reports; `reason_type`: of the first.
CREATE TABLE flag (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    community INTEGER NOT NULL,
    post INTEGER NOT NULL,
    at INTEGER NOT NULL,
    reports INTEGER NOT NULL DEFAULT 1,
    reason_type TEXT NOT NULL,
    UNIQUE (community, post)
) STRICT;
CREATE INDEX flag_queue ON flag (community, at, id);
CREATE INDEX flag_post ON flag (post);
CREATE TRIGGER post_unflagged AFTER DELETE ON post BEGIN
    DELETE FROM flag WHERE post = old.id;
END;
"""
