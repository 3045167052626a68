"""The tables of the moderation API as peewee models, as in `models.tables`."""

from peewee import BooleanField, CompositeKey, IntegerField, Model, TextField


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


TABLES = (TeamMember, Setting)
