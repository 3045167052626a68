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


TABLES = (TeamMember, Setting, Template, ValueSet, SetValue)
