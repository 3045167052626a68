"""The tables of reports and labels as peewee models, as in `models.tables`."""

from peewee import AutoField, BlobField, BooleanField, CompositeKey, IntegerField, Model, TextField


class Report(Model):
    """What a reader says to moderators of an account or a record; absent texts are empty. Times are microseconds."""

    at = IntegerField()
    last_at = IntegerField()
    reporter = TextField()
    reason_type = TextField()
    reason = TextField(default="")
    did = TextField()
    uri = TextField(default="")
    cid = TextField(default="")
    convo = TextField(default="")
    message = TextField(default="")
    labeler = TextField(default="")
    host = TextField(default="")
    tool = TextField(default="")
    tool_meta = TextField(default="")
    times = IntegerField(default=1)
    evidence = IntegerField(null=True)


class Appeal(Model):
    """What an author says against a decision of a community (0: of the site). Times are microseconds."""

    report = IntegerField()
    community = IntegerField()
    labeler = TextField(default="")
    did = TextField()
    uri = TextField(default="")
    decision = IntegerField(default=0)
    label_event = IntegerField(default=0)
    at = IntegerField()
    last_at = IntegerField()
    state = TextField(default="open")
    closed_at = IntegerField(null=True)
    note = TextField(default="")


class Evidence(Model):
    """What was reported, as it was then; absent texts are empty. Times are microseconds."""

    at = IntegerField()
    did = TextField()
    uri = TextField()
    cid = TextField(default="")
    record = BlobField(null=True)
    handle = TextField(default="")
    parent = TextField(default="")
    parent_text = TextField(default="")
    due_at = IntegerField(null=True)
    tries = IntegerField(default=0)
    fault = TextField(default="")

    class Meta:
        """One row a version."""

        indexes = ((("uri", "cid"), True),)


class Flag(Model):
    """A post that was reported to a community and that nobody has decided about since. `at`: microseconds.
    `reports`: how many have reported it.
    """

    community = IntegerField()
    post = IntegerField()
    at = IntegerField()
    reports = IntegerField(default=1)
    reason_type = TextField()
    brigade = IntegerField(default=0)

    class Meta:
        """One row a community and post."""

        indexes = ((("community", "post"), True),)


class Labeler(Model):
    """An account that labels."""

    did = TextField(unique=True)


class LabelKey(Model):
    """A key with which a labeler signs or has signed. `secret` is sealed. `at`: microseconds."""

    labeler = IntegerField()
    public = TextField()
    secret = BlobField(null=True)
    state = TextField()
    at = IntegerField()

    class Meta:
        """Each is known once."""

        table_name = "label_key"
        indexes = ((("labeler", "public"), True),)


class LabelEvent(Model):
    """Why labels came or went; absent texts are empty. `added` and `removed`: values by space. `at`: microseconds;
    `exp`, of what was added: milliseconds.
    """

    at = IntegerField()
    labeler = IntegerField()
    community = IntegerField(default=0)
    actor = TextField()
    role = TextField()
    uri = TextField()
    cid = TextField(default="")
    added = TextField(default="")
    removed = TextField(default="")
    exp = IntegerField(null=True)
    reason = TextField(default="")
    rule = TextField(default="")
    batch = TextField(default="")
    undoes = IntegerField(null=True)

    class Meta:
        """Appended to."""

        table_name = "label_event"


class LabelOutbox(Model):
    """A label that is to be published. `cts` and `exp`: milliseconds."""

    labeler = IntegerField()
    uri = TextField()
    cid = TextField(default="")
    val = TextField()
    neg = BooleanField()
    cts = IntegerField()
    exp = IntegerField(null=True)
    priority = IntegerField()
    event = IntegerField()

    class Meta:
        """In the order of priority and number; one row of a subject, version and value."""

        table_name = "label_outbox"
        indexes = ((("labeler", "uri", "cid", "val"), True),)


class Label(Model):
    """A published label. `cts` and `exp`: milliseconds; `signed`: CBOR."""

    seq = IntegerField(primary_key=True)
    labeler = IntegerField()
    did = TextField()
    uri = TextField()
    cid = TextField(default="")
    val = TextField()
    neg = BooleanField()
    cts = IntegerField()
    exp = IntegerField(null=True)
    label_key = IntegerField()
    event = IntegerField()
    signed = BlobField()

    class Meta:
        """The newest of a subject, version and value."""

        indexes = ((("labeler", "uri", "cid", "val"), True),)


class LabelHead(Model):
    """The next `seq`, and the number of the publisher that may give it out."""

    one = IntegerField(primary_key=True)
    next = IntegerField()
    turn = IntegerField(default=0)

    class Meta:
        """One row."""

        table_name = "label_head"


class LabelSent(Model):
    """How many labels were published in a minute."""

    labeler = IntegerField()
    minute = IntegerField()
    count = IntegerField()

    class Meta:
        """Minutes since 1970."""

        table_name = "label_sent"
        primary_key = CompositeKey("labeler", "minute")


class Command(Model):
    """What a post commands to a community, and what became of it; absent texts are empty. Times are microseconds."""

    id = AutoField()
    uri = TextField()
    cid = TextField()
    community = IntegerField()
    actor = TextField()
    text = TextField()
    target = TextField(default="")
    target_cid = TextField(default="")
    at = IntegerField()
    state = TextField()
    fault = TextField(default="")
    outcome = TextField(default="")
    decision = IntegerField(null=True)
    done_at = IntegerField(null=True)

    class Meta:
        """Each version of a post is there once for each community."""

        indexes = ((("uri", "cid", "community"), True),)


class Forward(Model):
    """What is forwarded to another labeler, and what became of it; absent texts are empty. Times are microseconds."""

    id = AutoField()
    scope = IntegerField()
    subject = IntegerField()
    recipient = TextField()
    asked_by = TextField()
    comment = TextField(default="")
    reason_type = TextField()
    cid = TextField(default="")
    at = IntegerField()
    state = TextField(default="waiting")
    tries = IntegerField(default=0)
    next_at = IntegerField()
    fault = TextField(default="")
    remote = IntegerField(null=True)
    done_at = IntegerField(null=True)

    class Meta:
        """A subject is forwarded to a labeler once in each scope."""

        indexes = ((("scope", "subject", "recipient"), True),)


TABLES = (
    Report, Appeal, Evidence, Flag, Labeler, LabelKey, LabelEvent, LabelOutbox, Label, LabelHead,
    LabelSent, Command, Forward,
)  # fmt: skip
