"""The tables as peewee models, for everything off the hot paths. The schema itself is made by `models.migrations`; a
test holds the two equal. No database is bound: pass it, as in `Source.select().execute(database)`.
"""

from peewee import BlobField, BooleanField, CompositeKey, IntegerField, Model, TextField


class Meta(Model):
    """Small facts of the installation."""

    key = TextField(primary_key=True)
    value = TextField()


class Source(Model):
    """Where an event stream was read up to. `event_at`: time of that event, microseconds, 0 if unknown."""

    url = TextField()
    kind = TextField()
    cursor = IntegerField()
    event_at = IntegerField()

    class Meta:
        """Keyed by URL and kind of cursor."""

        primary_key = CompositeKey("url", "kind")


class Community(Model):
    """A community; `rule` is its declaration as JSON, `declared` false once nothing declares it any more. `uri`: of its
    record; `created_at`: microseconds; `revised`: the number of its last change, among those of all communities.
    """

    slug = TextField(unique=True)
    name = TextField()
    description = TextField()
    owner = TextField(null=True)
    rule = TextField()
    declared = BooleanField()
    uri = TextField(null=True)
    created_at = IntegerField(default=0)
    revised = IntegerField(default=0)


class Reapply(Model):
    """A community that stored posts are to be held against. `after`: the last that was; None: it has not begun."""

    community = IntegerField(primary_key=True)
    after = IntegerField(null=True)


class CommunityCount(Model):
    """How many members and posts a community has; its last post's time in microseconds. Kept by triggers."""

    community = IntegerField(primary_key=True)
    members = IntegerField(default=0)
    posts = IntegerField(default=0)
    last_post_at = IntegerField(default=0)

    class Meta:
        """One row a community."""

        table_name = "community_count"


class Declaration(Model):
    """A record that shapes communities, as its author has it. `record`: JSON; `at`: microseconds. `why` not None: the
    newest version is refused, and `record` an earlier one, or null.
    """

    actor = IntegerField()
    collection = TextField()
    rkey = TextField()
    cid = BlobField()
    about = TextField()
    subject = TextField()
    record = TextField()
    at = IntegerField()
    gone = BooleanField(default=False)
    fault = TextField(null=True)
    why = TextField(null=True)

    class Meta:
        """Keyed by the record."""

        primary_key = CompositeKey("actor", "collection", "rkey")


class Membership(Model):
    """How somebody stands to a community. `until` and `since` are microseconds."""

    community = IntegerField()
    actor = IntegerField()
    status = TextField()
    role = IntegerField(default=1)
    scope = TextField(default="*")
    until = IntegerField(null=True)
    since = IntegerField()
    via = TextField()
    rkey = TextField(default="")
    granted = TextField(default="")
    volume = IntegerField(default=3)
    limits = TextField(default="{}")

    class Meta:
        """One row a person and community."""

        primary_key = CompositeKey("community", "actor")


class MembershipEvent(Model):
    """A change of a membership; `status` and `role` are what came of it. `at`: microseconds."""

    community = IntegerField()
    actor = IntegerField()
    act = TextField()
    by = TextField()
    status = TextField(null=True)
    role = IntegerField(null=True)
    at = IntegerField()

    class Meta:
        """In the order of their numbers."""

        table_name = "membership_event"


class Decided(Model):
    """The decision in force on a post in a community. `at`: microseconds."""

    community = IntegerField()
    actor = IntegerField()
    rkey = TextField()
    cid = BlobField()
    verdict = TextField()
    decision = IntegerField()
    at = IntegerField()

    class Meta:
        """One row a post and community."""

        primary_key = CompositeKey("community", "actor", "rkey")


class Actor(Model):
    """An account that rows point to."""

    did = TextField(unique=True)
    rev = TextField(default="")
    active = BooleanField(default=True)
    status = TextField(null=True)
    account_seq = IntegerField(default=0)
    purge = IntegerField(default=0)
    allowed = BooleanField(default=True)
    account_source = TextField(default="")
    split = BooleanField(default=False)
    counted = BooleanField(default=True)
    ahead = BooleanField(default=False)


class Repo(Model):
    """An account whose whole repository is followed, or has to be read once. Times are microseconds."""

    actor = IntegerField(primary_key=True)
    state = TextField()
    data = BlobField(null=True)
    why = TextField(default="")
    tries = IntegerField(default=0)
    due_at = IntegerField(default=0)
    checked_at = IntegerField(default=0)
    read_at = IntegerField(default=0)


class Late(Model):
    """A like, repost, reply or quote that a repository held of a post which was not here, until that comes."""

    actor = IntegerField()
    kind = IntegerField()
    rkey = TextField()
    subject = TextField()
    noted_at = IntegerField()

    class Meta:
        """Keyed by the record."""

        primary_key = CompositeKey("actor", "kind", "rkey")


