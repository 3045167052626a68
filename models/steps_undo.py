"""Step 23: what somebody, some batch or some program did is found, so that it can be counted, and undone."""

UNDO = """
CREATE INDEX mod_event_scope_batch ON mod_event (scope, batch) WHERE batch != '';
CREATE INDEX mod_event_scope_actor ON mod_event (scope, actor);
CREATE INDEX mod_event_undoes ON mod_event (undoes) WHERE undoes IS NOT NULL;
CREATE INDEX mod_event_tool ON mod_event (tool, actor, type, at) WHERE tool != '' AND type != 'modEventReport';
"""
