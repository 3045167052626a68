"""Step 21: what became of appeals, and indexes by which it is told how a community is moderated."""

APPEALS = """
-- `closed_at`: when somebody has decided about an appeal, NULL: nobody has; `note`: what its author is told of it.
ALTER TABLE appeal ADD COLUMN closed_at INTEGER;
ALTER TABLE appeal ADD COLUMN note TEXT NOT NULL DEFAULT '';
UPDATE appeal SET closed_at = last_at WHERE state != 'open';
CREATE INDEX appeal_about ON appeal (did, uri, community, id);
CREATE INDEX appeal_waiting ON appeal (at) WHERE state = 'open';
CREATE INDEX decision_at ON decision (community, at, action, rule);
CREATE INDEX mod_event_decided ON mod_event (subject, scope, id) WHERE type IN ('modEventTakedown',
    'modEventReverseTakedown', 'modEventLabel', 'modEventAcknowledge');
"""