class Post(Model):
    """An indexed post. `sort_at`, `event_at` and `active_at` are microseconds."""

    actor = IntegerField()
    rkey = TextField()
    cid = BlobField()
    record = BlobField()
    sort_at = IntegerField()
    event_at = IntegerField()
    likes = IntegerField(default=0)
    reposts = IntegerField(default=0)
    replies = IntegerField(default=0)
    quotes = IntegerField(default=0)
    active_at = IntegerField(default=0)
    video = BooleanField(default=False)

    class Meta:
        """One row a record."""

        indexes = ((("actor", "rkey"), True),)


class FeedItem(Model):
    """A post in a community. `evidence`: one reason a line; `hidden`: what keeps it out of sight, added up: 1 its
    author's account is not shown, 2 it waits for approval, 4 it was removed, 8 its author is banned. `context`: the
    evidences as a short code.
    """

    community = IntegerField()
    hidden = IntegerField()
    sort_at = IntegerField()
    post = IntegerField()
    uri = TextField()
    evidence = TextField()
    context = TextField(default="")

    class Meta:
        """Keyed in page order."""

        table_name = "feed_item"
        primary_key = CompositeKey("community", "hidden", "sort_at", "post")


class Engagement(Model):
    """A like, repost, reply or quote record."""

    actor = IntegerField()
    kind = IntegerField()
    rkey = TextField()
    post = IntegerField()

    class Meta:
        """Keyed by the record."""

        primary_key = CompositeKey("actor", "kind", "rkey")


class Generation(Model):
    """The order of a ranked feed at the moment `id`, in microseconds. `posts`: ids, eight bytes each; `languages`: the
    different ones as a JSON array, `marks`: the place in it of each post's, a byte each.
    """

    community = IntegerField()
    sort = TextField()
    posts = BlobField()
    languages = TextField(default="")
    marks = BlobField(null=True)


class Decision(Model):
    """An event of a community's log of decisions. `at` and `until` are microseconds."""

    community = IntegerField()
    seq = IntegerField()
    at = IntegerField()
    actor = TextField()
    role = TextField()
    action = TextField()
    subject = TextField(null=True)
    cid = TextField(null=True)
    reason = TextField(null=True)
    rule = TextField(null=True)
    until = IntegerField(null=True)
    salts = BlobField()
    prev = BlobField()
    hash = BlobField()

    class Meta:
        """Numbered from 1 in each community."""

        primary_key = CompositeKey("community", "seq")


class Pin(Model):
    """A post that a community shows first."""

    community = IntegerField()
    position = IntegerField()
    actor = IntegerField()
    rkey = TextField()
    gone = BooleanField(default=False)
    moderator = BooleanField(default=False)

    class Meta:
        """Keyed by place."""

        primary_key = CompositeKey("community", "position")


class List(Model):
    """A list that a rule names."""

    uri = TextField(primary_key=True)
    read_at = IntegerField(default=0)
    error = TextField(null=True)


class ListItem(Model):
    """A member of such a list."""

    owner = TextField()
    rkey = TextField()
    list = TextField()
    subject = TextField()

    class Meta:
        """Keyed by the record."""

        table_name = "list_item"
        primary_key = CompositeKey("owner", "rkey")


class Interaction(Model):
    """What a viewer said of a feed item; absent texts are empty. `at`: microseconds."""

    viewer = TextField()
    item = TextField()
    event = TextField()
    req_id = TextField()
    feed = TextField()
    feed_context = TextField()
    at = IntegerField()

    class Meta:
        """Each is kept once."""

        primary_key = CompositeKey("viewer", "item", "event", "req_id")


class UsedToken(Model):
    """A service token that a procedure has used up."""

    iss = TextField()
    jti = TextField()
    expires = IntegerField()

    class Meta:
        """Each is used once."""

        table_name = "used_token"
        primary_key = CompositeKey("iss", "jti")


class Quarantine(Model):
    """An event that was passed over, as it came."""

    source = TextField()
    seq = IntegerField()
    reason = TextField()
    frame = BlobField()
    at = IntegerField()


class Process(Model):
    """What a process last said of itself."""

    name = TextField(primary_key=True)
    at = IntegerField()
    report = TextField()


TABLES = (
    Meta, Source, Community, Reapply, CommunityCount, Declaration, Membership, MembershipEvent, Decision, Decided,
    Actor, Repo, Late, Post, FeedItem, Engagement, Generation, Pin, List, ListItem, Interaction, UsedToken, Quarantine,
    Process,
)  # fmt: skip
