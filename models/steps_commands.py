"""Step 22: what moderators have commanded by posts."""

COMMANDS = """
-- A post that commands something to a community. `uri`, `cid`, `actor`: the post, its version, its author's DID;
-- `text`: what stands behind the mention; `target`, `target_cid`: the post that is meant, empty: none. `at`: when it
-- was noted, microseconds. `state`: 'unproven' (its author's host is to be asked first), 'waiting', 'done', 'refused';
-- `outcome`: what became of it, for its author; `fault`: by what name it was refused; `decision`: its number in the
-- log.
CREATE TABLE command (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uri TEXT NOT NULL,
    cid TEXT NOT NULL,
    community INTEGER NOT NULL,
    actor TEXT NOT NULL,
    text TEXT NOT NULL,
    target TEXT NOT NULL DEFAULT '',
    target_cid TEXT NOT NULL DEFAULT '',
    at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('unproven', 'waiting', 'done', 'refused')),
    fault TEXT NOT NULL DEFAULT '',
    outcome TEXT NOT NULL DEFAULT '',
    decision INTEGER,
    done_at INTEGER,
    UNIQUE (uri, cid, community),
    CHECK ((done_at IS NULL) = (state IN ('unproven', 'waiting')))
) STRICT;
CREATE INDEX command_open ON command (state, id) WHERE state IN ('unproven', 'waiting');
CREATE INDEX command_actor ON command (actor, id);
CREATE INDEX command_at ON command (at);
"""
