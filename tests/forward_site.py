"""The desk of tests/ozone_site.py, whose moderators may forward to other labelers; and the PDS of the account as which
the service does so, on loopback, with faults on demand.
"""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.forwarding import Forwarding, forwards_allowed
from service.lasting import own_thread
from service.upstream import Upstream
from tests.civic_reports import about
from tests.didnet import plc
from tests.feed_site import Reply
from tests.label_scene import LABELER
from tests.ozone_site import Desk, desk
from tests.service_process import PATIENCE
from xrpc.egress import egress_session
from xrpc.resolver import DidResolver

ACCOUNT, ACCOUNT_HANDLE, PASSWORD = 801, "desk.example.com", "abcd-efgh-canary"
UPSTREAM, SECOND_UPSTREAM, UNKNOWN = plc(802), plc(803), plc(804)
SESSION, REPORT = "com.atproto.server.createSession", "com.atproto.moderation.createReport"
TAG, ESCALATE = "modEventTag", "modEventEscalate"
SETTINGS = {
    "forward_account": plc(ACCOUNT),
    "forward_password": PASSWORD,
    "forward_to": f"{UPSTREAM}, {SECOND_UPSTREAM}, {LABELER}",
}


class Sent(NamedTuple):
    """A report as the PDS has had it: to which service it is for, and its body."""

    proxy: str
    body: dict[str, Any]


class Pds:
    """`faults`: what createReport answers instead, one after the other; `sign_in`: what createSession answers instead;
    `sent`: all that came with a good token; `signed_in`: how often; `arrived`: set when a report has come; `gate`: it
    is answered behind that.
    """

    def __init__(self, place: Desk) -> None:
        self.place = place
        self.faults: list[web.Response] = []
        self.sign_in: web.Response | None = None
        self.sent: list[Sent] = []
        self.signed_in = 0
        self.arrived = threading.Event()
        self.gate: asyncio.Event | None = None
        self.token = "token-0"
        app = web.Application()
        app.router.add_post(f"/xrpc/{SESSION}", self._create_session)
        app.router.add_post(f"/xrpc/{REPORT}", self._create_report)
        self.server = TestServer(app, host="localhost")

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server.port}"

    def publish(self, url: str = "", handle: str = ACCOUNT_HANDLE) -> None:
        """The account's document says that it is here."""
        town = self.place.place
        service = {
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": url or self.url,
        }
        town.site.net.publish(town.person(ACCOUNT), service=[service], alsoKnownAs=[f"at://{handle}"])

    async def _create_session(self, request: web.Request) -> web.Response:
        if self.sign_in is not None:
            return self.sign_in
        body = await request.json()
        if body != {"identifier": plc(ACCOUNT), "password": PASSWORD}:
            return error(401, "AuthenticationRequired")
        self.signed_in += 1
        self.token = f"token-{self.signed_in}"
        said = {"did": plc(ACCOUNT), "handle": ACCOUNT_HANDLE, "accessJwt": self.token, "refreshJwt": "r"}
        return web.json_response(said)

    async def _create_report(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return error(400, "ExpiredToken")
        self.sent.append(Sent(request.headers.get("atproto-proxy", ""), await request.json()))
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.faults:
            return self.faults.pop(0)
        said = {**self.sent[-1].body, "id": 4000 + len(self.sent), "reportedBy": plc(ACCOUNT)}
        return web.json_response({**said, "createdAt": "2026-01-01T00:00:00.000Z"})


class Forwards:
    """The desk, the PDS, and a worker that does a step when a test says so."""

    def __init__(self, place: Desk, pds: Pds) -> None:
        self.place = place
        self.town = place.place
        self.pds = pds
        self._sessions: list[aiohttp.ClientSession] = []
        self._threads = ExitStack()
        self.restart()

    def restart(self) -> None:
        """A worker that knows nothing but what is in the database."""
        config, clock = self.town.site.config, self.town.clock

        async def start() -> Forwarding:
            session = egress_session(config.egress_allow)
            resolver = DidResolver(session, config.plc_url, allow=config.egress_allow)
            self._sessions.append(session)
            in_thread = self._threads.enter_context(own_thread(self.town.writer.database, "forwards"))
            upstream, allowed = Upstream(config, resolver, session), forwards_allowed(config)
            return Forwarding(self.town.writer.database, in_thread, upstream, allowed, clock)

        self.worker = self.town.site.run(start())

    def step(self, after: float = 0.0) -> float:
        """Let the worker do a step, so many seconds later."""
        self.town.clock.now += after
        return self.town.site.run(self.worker.step())

    def begin(self) -> "Future[float]":
        """The same, without waiting for its end."""
        return asyncio.run_coroutine_threadsafe(self.worker.step(), self.town.site._loop)

    async def close(self) -> None:
        self._threads.close()
        for session in self._sessions:
            await session.close()

    def emit(self, who: Any, what: str, kind: str = TAG, *, tool: dict[str, Any] | None = None, **said: Any) -> Reply:
        """Emit an event about something."""
        if kind == TAG:
            said = {"add": [], "remove": [], **said}
        event = {"$type": f"tools.ozone.moderation.defs#{kind}", **said}
        body = {"event": event, "subject": about(self.town, what), "createdBy": who.did}
        return self.place.act("moderation.emitEvent", who, body | ({"modTool": tool} if tool else {}))

    def forward(self, who: Any, what: str, to: str = UPSTREAM, **more: Any) -> Reply:
        """Add the tag."""
        return self.emit(who, what, add=[f"forward:{to}"], **more)

    def tags(self, what: str, who: Any = None) -> list[str]:
        """What a subject is tagged with, as somebody sees it, an admin of the site unless it is said."""
        view = self.place.ask("moderation.getSubjects", who or self.place.staff(), subjects=[what]).json["subjects"][0]
        return [tag for tag in view.get("status", {}).get("tags", ()) if not tag.startswith("community:")]

    def events(self, who: Any, what: str) -> list[dict[str, Any]]:
        """What has happened by itself, as a moderator sees it, the newest first."""
        asked = self.place.ask(
            "moderation.queryEvents", who, subject=what, types=[f"tools.ozone.moderation.defs#{TAG}"]
        )
        return [one for one in asked.json["events"] if one.get("modTool", {}).get("name") == "schedule"]

    def rows(self) -> list[tuple[Any, ...]]:
        """State, tries, remote number and fault of each."""
        rows = self.town.writer.sql("SELECT state, tries, remote, fault FROM forward ORDER BY id")
        return [tuple(row) for row in rows]

    def arrived(self) -> None:
        """Wait until a report has come to the PDS."""
        assert self.pds.arrived.wait(30 * PATIENCE)


def error(status: int, name: str) -> web.Response:
    """An answer as PDSes refuse."""
    return web.json_response({"error": name, "message": "a message with words"}, status=status)


@contextmanager
def forwarding_desk(folder: Path, **settings: str) -> Iterator[Forwards]:
    """All of it; `settings` without which it is off may be given as empty."""
    with desk(folder, **(SETTINGS | settings)) as place:
        pds = Pds(place)
        place.place.site.run(pds.server.start_server())
        pds.publish()
        found = Forwards(place, pds)
        try:
            yield found
        finally:
            place.place.site.run(found.close())
            place.place.site.run(pds.server.close())
