"""Step 24: what moderators forward to other labelers."""

FORWARD = """
-- A subject (its number) that somebody of a scope wants reported to another labeler (`recipient`, a DID). `asked_by`:
-- who; `comment`: their own words; `reason_type`, `cid`: what is reported, and which version. Times are microseconds.
-- `state`: 'waiting', 'sent', 'failed', 'withdrawn'. `tries`: how often it was sent or should have been; `next_at`:
-- when that is done again; `fault`: what the last try came to; `remote`: the number that the labeler has given it.
CREATE TABLE forward (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    scope INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    comment TEXT NOT NULL DEFAULT '',
    reason_type TEXT NOT NULL,
    cid TEXT NOT NULL DEFAULT '',
    at INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'failed', 'withdrawn')),
    tries INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    fault TEXT NOT NULL DEFAULT '',
    remote INTEGER,
    done_at INTEGER,
    UNIQUE (scope, subject, recipient),
    CHECK ((done_at IS NULL) = (state = 'waiting'))
) STRICT;
CREATE INDEX forward_waiting ON forward (next_at, id) WHERE state = 'waiting';
CREATE INDEX forward_done ON forward (state, done_at) WHERE state != 'waiting';
"""
