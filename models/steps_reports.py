"""Step 20: what moderators do with reports, and who works on which."""

REPORT_WORK = """
-- What lists of reports are filtered by. `reason_type`: of the report. `about`: the collection of a record, or else
-- `account`, `conversation` or `message`. `assignee`: the DID of who works on it, or has closed it; empty: nobody.
ALTER TABLE report_case ADD COLUMN reason_type TEXT NOT NULL DEFAULT '';
ALTER TABLE report_case ADD COLUMN about TEXT NOT NULL DEFAULT '';
ALTER TABLE report_case ADD COLUMN assignee TEXT NOT NULL DEFAULT '';
UPDATE report_case SET reason_type = r.reason_type, about = CASE
        WHEN r.message != '' THEN 'message' WHEN r.convo != '' THEN 'conversation' WHEN r.uri = '' THEN 'account'
        ELSE substr(r.uri, length(r.did) + 7, instr(substr(r.uri, length(r.did) + 7), '/') - 1) END
    FROM report r WHERE r.id = report_case.report;

-- Lists are read by scope, or (`scope > 0`) of all communities together.
DROP INDEX report_case_state;
DROP INDEX report_case_state_changed;
CREATE INDEX report_case_everywhere ON report_case (state, at, id) WHERE scope > 0;
CREATE INDEX report_case_everywhere_changed ON report_case (state, changed_at, id) WHERE scope > 0;
CREATE INDEX report_case_queue_changed ON report_case (queue, state, changed_at, id) WHERE queue >= 0;
CREATE INDEX report_case_muted ON report_case (state, at, id) WHERE muted = 1;
CREATE INDEX report_case_assignee ON report_case (assignee, state, at, id) WHERE assignee != '';
CREATE INDEX report_case_waiting ON report_case (subject, scope) WHERE state != 'closed';
CREATE INDEX report_case_pending ON report_case (scope, queue, reason_type, assignee)
    WHERE state != 'closed' AND muted = 0;
CREATE INDEX report_case_inbound ON report_case (scope, at, queue, reason_type) WHERE muted = 0;
CREATE INDEX report_case_inbound_everywhere ON report_case (at, queue, reason_type) WHERE muted = 0 AND scope > 0;

-- What was done with a report in a scope (`report_case`: its number). `type`: as `tools.ozone.report.defs` names it;
-- `previous`: its state before; `actor`: a DID, `rule:NAME`, `cli` or `router` (what sorts reports into queues);
-- `public_note`: may be told to the reporter; `meta`: JSON. Times rise with the numbers.
CREATE TABLE report_activity (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    report_case INTEGER NOT NULL,
    type TEXT NOT NULL,
    previous TEXT NOT NULL,
    actor TEXT NOT NULL,
    automated INTEGER NOT NULL DEFAULT 0 CHECK (automated IN (0, 1)),
    internal_note TEXT NOT NULL DEFAULT '',
    public_note TEXT NOT NULL DEFAULT '',
    meta TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX report_activity_case ON report_activity (report_case, id);
CREATE INDEX report_activity_type ON report_activity (scope, type, at);
CREATE INDEX report_activity_everywhere ON report_activity (type, at) WHERE scope > 0;
CREATE INDEX report_activity_actor ON report_activity (actor, type, at);
CREATE TRIGGER report_activity_fixed BEFORE UPDATE ON report_activity BEGIN
    SELECT RAISE(ABORT, 'activities are never changed');
END;
CREATE TRIGGER report_activity_stays BEFORE DELETE ON report_activity
    WHEN EXISTS (SELECT 1 FROM report_case WHERE id = old.report_case) BEGIN
    SELECT RAISE(ABORT, 'activities are never deleted');
END;

-- Who works on a report in a scope. `permanent` 1: until it is closed or given back (`until` NULL: it is neither yet);
-- 0: somebody is just looking at it, and `until` is in a few minutes. `queue`: by which queue it came to them, -1:
-- none.
CREATE TABLE report_assignment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    report_case INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    did TEXT NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER,
    permanent INTEGER NOT NULL CHECK (permanent IN (0, 1)),
    queue INTEGER NOT NULL DEFAULT -1,
    made_by TEXT NOT NULL,
    CHECK (permanent OR until IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX report_assignment_one ON report_assignment (report_case) WHERE until IS NULL;
CREATE UNIQUE INDEX report_assignment_look ON report_assignment (report_case, did) WHERE permanent = 0;
CREATE INDEX report_assignment_case ON report_assignment (report_case, id);
CREATE INDEX report_assignment_until ON report_assignment (until) WHERE until IS NOT NULL;
CREATE INDEX report_assignment_held ON report_assignment (scope, id) WHERE until IS NULL;
CREATE INDEX report_assignment_held_everywhere ON report_assignment (id) WHERE until IS NULL AND scope > 0;
CREATE INDEX report_assignment_scope ON report_assignment (scope, id);
CREATE INDEX report_assignment_everywhere ON report_assignment (id) WHERE scope > 0;
CREATE INDEX report_assignment_did ON report_assignment (did, id);
CREATE INDEX report_assignment_did_held ON report_assignment (did, id) WHERE until IS NULL;
CREATE INDEX report_assignment_began ON report_assignment (did, at) WHERE permanent = 1;

CREATE TRIGGER report_work_gone AFTER DELETE ON report_case BEGIN
    DELETE FROM report_activity WHERE report_case = old.id;
    DELETE FROM report_assignment WHERE report_case = old.id;
END;
"""
