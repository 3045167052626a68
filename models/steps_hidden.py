"""Step 26: accounts that this site had taken down before there were events of moderation."""

HIDDEN = """
-- `communities takedown` is an event of the service (scope 0). Where there is none, a team that gives its own takedown
-- of the account back would show what it did not take down.
INSERT INTO subject (did) SELECT did FROM actor WHERE NOT allowed ON CONFLICT DO NOTHING;
CREATE TEMP TABLE hidden AS
    SELECT s.id AS subject, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000 AS at
    FROM actor a JOIN subject s ON s.did = a.did AND s.path = '' AND s.convo = ''
    WHERE NOT a.allowed
        AND NOT EXISTS (SELECT 1 FROM subject_status WHERE subject = s.id AND scope <= 0 AND takendown);
INSERT INTO mod_event (at, scope, subject, type, actor, role)
    SELECT at, 0, subject, 'modEventTakedown', 'cli', 'cli' FROM hidden ORDER BY subject;
INSERT INTO subject_status (scope, subject, state, at, changed_at, reviewed_by, reviewed_at, takendown, takedowns)
    SELECT 0, subject, 3, at, at, 'cli', at, 1, 1 FROM hidden WHERE true
    ON CONFLICT (scope, subject) DO UPDATE SET takendown = 1, suspend_until = NULL, changed_at = excluded.changed_at,
        reviewed_by = excluded.reviewed_by, reviewed_at = excluded.reviewed_at, takedowns = takedowns + 1;
DROP TABLE hidden;
"""
