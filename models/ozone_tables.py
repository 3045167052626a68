"""The tables of the moderation API as peewee models, as in `models.tables`."""

from peewee import AutoField, BooleanField, CompositeKey, IntegerField, Model, TextField


class TeamMember(Model):
    """Somebody who moderates for a labeler. Times are microseconds."""

    labeler = IntegerField()
    did = TextField()
    role = IntegerField()
    disabled = BooleanField(default=False)
    at = IntegerField()
    changed_at = IntegerField()
    changed_by = TextField()

    class Meta:
        """One row a labeler and account."""

        table_name = "team_member"
        primary_key = CompositeKey("labeler", "did")


class Setting(Model):
    """What clients have set up; `owner` empty: for the whole team. `value`: JSON. Times are microseconds."""

    labeler = IntegerField()
    owner = TextField()
    key = TextField()
    value = TextField()
    description = TextField(default="")
    manager = IntegerField(default=0)
    at = IntegerField()
    made_by = TextField()
    changed_at = IntegerField()
    changed_by = TextField()

    class Meta:
        """One row a labeler, owner and key."""

        primary_key = CompositeKey("labeler", "owner", "key")


class Template(Model):
    """A text that a team sends again and again. `content`: markdown. Times are microseconds."""

    id = AutoField()
    labeler = IntegerField()
    name = TextField()
    subject = TextField()
    content = TextField()
    lang = TextField(default="")
    disabled = BooleanField(default=False)
    at = IntegerField()
    made_by = TextField()
    changed_at = IntegerField()
    changed_by = TextField()

    class Meta:
        """A name is there once for each labeler."""

        indexes = ((("labeler", "name"), True),)


class ValueSet(Model):
    """A set of texts. `size`: how many; `last`: the highest number that one ever had. Times are microseconds."""

    id = AutoField()
    labeler = IntegerField()
    name = TextField()
    description = TextField(default="")
    size = IntegerField(default=0)
    last = IntegerField(default=0)
    at = IntegerField()
    made_by = TextField()
    changed_at = IntegerField()
    changed_by = TextField()

    class Meta:
        """A name is there once for each labeler."""

        table_name = "value_set"
        indexes = ((("labeler", "name"), True),)


class SetValue(Model):
    """A text in a set (its number), in the order in which it came."""

    value_set = IntegerField()
    number = IntegerField()
    value = TextField()

    class Meta:
        """Each text is there once."""

        table_name = "set_value"
        primary_key = CompositeKey("value_set", "number")
        indexes = ((("value_set", "value"), True),)


class ReportQueue(Model):
    """Where reports of a kind wait for a team. The types and policies are JSON arrays; times are microseconds."""

    id = AutoField()
    labeler = IntegerField()
    name = TextField()
    subject_types = TextField(default="[]")
    collection = TextField(default="")
    report_types = TextField(default="[]")
    policies = TextField(default="[]")
    description = TextField(default="")
    enabled = BooleanField(default=True)
    at = IntegerField()
    made_by = TextField()
    changed_at = IntegerField()
    changed_by = TextField()
    deleted_at = IntegerField(null=True)

    class Meta:
        """Rows stay when a queue is deleted."""

        table_name = "report_queue"


class QueueAssignment(Model):
    """Who looks after which queue, or did. Times are microseconds."""

    id = AutoField()
    labeler = IntegerField()
    queue = IntegerField()
    did = TextField()
    at = IntegerField()
    by = TextField()
    ended_at = IntegerField(null=True)
    ended_by = TextField(default="")

    class Meta:
        """Rows stay when somebody is taken off."""

        table_name = "queue_assignment"


TABLES = (TeamMember, Setting, Template, ValueSet, SetValue, ReportQueue, QueueAssignment)
