"""Step 27: reports whose subjects are still to be tagged."""

TAGGING = """
-- Reports of which not all tags are there that come of them (`communities.tagging`). `report_case`: the report in a
-- scope; `named`: its reason is a tag already, and only what the record says is waited for. `due_at`: when it is looked
-- at again, in microseconds.
CREATE TABLE report_tagging (
    report_case INTEGER PRIMARY KEY,
    due_at INTEGER NOT NULL,
    named INTEGER NOT NULL DEFAULT 0 CHECK (named IN (0, 1))
) STRICT;
CREATE INDEX report_tagging_due ON report_tagging (due_at);
CREATE TRIGGER report_case_untagged AFTER DELETE ON report_case BEGIN
    DELETE FROM report_tagging WHERE report_case = old.id;
END;
-- What waits is filtered by its tags, whenever it came; reporters who were muted move nothing.
INSERT INTO report_tagging (report_case, due_at) SELECT id, at FROM report_case WHERE state != 'closed' AND NOT muted;
"""
