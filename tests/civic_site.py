"""People who call the methods of communities through HTTP with signed tokens, as a PDS forwards them; and communities
that records declare, put into the database as ingest leaves them.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from civic.visit import nsid
from communities.access import Role, Scope, Status
from communities.community import Community
from communities.limits import UNLIMITED, Limits
from communities.members import Via, intern_actor, put
from communities.membership import Membership
from communities.taken import Labeler
from lexicons.catalog import documents
from models import meta
from models.communities import REVISION
from models.database import writing
from service import ending
from tests.didnet import Account, plc
from tests.feed_site import NOW, RULES, SERVICE, Reply, Site, Writer, site_and_writer, token
from xrpc.lexicon import Catalog

AUDIENCE = f"{SERVICE}#communities"
NSID = "social.communities."
OWNER = plc(800)
CATALOG = Catalog(documents())
ERRORS = {
    document["id"]: {error["name"] for error in document["defs"].get("main", {}).get("errors", ())}
    for document in documents()
}
ANY = {"InvalidRequest", "AuthMissing", "RateLimitExceeded", "JwtReplayed", "AccountInactive", "NotEnoughResources"}
_numbers = itertools.count(10_000)


class Clock:
    """The time at which the service believes to be, in seconds; tokens are judged by the real one."""

    def __init__(self) -> None:
        self.now = NOW / 1_000_000

    def __call__(self) -> float:
        return self.now

    def micros(self) -> int:
        return int(self.now * 1_000_000)


class Town:
    """The site, its communities and its people."""

    def __init__(self, site: Site, writer: Writer, clock: Clock) -> None:
        self.site = site
        self.writer = writer
        self.clock = clock
        self._known: dict[int, Account] = {}

    def person(self, number: int | None = None) -> Account:
        """Somebody whom the directory knows, always with the same key; new, unless a number is given."""
        number = next(_numbers) if number is None else number
        if number not in self._known:
            self._known[number] = self.site.account(number)
        return self._known[number]

    def found(self, slug: str, owner: str | None = OWNER, **more: Any) -> str:
        """A community as its record declares it; returns its at-uri."""
        uri = f"at://{owner}/{NSID}community/{slug}"
        given = {"name": slug.title(), "owner": owner, "posting": "members", **more}
        rule = Community(slug, **given).to_json()
        with writing(self.writer.database) as connection:
            connection.execute(
                "INSERT INTO community (slug, name, description, owner, rule, declared, uri, created_at)"
                " VALUES (?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT (slug) DO UPDATE SET rule = excluded.rule, declared = 1",
                (slug, rule["name"], rule["description"], owner, json.dumps(rule), uri, self.clock.micros()),
            )
            meta.put(connection, REVISION, str(int(meta.get(connection, REVISION) or 0) + 1))
        return uri

    def id(self, slug: str) -> int:
        return int(self.writer.sql("SELECT id FROM community WHERE slug = ?", slug)[0][0])

    def put(
        self,
        slug: str,
        who: Account | str,
        status: Status = Status.MEMBER,
        role: Role = Role.MEMBER,
        scope: frozenset[Scope] = frozenset(Scope),
        until: int | None = None,
        via: str = "record",
        limits: Limits = UNLIMITED,
    ) -> None:
        """A membership as ingest leaves it."""
        did = who if isinstance(who, str) else who.did
        with writing(self.writer.database) as connection:
            actor = intern_actor(connection, did)
            after = Membership(status, role, scope, until, limits)
            now = self.clock.micros()
            put(connection, self.id(slug), actor, after, act="test", by=did, now=now, via=Via(via))

    def moderator(self, slug: str, **more: Any) -> Account:
        """Somebody new who moderates."""
        account = self.person()
        self.put(slug, account, role=Role.MODERATOR, **more)
        return account

    def admin(self, slug: str, **more: Any) -> Account:
        """Somebody new who is an admin."""
        account = self.person()
        self.put(slug, account, role=Role.ADMIN, **more)
        return account

    def member(self, slug: str) -> Account:
        """Somebody new who is a member."""
        account = self.person()
        self.put(slug, account)
        return account

    def token(self, who: Account, method: str, **claims: Any) -> str:
        """A fresh token for one call."""
        lxm = claims.pop("lxm", nsid(method))
        return token(who, lxm, **({"aud": AUDIENCE} | claims))

    def ask(self, method: str, who: Account | None = None, **params: Any) -> Reply:
        """Call a query; its answer must be what the lexicon says."""
        query = urlencode({name: value for name, value in params.items() if value is not None})
        sent = [f"Bearer {self.token(who, method)}"] if who else []
        return self._checked(method, self.site.ask(query, *sent, method=nsid(method)))

    def act(self, method: str, who: Account | None, body: Any, sent: str = "") -> Reply:
        """Call a procedure, with the token `sent` or a fresh one; its answer must be what the lexicon says."""
        sent = sent or (self.token(who, method) if who else "")
        headers = [("Content-Type", "application/json"), *([("Authorization", f"Bearer {sent}")] if sent else [])]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._checked(method, self.site.request("POST", f"/xrpc/{nsid(method)}", data, headers))

    def every(self, method: str, who: Account | None = None, limit: int = 100, **params: Any) -> list[dict[str, Any]]:
        """All that paging through a list gives."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            reply = self.ask(method, who, limit=limit, cursor=cursor, **params)
            assert reply.status == 200, reply.body
            (page,) = (value for name, value in reply.json.items() if name != "cursor")
            assert len(page) <= limit
            found += page
            cursor = reply.cursor
            if cursor is None:
                return found

    def join(self, who: Account, slug: str = "birds", **more: Any) -> Reply:
        """Somebody joins."""
        return self.act("join", who, {"community": slug, **more})

    def leave(self, who: Account, slug: str = "birds") -> Reply:
        """Somebody leaves."""
        return self.act("leave", who, {"community": slug})

    def give(self, who: Account, slug: str, about: Account | str, role: str, **more: Any) -> Reply:
        """Somebody gives a role."""
        did = about if isinstance(about, str) else about.did
        return self.act("setRole", who, {"community": slug, "subject": did, "role": role, **more})

    def events(self, who: Account) -> list[tuple[str, str, str | None]]:
        """What became of somebody's memberships: what was done, by whom, and the status."""
        rows = self.writer.sql(
            "SELECT act, by, status FROM membership_event"
            " WHERE actor = (SELECT id FROM actor WHERE did = ?) ORDER BY id",
            who.did,
        )
        return [tuple(row) for row in rows]

    def decide(self, who: Account, slug: str, action: str, about: Account | str, **more: Any) -> Reply:
        """Decide about an account."""
        did = about if isinstance(about, str) else about.did
        subject = {"$type": f"{NSID}defs#account", "did": did}
        return self.act("decide", who, {"community": slug, "action": action, "subject": subject, **more})

    def status(self, slug: str, who: Account | str) -> tuple[str, int] | None:
        """Status and stored role of somebody."""
        did = who if isinstance(who, str) else who.did
        rows = self.writer.sql(
            "SELECT status, role FROM membership WHERE community = ? AND actor = (SELECT id FROM actor WHERE did = ?)",
            self.id(slug), did,
        )  # fmt: skip
        return (rows[0][0], rows[0][1]) if rows else None

    @staticmethod
    def _checked(method: str, reply: Reply) -> Reply:
        if reply.status == 200:
            CATALOG.check_output(nsid(method), reply.json)
        elif reply.status in (400, 403) and reply.fault[1] not in ANY:
            assert reply.fault[1] in ERRORS[nsid(method)], reply.body
        return reply


