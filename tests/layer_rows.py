"""Three communities as rows, the service around them as small as can be, and what is true of people in plain words."""

from dataclasses import replace
from typing import Any

import apsw

from communities.access import Posting, Role, Standing
from communities.admission import PENDING, Decided, Held, Verdict, judge
from communities.community import Community
from communities.directory import Directory, settle
from communities.members import Via, find_actor, intern_actor, memberships, put, standing_by
from communities.membership import MEMBER, Membership
from models import migrations
from tests.didnet import plc

PARENT, CHILD, OTHER = COMMUNITIES = (1, 2, 3)
PEOPLE = [plc(number) for number in range(4)]
FOUNDER, CHILD_OWNER, OTHER_OWNER = PEOPLE[:3]
"""The parent belongs to nobody: its first admin is one like any other, and may leave once there is a second."""


def fresh() -> Any:
    """A database with the communities and all people in it."""
    connection = apsw.Connection(":memory:")
    migrations.migrate(connection)
    connection.executemany(
        "INSERT INTO community (id, slug, name, description, rule, declared) VALUES (?, ?, '', '', '{}', 1)",
        [(number, f"c{number}") for number in COMMUNITIES],
    )
    for did in PEOPLE:
        intern_actor(connection, did)
    return connection


class LayerRows:
    """The database, the settings in force, and beside them only what was said."""

    def start(self) -> None:
        """Begin anew."""
        self.connection = fresh()
        self.now = 1
        self.declared = {
            PARENT: (None, Community("c1", "C")),
            CHILD: (None, Community("c2", "C", owner=CHILD_OWNER, parent="c1")),
            OTHER: (f"at://{OTHER_OWNER}/social.communities.community/c3", Community("c3", "C", owner=OTHER_OWNER)),
        }
        self.directory = self.settled()
        assert self.directory.faults == {} and self.directory.by_id[CHILD].above == (PARENT,)
        self.put(PARENT, FOUNDER, replace(MEMBER, role=Role.ADMIN))
        self.texts: dict[tuple[str, str], dict[str, Any]] = {}
        """Of each post what its author says: the version, where it is selected, whether it is opted out, refused."""
        self.verdicts: dict[tuple[int, tuple[str, str]], tuple[Verdict, int]] = {}
        self.modes: dict[tuple[int, tuple[str, str]], set[Posting]] = {}
        """Which modes of posting a community had since the version of the post was written."""
        self.joined = {(PARENT, FOUNDER), (CHILD, CHILD_OWNER), (OTHER, OTHER_OWNER)}
        """Who was ever a member."""

    def settled(self) -> Directory:
        return settle([(number, *declared) for number, declared in self.declared.items()], lambda did, community: False)

    def actor(self, did: str) -> int:
        number = find_actor(self.connection, did)
        assert number is not None
        return number

    def standing(self, community: int, did: str) -> Standing:
        owners = {number: one.owner for number, one in self.directory.by_id.items()}
        of = memberships(self.connection, self.actor(did))
        return standing_by(self.directory.by_id[community], did, of, owners, self.now)

    def put(self, community: int, did: str, after: Membership | None) -> None:
        put(self.connection, community, self.actor(did), after, act="x", by=did, now=self.now, via=Via("xrpc"))

    def judge(self, community: int, post: tuple[str, str], before: int | None = None) -> None:
        """Bring the item of a post up to date; `before`: the version that was stored."""
        author, rkey = post
        said = self.texts[post]
        key = (community, self.actor(author), rkey)
        number = self.connection.execute("SELECT id FROM post WHERE actor = ? AND rkey = ?", key[1:]).get
        item = self.connection.execute(
            "SELECT hidden FROM feed_item WHERE community = ? AND post = ?", (community, number)
        ).fetchone()
        decided = self.connection.execute(
            "SELECT verdict, cid, decision FROM decided WHERE community = ? AND actor = ? AND rkey = ?", key
        ).fetchone()
        found = judge(
            self.directory.by_id[community],
            self.standing(community, author),
            b"%d" % said["version"],
            selected=community in said["selected"],
            decided=Decided(Verdict(decided[0]), *decided[1:]) if decided else None,
            held=Held(b"%d" % (before or said["version"]), bool(item[0] & PENDING)) if item else None,
            opted_out="#nofeed" if said["opted_out"] else None,
            refusal="it is a reply" if community in said["refused"] else None,
        )
        if item == (found.hidden,):
            return
        self.connection.execute("DELETE FROM feed_item WHERE community = ? AND post = ?", (community, number))
        if found.hidden is not None:
            self.connection.execute(
                "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence) VALUES (?, ?, ?, ?, ?, '')",
                (community, found.hidden, number, number, f"at://{author}/app.bsky.feed.post/{rkey}"),
            )

    def judge_all(self) -> None:
        for post in self.texts:
            for community in COMMUNITIES:
                self.judge(community, post)

    def store_verdict(self, community: int, post: tuple[str, str], verdict: Verdict, version: int) -> None:
        self.verdicts[community, post] = verdict, version
        self.connection.execute(
            "INSERT INTO decided (community, actor, rkey, cid, verdict, decision, at) VALUES (?, ?, ?, ?, ?, 1, 1)"
            " ON CONFLICT DO UPDATE SET cid = excluded.cid, verdict = excluded.verdict",
            (community, self.actor(post[0]), post[1], b"%d" % version, verdict),
        )

    def shown(self, community: int) -> set[str]:
        """The URIs of what a community shows."""
        query = "SELECT uri FROM feed_item WHERE community = ? AND hidden = 0"
        return {uri for (uri,) in self.connection.execute(query, (community,)).fetchall()}

    def dump(self, *but: int) -> list[Any]:
        """All that lasts, of every community but these."""
        tables = ("feed_item", "membership", "decided")
        found = [self.connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4").fetchall() for table in tables]
        found.append(self.connection.execute("SELECT * FROM community_count ORDER BY 1").fetchall())
        return [[row for row in rows if row[0] not in but] for rows in found]

    # What is true of people, in plain words

    def row(self, community: int, did: str) -> tuple[str | None, int, str]:
        """Status, role and scope by the rows alone, ended ones left out."""
        found = self.connection.execute(
            "SELECT status, role, scope, until FROM membership WHERE community = ? AND actor = ?",
            (community, self.actor(did)),
        ).fetchone()
        if found is None:
            return None, 1, "*"
        status, role, scope, until = found
        if until is not None and until <= self.now:
            return (None if status == "banned" else "member"), 1, "*"
        return status, role, scope

    def administers(self, community: int, did: str) -> bool:
        owner = {PARENT: None, CHILD: CHILD_OWNER, OTHER: OTHER_OWNER}[community]
        return did == owner or self.row(community, did)[:2] == ("member", 3)

    def an_admin(self, community: int) -> str:
        """The first that there is."""
        return next(did for did in PEOPLE if self.administers(community, did))

    def above(self, community: int, did: str) -> bool:
        return community == CHILD and self.administers(PARENT, did)

    def allowed(self, community: int, did: str, scope: str) -> bool:
        """Whether somebody decides about posts (`posts`) or people (`members`) in a community."""
        if self.administers(community, did) or self.above(community, did):
            return True
        status, role, scopes = self.row(community, did)
        return status == "member" and role == 2 and (scopes == "*" or scope in scopes.split())

    def banned(self, community: int, did: str) -> bool:
        owned = self.administers(community, did)
        return self.row(community, did)[0] == "banned" and not owned and not self.above(community, did)
