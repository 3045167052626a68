"""The tables of what moderators do as peewee models, as in `models.tables`. See `models.steps_cases`."""

from peewee import CompositeKey, IntegerField, Model, TextField


class Subject(Model):
    """What events are about."""

    did = TextField()
    path = TextField(default="")
    convo = TextField(default="")

    class Meta:
        """One row a did and path and convo."""

        table_name = "subject"
        indexes = ((("did", "path", "convo"), True),)


class ModEvent(Model):
    """What moderators, reporters and rules have done. `at`: microseconds."""

    at = IntegerField()
    scope = IntegerField()
    subject = IntegerField()
    type = TextField()
    actor = TextField()
    role = TextField(default="")
    cid = TextField(default="")
    blobs = TextField(default="")
    comment = TextField(default="")
    said = TextField(default="{}")
    tool = TextField(default="")
    tool_meta = TextField(default="")
    batch = TextField(default="")
    external = TextField(default="")
    until = IntegerField(null=True)
    decision = IntegerField(null=True)
    label_event = IntegerField(null=True)
    undoes = IntegerField(null=True)

    class Meta:
        """Appended to."""

        table_name = "mod_event"


class ModEventValue(Model):
    """What events are found by."""

    kind = TextField()
    value = TextField()
    event = IntegerField()

    class Meta:
        """One row a kind and value and event."""

        table_name = "mod_event_value"
        primary_key = CompositeKey("kind", "value", "event")


class SubjectStatus(Model):
    """How a subject stands in a scope. Times are microseconds."""

    scope = IntegerField()
    subject = IntegerField()
    state = IntegerField()
    at = IntegerField()
    changed_at = IntegerField()
    cid = TextField(default="")
    blobs = TextField(default="")
    comment = TextField(default="")
    priority = IntegerField(default=0)
    mute_until = IntegerField(null=True)
    mute_reporting_until = IntegerField(null=True)
    reviewed_by = TextField(default="")
    reviewed_at = IntegerField(null=True)
    reported_at = IntegerField(null=True)
    appealed_at = IntegerField(null=True)
    appealed = IntegerField(null=True)
    takendown = IntegerField(default=0)
    suspend_until = IntegerField(null=True)
    tags = TextField(default="[]")
    hosting = TextField(default="")
    hosting_changed_at = IntegerField(null=True)
    hosting_deleted_at = IntegerField(null=True)
    hosting_deactivated_at = IntegerField(null=True)
    hosting_reactivated_at = IntegerField(null=True)
    reports = IntegerField(default=0)
    appeals = IntegerField(default=0)
    suspensions = IntegerField(default=0)
    escalations = IntegerField(default=0)
    takedowns = IntegerField(default=0)

    class Meta:
        """One row a scope and subject."""

        table_name = "subject_status"
        indexes = ((("scope", "subject"), True),)


class SubjectTag(Model):
    """A tag of a subject in a scope. `until`: microseconds."""

    tag = TextField()
    scope = IntegerField()
    status = IntegerField()
    until = IntegerField(null=True)

    class Meta:
        """One row a tag, scope and status."""

        table_name = "subject_tag"
        primary_key = CompositeKey("tag", "scope", "status")


class AccountRecords(Model):
    """What the records of an account make together in a scope."""

    scope = IntegerField()
    did = TextField()
    reports = IntegerField(default=0)
    reported = IntegerField(default=0)
    escalated = IntegerField(default=0)
    appealed = IntegerField(default=0)
    subjects = IntegerField(default=0)
    pending = IntegerField(default=0)
    takendown = IntegerField(default=0)

    class Meta:
        """One row a scope and did."""

        table_name = "account_records"
        primary_key = CompositeKey("scope", "did")


class Strike(Model):
    """Strikes against an account. Times are microseconds."""

    event = IntegerField(primary_key=True)
    scope = IntegerField()
    did = TextField()
    at = IntegerField()
    count = IntegerField()
    until = IntegerField(null=True)

    class Meta:
        """Appended to."""

        table_name = "strike"


class ReportCase(Model):
    """A report, for those whom it reaches. Times are microseconds."""

    report = IntegerField()
    scope = IntegerField()
    subject = IntegerField()
    at = IntegerField()
    changed_at = IntegerField()
    state = TextField()
    queue = IntegerField(default=-1)
    queued_at = IntegerField(null=True)
    closed_at = IntegerField(null=True)
    muted = IntegerField(default=0)
    note = TextField(default="")
    actions = TextField(default="[]")
    reason_type = TextField(default="")
    about = TextField(default="")
    assignee = TextField(default="")

    class Meta:
        """One row a report and scope."""

        table_name = "report_case"
        indexes = ((("report", "scope"), True),)


class ReportActivity(Model):
    """What was done with a report. `at`: microseconds."""

    at = IntegerField()
    scope = IntegerField()
    report_case = IntegerField()
    type = TextField()
    previous = TextField()
    actor = TextField()
    automated = IntegerField(default=0)
    internal_note = TextField(default="")
    public_note = TextField(default="")
    meta = TextField(default="{}")

    class Meta:
        """Appended to."""

        table_name = "report_activity"


class ReportAssignment(Model):
    """Who works on a report. Times are microseconds."""

    report_case = IntegerField()
    scope = IntegerField()
    did = TextField()
    at = IntegerField()
    until = IntegerField(null=True)
    permanent = IntegerField()
    queue = IntegerField(default=-1)
    made_by = TextField()

    class Meta:
        """At most one row a report that is permanent and has no end."""

        table_name = "report_assignment"


class ReportTagging(Model):
    """Reports of which tags are still to come. `due_at`: microseconds."""

    report_case = IntegerField(primary_key=True)
    due_at = IntegerField()
    named = IntegerField(default=0)

    class Meta:
        """Only what waits."""

        table_name = "report_tagging"


TABLES = (
    Subject,
    ModEvent,
    ModEventValue,
    SubjectStatus,
    SubjectTag,
    AccountRecords,
    Strike,
    ReportCase,
    ReportActivity,
    ReportAssignment,
    ReportTagging,
)
