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
