"""Moderators who call the moderation API through HTTP with signed tokens, as their PDSes forward what the Ozone web UI
asks. The site is two labelers: LABELER for every community, OTHER for `rust`.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from communities.access import Role as Member
from lexicons.catalog import moderation_documents
from models import labelers, team
from models.database import writing
from models.team import MemberRow
from ozone.roles import BY_TOKEN, Role
from tests.civic_site import Town, town
from tests.didnet import Account, plc
from tests.feed_site import Reply, token
from tests.label_scene import LABELER, LABELS, OTHER, SECOND
from xrpc.lexicon import Catalog

NSID = "tools.ozone."
STAFF_ADMIN, STAFF_MODERATOR = 33, 34
"""Numbers of the accounts that the settings name."""
CATALOG = Catalog(moderation_documents(), partial=True)
ERRORS = {
    document["id"]: {error["name"] for error in document["defs"].get("main", {}).get("errors", ())}
    for document in moderation_documents()
}
MAIN_PARAMS = {
    document["id"].removeprefix(NSID): set(document["defs"]["main"].get("parameters", {}).get("properties", {}))
    for document in moderation_documents()
    if document["defs"].get("main", {}).get("type") == "query"
}
"""The names of the parameters of each query."""
ERRORS[NSID + "set.addValues"] = {"SetNotFound"}  # the lexicon says that there is an error, and gives it no name
ERRORS[NSID + "queue.updateQueue"] |= {"ConflictingQueue"}  # a name that another has; the lexicon has it of createQueue
ERRORS[NSID + "report.listActivities"] = {"NotFound"}  # as getReport has it; this lexicon names no error
ANY = {"SecondNeeded", "InvalidRequest", "InvalidCursor", "LastAdmin", "AccountInactive", "PayloadTooLarge"}
_NO_ANSWER = {
    document["id"].removeprefix(NSID)
    for document in moderation_documents()
    if "output" not in document["defs"].get("main", {})
}


class Desk:
    """Where moderators sit: the town, and its moderation API."""

    def __init__(self, place: Town) -> None:
        self.place = place

    def staff(self, number: int = STAFF_ADMIN) -> Account:
        """Somebody whom the settings name."""
        return self.place.person(number)

    def member(self, role: Role = Role.ADMIN, *, disabled: bool = False, labeler: str = LABELER) -> Account:
        """Somebody new who is of the team."""
        who = self.place.person()
        self.put(who.did, role, disabled=disabled, labeler=labeler)
        return who

    def put(self, did: str, role: Role, *, disabled: bool = False, labeler: str = LABELER) -> None:
        """A row of the team."""
        with writing(self.place.writer.database) as connection:
            now = self.place.clock.micros()
            number = labelers.enter(connection, labeler)
            team.put(connection, number, MemberRow(did, role.value, disabled, now, now, plc(1)))

    def rows(self, table: str = "team_member") -> list[Any]:
        return self.place.writer.sql(f"SELECT * FROM {table} ORDER BY 1, 2, 3")

    def token(self, who: Account, method: str, **claims: Any) -> str:
        """A fresh token for one call."""
        return token(who, claims.pop("lxm", NSID + method), **({"aud": LABELER} | claims))

    def ask(self, method: str, who: Account | None, *, aud: str = LABELER, **params: Any) -> Reply:
        """Call a query; its answer must be what the official lexicon says."""
        sent = [f"Bearer {self.token(who, method, aud=aud)}"] if who else []
        reply = self.place.site.ask(query_of(**params), *sent, method=NSID + method)
        if reply.status == 200:
            CATALOG.check_params(NSID + method, {name: value for name, value in params.items() if value is not None})
        return _checked(method, reply)

    def act(self, method: str, who: Account | None, body: Any, *, sent: str = "", aud: str = LABELER) -> Reply:
        """Call a procedure, with the token `sent` or a fresh one."""
        sent = sent or (self.token(who, method, aud=aud) if who else "")
        headers = [("Content-Type", "application/json"), *([("Authorization", f"Bearer {sent}")] if sent else [])]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = self.place.site.request("POST", f"/xrpc/{NSID}{method}", data, headers)
        if reply.status == 200:
            CATALOG.check_input(NSID + method, json.loads(data))
        return _checked(method, reply)

    def every(self, method: str, who: Account, limit: int, **params: Any) -> Iterator[list[Any]]:
        """Page by page."""
        for at in itertools.count():
            reply = self.ask(method, who, limit=limit, **params)
            assert reply.status == 200, reply.body
            (page,) = (value for value in reply.json.values() if isinstance(value, list))
            assert len(page) <= limit and (page or not at)
            yield page
            if reply.cursor is None:
                return
            params["cursor"] = reply.cursor


def query_of(**params: Any) -> str:
    """A query string as clients write it."""
    return "&".join(
        f"{name}={quote(_text(one), safe='')}"
        for name, value in params.items()
        if value is not None
        for one in (value if isinstance(value, list) else [value])
    )


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (bool, int)) else str(value)


def _checked(method: str, reply: Reply) -> Reply:
    if reply.status == 200 and method in _NO_ANSWER:
        assert reply.body == b""
    elif reply.status == 200:
        CATALOG.check_output(NSID + method, reply.json)
    elif reply.status == 400:
        assert reply.fault[1] in ANY | ERRORS[NSID + method], reply.body
    return reply


def role_of(view: dict[str, Any]) -> Role:
    """The role that a view of a member tells."""
    return BY_TOKEN[view["role"]]


def callers(place: Desk) -> Iterator[tuple[Account | None, str]]:
    """Somebody of every kind, and what becomes of their calls where moderators of the team share something: `team`,
    `community` (they moderate, and see nothing of it), or the error.
    """
    yield from ((who, "team") for who in (place.staff(), place.staff(STAFF_MODERATOR)))
    yield from ((place.member(role), "team") for role in (Role.ADMIN, Role.MODERATOR))
    yield from ((who, "community") for who in (place.place.moderator("python"), place.place.admin("rust")))
    for role in (Role.TRIAGE, Role.VERIFIER):
        both = place.member(role)
        place.place.put("python", both, role=Member.MODERATOR)
        yield both, "community"
        yield place.member(role), "AuthenticationRequired"
    yield place.member(Role.ADMIN, labeler=OTHER), "AuthenticationRequired"
    yield place.place.member("python"), "AuthenticationRequired"
    yield place.member(Role.ADMIN, disabled=True), "MemberDisabled"
    yield None, "AuthMissing"


@contextmanager
def desk(folder: Path, **settings: str) -> Iterator[Desk]:
    """The site, with an admin and a moderator whom its settings name, unless `settings` name others."""
    labels = folder / "labels.toml"
    labels.write_text(LABELS + SECOND.replace('"birds"', '"rust"'))
    given = {"labels": str(labels), "admins": plc(STAFF_ADMIN), "moderators": plc(STAFF_MODERATOR)}
    with town(folder, **(given | settings)) as place:
        yield Desk(place)


@contextmanager
def unlimited(folder: Path) -> Iterator[Desk]:
    """The same, where one account may write as often as it likes: for many calls that are refused."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("service.moderating.WRITES_BURST", 10_000)
            found = stack.enter_context(desk(folder))
        yield found
