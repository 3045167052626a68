"""Steps 16 and later: what the moderation API (`tools.ozone.*`) keeps."""

TEAM = """
-- Who moderates for a labeler, besides those whom the settings of the service name. `labeler`: its number. `role`:
-- 4 admin, 3 moderator, 2 triage, 1 verifier. `at`: since when, `changed_at`: when `changed_by` (a DID) last said so.
CREATE TABLE team_member (
    labeler INTEGER NOT NULL,
    did TEXT NOT NULL,
    role INTEGER NOT NULL CHECK (role BETWEEN 1 AND 4),
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (labeler, did)
) STRICT, WITHOUT ROWID;

-- What moderators' clients have set up for a labeler. `owner`: whose it is (a DID), empty: the whole team's. `key`: an
-- NSID, `value`: a JSON object. `manager`: the role that may change it, as in `team_member`; 0: its owner alone.
CREATE TABLE setting (
    labeler INTEGER NOT NULL,
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    manager INTEGER NOT NULL DEFAULT 0 CHECK (manager BETWEEN 0 AND 4),
    at INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (labeler, owner, key),
    CHECK ((owner = '') = (manager > 0))
) STRICT, WITHOUT ROWID;

-- Whether somebody owns a community is asked at every call of the moderation API.
CREATE INDEX community_owner ON community (owner) WHERE owner IS NOT NULL;
"""

SETS = """
-- Texts that a team sends again and again. `content`: markdown; `lang`: empty if none was said. Times and people as in
-- `setting`. A number is never used again: clients keep it.
CREATE TABLE template (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    labeler INTEGER NOT NULL,
    name TEXT NOT NULL,
    subject TEXT NOT NULL,
    content TEXT NOT NULL,
    lang TEXT NOT NULL DEFAULT '',
    disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),
    at INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    UNIQUE (labeler, name)
) STRICT;

-- Sets of texts of a labeler. `size`: how many values it has; `last`: the highest number that one of them ever had.
-- Times and people as in `setting`. A number is never used again: cursors name it.
CREATE TABLE value_set (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    labeler INTEGER NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    size INTEGER NOT NULL DEFAULT 0 CHECK (size >= 0),
    last INTEGER NOT NULL DEFAULT 0 CHECK (last >= size),
    at INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    UNIQUE (labeler, name)
) STRICT;

-- What is in a set, in the order in which it came.
CREATE TABLE set_value (
    value_set INTEGER NOT NULL,
    number INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (value_set, number),
    UNIQUE (value_set, value)
) STRICT, WITHOUT ROWID;
"""
