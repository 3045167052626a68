"""Step 19: the queues into which a team sorts reports, and who looks after which."""

QUEUES = """
-- Where reports of a kind wait for a labeler's team. `subject_types`, `collection` (of records), `report_types`: what
-- comes here of itself, JSON arrays; none: nothing does. `policies`: keys of the setting `policyList` that are advised,
-- a JSON array. `deleted_at`: since when it is there no more; reports that were closed in it still name it. Times and
-- people as in `setting`. A number is never used again.
CREATE TABLE report_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    labeler INTEGER NOT NULL,
    name TEXT NOT NULL,
    subject_types TEXT NOT NULL DEFAULT '[]',
    collection TEXT NOT NULL DEFAULT '',
    report_types TEXT NOT NULL DEFAULT '[]',
    policies TEXT NOT NULL DEFAULT '[]',
    description TEXT NOT NULL DEFAULT '',
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    at INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE UNIQUE INDEX report_queue_live ON report_queue (labeler, name) WHERE deleted_at IS NULL;

-- Who of a labeler's team looks after which queue, and did. `by`, `ended_by`: who said so (DIDs). `ended_at` NULL: they
-- still do.
CREATE TABLE queue_assignment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    labeler INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    did TEXT NOT NULL,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    ended_at INTEGER,
    ended_by TEXT NOT NULL DEFAULT '',
    CHECK ((ended_at IS NULL) = (ended_by = ''))
) STRICT;
CREATE UNIQUE INDEX queue_assignment_active ON queue_assignment (queue, did) WHERE ended_at IS NULL;
CREATE INDEX queue_assignment_now ON queue_assignment (labeler, id) WHERE ended_at IS NULL;
CREATE INDEX queue_assignment_all ON queue_assignment (labeler, id);

-- What was closed in a queue of late is counted again and again.
CREATE INDEX report_case_closed ON report_case (queue, closed_at, at) WHERE state = 'closed';
"""
