"""The tables of automatic labels as peewee models, as in `models.tables`."""

from peewee import BooleanField, CompositeKey, IntegerField, Model, TextField


class LabelWatch(Model):
    """There while rules are declared."""

    one = IntegerField(primary_key=True)

    class Meta:
        """One row at most."""

        table_name = "label_watch"


class LabelDue(Model):
    """A post that is to be held against the rules."""

    post = IntegerField(primary_key=True)
    times = IntegerField(default=1)
    waits = TextField(default="")

    class Meta:
        """By post."""

        table_name = "label_due"


class LabelRuleDay(Model):
    """What a rule did on a day since 1970."""

    rule = TextField()
    day = IntegerField()
    matched = IntegerField(default=0)
    labelled = IntegerField(default=0)
    over = IntegerField(default=0)

    class Meta:
        """One row a rule and day."""

        table_name = "label_rule_day"
        primary_key = CompositeKey("rule", "day")


class LabelRuleSample(Model):
    """What a rule fits. `at`: microseconds."""

    rule = TextField()
    at = IntegerField()
    uri = TextField()
    why = TextField()

    class Meta:
        """The last ones."""

        table_name = "label_rule_sample"


class AccountAge(Model):
    """When an account came to be. Times are microseconds."""

    did = TextField(primary_key=True)
    created_at = IntegerField(null=True)
    due_at = IntegerField(default=1)

    class Meta:
        """By account."""

        table_name = "account_age"


class LabelInput(Model):
    """A labeler of others that is read. `at`: microseconds; `report`: JSON."""

    did = TextField(primary_key=True)
    cursor = IntegerField(null=True)
    at = IntegerField(default=0)
    state = TextField(default="")
    report = TextField(default="{}")

    class Meta:
        """By labeler."""

        table_name = "label_input"


class ForeignLabel(Model):
    """What it says. `cts` and `exp`: milliseconds."""

    src = TextField()
    uri = TextField()
    cid = TextField()
    val = TextField()
    neg = BooleanField()
    cts = IntegerField()
    exp = IntegerField(null=True)

    class Meta:
        """The newest of a subject, version and value."""

        table_name = "foreign_label"
        primary_key = CompositeKey("src", "uri", "cid", "val")


class ForeignAct(Model):
    """What was done because of that."""

    src = TextField()
    uri = TextField()
    val = TextField()
    act = TextField()
    community = IntegerField()
    subject = TextField()
    number = IntegerField()

    class Meta:
        """Each once."""

        table_name = "foreign_act"
        primary_key = CompositeKey("src", "uri", "val", "act", "community", "subject")


TABLES = (LabelWatch, LabelDue, LabelRuleDay, LabelRuleSample, AccountAge, LabelInput, ForeignLabel, ForeignAct)
