"""Step 17: what moderators do, as events, and how every subject stands because of them."""

CASES = """
-- What moderators' events are about: an account (`path` and `convo` are empty), a record of it (`path`:
-- COLLECTION/RKEY), or a conversation that it is in.
CREATE TABLE subject (
    id INTEGER PRIMARY KEY,
    did TEXT NOT NULL,
    path TEXT NOT NULL DEFAULT '',
    convo TEXT NOT NULL DEFAULT '',
    UNIQUE (did, path, convo)
) STRICT;

-- Whatever moderators, reporters and rules have done. `scope`: whose matter it is, the number of a community; 0: of
-- the service; below 0: of the labeler with that number. `type`: as `tools.ozone.moderation.defs` names it. `actor`: a
-- DID, `rule:NAME` or `cli`; `role`: as what it acted. `cid`, `blobs` (by space): of the subject, as seen. `said`: what
-- else the event says (JSON). `tool`, `tool_meta` (JSON), `batch`: what program did it; `external`: its own name for
-- it. `until`: when what it does ends, NULL: never. `decision`: the number in the log of the community, `label_event`:
-- what it labelled, `undoes`: the event that it reverses. Times rise with the numbers.
CREATE TABLE mod_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    type TEXT NOT NULL,
    actor TEXT NOT NULL,
    role TEXT NOT NULL DEFAULT '',
    cid TEXT NOT NULL DEFAULT '',
    blobs TEXT NOT NULL DEFAULT '',
    comment TEXT NOT NULL DEFAULT '',
    said TEXT NOT NULL DEFAULT '{}',
    tool TEXT NOT NULL DEFAULT '',
    tool_meta TEXT NOT NULL DEFAULT '',
    batch TEXT NOT NULL DEFAULT '',
    external TEXT NOT NULL DEFAULT '',
    until INTEGER,
    decision INTEGER,
    label_event INTEGER,
    undoes INTEGER
) STRICT;
CREATE INDEX mod_event_at ON mod_event (at);
CREATE INDEX mod_event_scope ON mod_event (scope, at);
CREATE INDEX mod_event_scope_type ON mod_event (scope, type, at);
CREATE INDEX mod_event_type ON mod_event (type, at);
-- Within a scope each of these is in the order of time, so who sees few scopes reads no row of another.
CREATE INDEX mod_event_subject ON mod_event (subject, scope, at);
CREATE INDEX mod_event_actor ON mod_event (actor, scope, at);
CREATE INDEX mod_event_batch ON mod_event (batch, scope, at) WHERE batch != '';
CREATE UNIQUE INDEX mod_event_external ON mod_event (external, subject, type, scope) WHERE external != '';
CREATE TRIGGER mod_event_fixed BEFORE UPDATE ON mod_event BEGIN
    SELECT RAISE(ABORT, 'events of moderation are never changed');
END;

-- What events are found by: `kind` is `+label`, `-label`, `+tag`, `-tag`, `policy` or `report` (the reason's type).
CREATE TABLE mod_event_value (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    event INTEGER NOT NULL,
    PRIMARY KEY (kind, value, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX mod_event_value_event ON mod_event_value (event);

-- How a subject stands in a scope because of all its events there. `state`: 0 none, 1 open, 2 escalated, 3 closed.
-- `appealed` NULL: never, 1: nobody has decided, 0: somebody has. `tags`: a JSON array, by name. The numbers at the end
-- count its events. Times are NULL when there is none.
CREATE TABLE subject_status (
    id INTEGER PRIMARY KEY,
    scope INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
    at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    cid TEXT NOT NULL DEFAULT '',
    blobs TEXT NOT NULL DEFAULT '',
    comment TEXT NOT NULL DEFAULT '',
    priority INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN 0 AND 100),
    mute_until INTEGER,
    mute_reporting_until INTEGER,
    reviewed_by TEXT NOT NULL DEFAULT '',
    reviewed_at INTEGER,
    reported_at INTEGER,
    appealed_at INTEGER,
    appealed INTEGER CHECK (appealed IN (0, 1)),
    takendown INTEGER NOT NULL DEFAULT 0 CHECK (takendown IN (0, 1)),
    suspend_until INTEGER,
    tags TEXT NOT NULL DEFAULT '[]',
    hosting TEXT NOT NULL DEFAULT '',
    hosting_changed_at INTEGER,
    hosting_deleted_at INTEGER,
    hosting_deactivated_at INTEGER,
    hosting_reactivated_at INTEGER,
    reports INTEGER NOT NULL DEFAULT 0,
    appeals INTEGER NOT NULL DEFAULT 0,
    suspensions INTEGER NOT NULL DEFAULT 0,
    escalations INTEGER NOT NULL DEFAULT 0,
    takedowns INTEGER NOT NULL DEFAULT 0,
    UNIQUE (scope, subject)
) STRICT;
CREATE INDEX subject_status_subject ON subject_status (subject, scope);
CREATE INDEX subject_status_state ON subject_status (state);
CREATE INDEX subject_status_reported ON subject_status (state, reported_at, id);
CREATE INDEX subject_status_reviewed ON subject_status (state, reviewed_at, id);
CREATE INDEX subject_status_priority ON subject_status (state, priority, id);
CREATE INDEX subject_status_scope_state ON subject_status (scope, state);
CREATE INDEX subject_status_scope_reported ON subject_status (scope, state, reported_at, id);
CREATE INDEX subject_status_scope_reviewed ON subject_status (scope, state, reviewed_at, id);
CREATE INDEX subject_status_scope_priority ON subject_status (scope, state, priority, id);
CREATE INDEX subject_status_muted ON subject_status (mute_until) WHERE mute_until IS NOT NULL;
CREATE INDEX subject_status_muted_reporter ON subject_status (mute_reporting_until)
    WHERE mute_reporting_until IS NOT NULL;
CREATE INDEX subject_status_suspended ON subject_status (suspend_until) WHERE suspend_until IS NOT NULL;
CREATE INDEX subject_status_appealed ON subject_status (appealed, scope) WHERE appealed IS NOT NULL;
CREATE INDEX subject_status_takendown ON subject_status (scope) WHERE takendown = 1;

-- The tags of a subject in a scope again, to be found by. `until`: when the tag goes of itself, NULL: never.
CREATE TABLE subject_tag (
    tag TEXT NOT NULL,
    scope INTEGER NOT NULL,
    status INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (tag, scope, status)
) STRICT, WITHOUT ROWID;
CREATE INDEX subject_tag_status ON subject_tag (status);
CREATE INDEX subject_tag_until ON subject_tag (until) WHERE until IS NOT NULL;

-- What an account's records make together in a scope: sums over their rows of `subject_status`. `reports`: how often
-- they were reported; the others count records: that were reported, escalated, appealed; all; that wait; that are taken
-- down.
CREATE TABLE account_records (
    scope INTEGER NOT NULL,
    did TEXT NOT NULL,
    reports INTEGER NOT NULL DEFAULT 0,
    reported INTEGER NOT NULL DEFAULT 0,
    escalated INTEGER NOT NULL DEFAULT 0,
    appealed INTEGER NOT NULL DEFAULT 0,
    subjects INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    takendown INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, did)
) STRICT, WITHOUT ROWID;
CREATE INDEX account_records_reported ON account_records (reported, did);
CREATE INDEX account_records_takendown ON account_records (takendown, did);
CREATE INDEX account_records_scope_reported ON account_records (scope, reported, did);
CREATE INDEX account_records_scope_takendown ON account_records (scope, takendown, did);

-- Strikes against an account, by the event that gave (or, below 0, took) them. `until` NULL: they never end.
CREATE TABLE strike (
    event INTEGER PRIMARY KEY,
    scope INTEGER NOT NULL,
    did TEXT NOT NULL,
    at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    until INTEGER
) STRICT;
CREATE INDEX strike_account ON strike (did, scope);

-- A report as moderators work on it, in each scope that it reaches. `id`: of the event by which it came there; that of
-- the first scope is also the number of the report. `state`: open, queued, assigned, escalated or closed. `queue`: its
-- queue, -1: none. `muted`: 1 if the reporter was muted there. `note`: what reporters are told; `actions`: the events
-- that closed or escalated it (JSON).
CREATE TABLE report_case (
    id INTEGER PRIMARY KEY,
    report INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'queued', 'assigned', 'escalated', 'closed')),
    queue INTEGER NOT NULL DEFAULT -1,
    queued_at INTEGER,
    closed_at INTEGER,
    muted INTEGER NOT NULL DEFAULT 0 CHECK (muted IN (0, 1)),
    note TEXT NOT NULL DEFAULT '',
    actions TEXT NOT NULL DEFAULT '[]',
    UNIQUE (report, scope)
) STRICT;
CREATE INDEX report_case_at ON report_case (scope, state, at, id);
CREATE INDEX report_case_changed ON report_case (scope, state, changed_at, id);
CREATE INDEX report_case_state ON report_case (state, at, id);
CREATE INDEX report_case_state_changed ON report_case (state, changed_at, id);
CREATE INDEX report_case_queue ON report_case (queue, state, at, id);
CREATE INDEX report_case_subject ON report_case (subject, scope);

-- Reports that are here already. The first scope of each keeps its number. What was decided since is done.
INSERT INTO subject (did, path, convo)
    SELECT DISTINCT did, replace(uri, 'at://' || did || '/', ''), convo FROM report ORDER BY id;
CREATE TEMP TABLE reached AS
    SELECT r.id AS report, r.at, r.last_at, r.reporter, r.reason_type, r.reason, r.cid, r.tool, r.tool_meta,
        r.reason_type LIKE '%#reasonAppeal' AS appeal,
        EXISTS (SELECT 1 FROM decided d JOIN actor a ON a.id = d.actor WHERE d.community = t.community
            AND a.did = r.did AND d.rkey = replace(r.uri, 'at://' || r.did || '/app.bsky.feed.post/', '')
            AND d.at >= r.last_at) AS done,
        iif(t.community, t.community, -coalesce((SELECT l.id FROM labeler l WHERE l.did = r.labeler), 0)) AS scope,
        (SELECT s.id FROM subject s WHERE s.did = r.did AND s.path = replace(r.uri, 'at://' || r.did || '/', '')
            AND s.convo = r.convo) AS subject,
        row_number() OVER (PARTITION BY r.id ORDER BY t.community != 0, t.community) AS nth
    FROM report r JOIN report_route t ON t.report = r.id;
CREATE TEMP TABLE numbered AS
    SELECT report AS id, r.* FROM reached r WHERE nth = 1
    UNION ALL
    SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'report') + row_number() OVER (ORDER BY report, nth), r.*
    FROM reached r WHERE nth > 1;
INSERT INTO mod_event (id, at, scope, subject, type, actor, cid, comment, said, tool, tool_meta)
    SELECT id, at, scope, subject, 'modEventReport', reporter, cid, reason, json_object('reportType', reason_type),
        tool, tool_meta
    FROM numbered ORDER BY id;
DELETE FROM sqlite_sequence WHERE name = 'mod_event';
INSERT INTO sqlite_sequence (name, seq)
    SELECT 'mod_event', max((SELECT coalesce(max(id), 0) FROM mod_event),
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'report'), 0));
INSERT INTO mod_event_value (kind, value, event) SELECT 'report', reason_type, id FROM numbered;
INSERT INTO report_case (id, report, scope, subject, at, changed_at, state)
    SELECT id, report, scope, subject, at, last_at,
        CASE WHEN appeal THEN 'escalated' WHEN done THEN 'closed' ELSE 'open' END
    FROM numbered;
INSERT INTO subject_status (scope, subject, state, at, changed_at, cid, reported_at, appealed, appealed_at,
        reports, appeals, escalations)
    SELECT scope, subject, CASE WHEN max(appeal) THEN 2 WHEN min(done) THEN 3 ELSE 1 END, min(at),
        max(last_at),
        coalesce((SELECT cid FROM numbered m WHERE m.scope = n.scope AND m.subject = n.subject
            ORDER BY id DESC LIMIT 1), ''), max(last_at), iif(max(appeal), 1, NULL), max(iif(appeal, last_at, NULL)),
        sum(NOT appeal), sum(appeal), sum(appeal)
    FROM numbered n GROUP BY scope, subject;
-- What communities have removed, and whom they have banned, is taken down there: by the decision that made it so.
INSERT INTO subject (did, path)
    SELECT a.did, 'app.bsky.feed.post/' || d.rkey FROM decided d JOIN actor a ON a.id = d.actor
    WHERE d.verdict = 'removed' ON CONFLICT DO NOTHING;
INSERT INTO subject (did)
    SELECT a.did FROM membership m JOIN actor a ON a.id = m.actor WHERE m.status = 'banned' ON CONFLICT DO NOTHING;
CREATE TEMP TABLE down AS
    SELECT d.community AS scope, s.id AS subject, d.at, d.decision, NULL AS until, x.actor, x.role, x.reason, x.rule,
        x.cid
    FROM decided d JOIN actor a ON a.id = d.actor
    JOIN subject s ON s.did = a.did AND s.path = 'app.bsky.feed.post/' || d.rkey AND s.convo = ''
    LEFT JOIN decision x ON x.community = d.community AND x.seq = d.decision
    WHERE d.verdict = 'removed'
    UNION ALL
    SELECT m.community, s.id, coalesce(x.at, m.since), x.seq, m.until, x.actor, x.role, x.reason, x.rule, NULL
    FROM membership m JOIN actor a ON a.id = m.actor JOIN subject s ON s.did = a.did AND s.path = '' AND s.convo = ''
    LEFT JOIN decision x ON x.community = m.community AND x.seq = (SELECT max(seq) FROM decision
        WHERE community = m.community AND subject = a.did AND action = 'ban')
    WHERE m.status = 'banned';
INSERT INTO mod_event (at, scope, subject, type, actor, role, cid, comment, said, until, decision)
    SELECT at, scope, subject, 'modEventTakedown', coalesce(actor, 'schedule'), coalesce(role, 'automation'),
        coalesce(cid, ''), coalesce(reason, ''), iif(rule IS NULL, '{}', json_object('policies', json_array(rule))),
        until, decision
    FROM down ORDER BY at;
INSERT INTO subject_status (scope, subject, state, at, changed_at, cid, reviewed_by, reviewed_at, takendown,
        suspend_until, suspensions, takedowns)
    SELECT scope, subject, 3, at, at, coalesce(cid, ''), coalesce(actor, 'schedule'), at, 1, until, until IS NOT NULL,
        until IS NULL
    FROM down WHERE true
    ON CONFLICT (scope, subject) DO UPDATE SET takendown = 1, suspend_until = excluded.suspend_until,
        reviewed_by = excluded.reviewed_by, reviewed_at = excluded.reviewed_at, suspensions = excluded.suspensions,
        takedowns = excluded.takedowns;
DROP TABLE down;
INSERT INTO account_records (scope, did, reports, reported, escalated, appealed, subjects, pending,
        takendown)
    SELECT t.scope, s.did, sum(t.reports), sum(t.reports > 0), sum(t.appeals > 0), sum(t.appeals > 0), count(*),
        sum(t.state IN (1, 2)), sum(t.takendown)
    FROM subject_status t JOIN subject s ON s.id = t.subject WHERE s.path != '' GROUP BY t.scope, s.did;
DROP TABLE numbered;
DROP TABLE reached;

DROP TRIGGER report_gone;
DROP TABLE report_route;
CREATE TRIGGER report_gone AFTER DELETE ON report BEGIN
    DELETE FROM report_case WHERE report = old.id;
    DELETE FROM appeal WHERE report = old.id;
    DELETE FROM evidence WHERE id = old.evidence AND NOT EXISTS (SELECT 1 FROM report WHERE evidence = old.evidence);
END;
-- What a reporter said is kept as long as the report; everything else stays.
CREATE TRIGGER report_case_gone AFTER DELETE ON report_case BEGIN
    DELETE FROM mod_event_value WHERE event = old.id;
    DELETE FROM mod_event WHERE id = old.id;
END;
CREATE TRIGGER mod_event_stays BEFORE DELETE ON mod_event
    WHEN old.type != 'modEventReport' OR EXISTS (SELECT 1 FROM report_case WHERE id = old.id) BEGIN
    SELECT RAISE(ABORT, 'events of moderation are never deleted');
END;
"""