def _declaration(labeler: Labeler, number: int) -> str:
    """A labeler as labels.toml declares it, with one value."""
    lines = [f"did = {json.dumps(labeler.did)}", f'endpoint = "https://labels{number}.example.org"']
    for name in ("communities", "reason_types", "subject_types", "subject_collections"):
        said = getattr(labeler, name)
        if said is not None:
            lines.append(f"{name} = {json.dumps(sorted(said))}")
    value = 'value = "spam"\nseverity = "inform"\nblurs = "none"\nlocales.en = {name = "Spam", description = "Spam."}'
    return "\n".join(("[[labeler]]", *lines, "[[labeler.label]]", value, ""))


@contextmanager
def town(folder: Path, labelers: Sequence[Labeler] = (), **settings: str) -> Iterator[Town]:
    """The site with the communities of RULES (python, rust), and a clock that stands still until it is moved. Nothing
    ends there of itself (service/ending.py) but what is over at its start.
    """
    clock = Clock()
    if labelers:
        settings["labels"] = str(folder / "labels.toml")
        folder.joinpath("labels.toml").write_text("".join(map(_declaration, labelers, itertools.count())))
    with pytest.MonkeyPatch.context() as patch:
        if ending.LOOK_SECONDS > 1:
            patch.setattr(ending, "LOOK_SECONDS", 1e6)
        with site_and_writer(folder, RULES, clock, **settings) as (site, writer):
            yield Town(site, writer, clock)
