"""The AppView and the PDS of everybody, on the host of the directory, with faults on demand."""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import cbrrr
from aiohttp import web

from communities.refs import cid_text
from communities.report_cases import begin
from labeler.issue import Wanted, issue
from labeler.labels_file import read_labels
from models import evidence, labelers
from models.database import writing
from models.reports import Said
from ozone.appview import PASSED_ON
from ozone.sources import KEPT_SECONDS
from tests.civic_reports import SPAM
from tests.didnet import Account
from tests.feed_site import NOW, Reply
from tests.label_scene import LABELER
from tests.ozone_site import NSID, Desk, desk, query_of
from xrpc.lexicon import Catalog

GET, PROFILES = "com.atproto.repo.getRecord", "app.bsky.actor.getProfiles"
SEARCH = "app.bsky.actor.searchActors"
PROFILE = "app.bsky.actor.profile"
SINCE = "2024-05-06T07:08:09.000Z"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Asked(NamedTuple):
    """A call as the net has had it: the method, its parameters, and all headers."""

    method: str
    params: list[tuple[str, str]]
    headers: dict[str, str]


class Net:
    """`profiles`: what the AppView shows, by DID; `records`: what PDSes have, by at-uri; `answers`: what a method
    answers instead; `asked`: all calls.
    """

    def __init__(self, place: Desk, lexicons: Catalog | None = None) -> None:
        self.place = place
        self.lexicons = lexicons
        self.profiles: dict[str, dict[str, Any]] = {}
        self.records: dict[str, Any] = {}
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        methods: dict[str, Answer] = dict.fromkeys(PASSED_ON, self.echo)
        methods |= {GET: self._record, PROFILES: self._profiles, SEARCH: self._search}
        for method, answer in methods.items():
            self._serve(method, answer)

    def _serve(self, method: str, usual: Answer) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.asked.append(Asked(method, [*request.query.items()], dict(request.headers)))
            return await self.answers.get(method, usual)(request)

        self.place.place.site.net.answers[f"/xrpc/{method}"] = answer

    def account(self, number: int | None = None, handle: str = "", *, shown: bool = True, **profile: Any) -> Account:
        """Somebody with a PDS; whom the AppView shows, unless it is said otherwise."""
        town = self.place.place
        who = town.person(number)
        handle = handle or f"user-{who.did[-6:]}.example.com"
        self.move(who, town.site.net.url, handle)
        if shown:
            name = {"displayName": "Somebody", "indexedAt": SINCE}
            self.profiles[who.did] = {"did": who.did, "handle": handle, **name, **profile}
        return who

    def move(self, who: Account, pds: str, handle: str = "somebody.example.com") -> None:
        """Somebody's PDS is there."""
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds}
        self.place.place.site.net.publish(who, service=[service], alsoKnownAs=[f"at://{handle}"])

    def put(self, uri: str, value: Any) -> str:
        """A record is there now; returns its CID."""
        self.records[uri] = value
        return cid_of(value)

    def post(self, who: Account, rkey: str = "p1", **more: Any) -> str:
        """Somebody's PDS has a post; returns its at-uri."""
        uri = f"at://{who.did}/app.bsky.feed.post/{rkey}"
        self.put(uri, {"$type": "app.bsky.feed.post", "text": "hello", "createdAt": SINCE} | more)
        return uri

    def calls(self, method: str) -> list[list[tuple[str, str]]]:
        """The parameters of each call of a method."""
        return [asked.params for asked in self.asked if asked.method == method]

    def evidence(self, uri: str, value: Any, *, to: str = "", at: int = NOW) -> str:
        """A record was reported as it is here, to the site or to a community; returns its CID."""
        sql, cid = self.place.place.writer.sql, cid_of(value)
        record = cbrrr.encode_dag_cbor(value, atjson_mode=True)
        did = uri.split("/")[2]
        sql("INSERT INTO evidence (at, did, uri, cid, record) VALUES (?, ?, ?, ?, ?)", at, did, uri, cid, record)
        (number,) = sql("SELECT max(id) FROM evidence")[0]
        community = self.place.place.id(to) if to else 0
        with writing(self.place.place.writer.database) as connection:
            kept = begin(connection, Said("did:plc:reporter", SPAM, "", did, uri, cid), [community], at)
            evidence.attach(connection, kept.id, number)
        return cid

    def label(self, subject: str, value: str = "spam", **more: Any) -> None:
        """LABELER labels an account or a record."""
        file = read_labels(self.place.place.site.config.labels)
        (declared,) = (one for one in file.labelers if one.did == LABELER)
        with writing(self.place.place.writer.database) as connection:
            number = labelers.enter(connection, LABELER)
            wanted = Wanted(number, LABELER, subject, add=(value,), actor="cli", **more)
            issue(connection, declared, wanted, self.place.place.clock.micros() // 1000)

    def read(
        self, nsid: str, who: Account | None, *headers: tuple[str, str], aud: str = LABELER, **params: Any
    ) -> Reply:
        """Call a method that is passed on."""
        site = self.place.place.site
        sent = [("Authorization", f"Bearer {self.place.token(who, '', lxm=nsid, aud=aud)}")] if who else []
        return site.request("GET", f"/xrpc/{nsid}?{query_of(**params)}", headers=[*sent, *headers])

    def ask(self, method: str, who: Account | None = None, **params: Any) -> Reply:
        """Call a method of `tools.ozone.moderation`, as an admin unless somebody is named; the answer must be what the
        official lexicon says.
        """
        reply = self.place.ask(f"moderation.{method}", who or self.place.staff(), **params)
        if reply.status == 200 and self.lexicons:
            self.lexicons.check_output(f"{NSID}moderation.{method}", reply.json)
            assert b"email" not in reply.body
        return reply

    def later(self, seconds: float = KEPT_SECONDS) -> None:
        """Time goes by: nothing is kept any more."""
        self.place.place.clock.now += seconds

    async def echo(self, request: web.Request) -> web.StreamResponse:
        """Says what was asked."""
        accepted = request.headers.get("atproto-accept-labelers", "")
        said = {"method": request.path.rpartition("/")[2], "params": [*request.query.items()], "labelers": accepted}
        return web.json_response(said, headers={"atproto-content-labelers": accepted})

    async def _profiles(self, request: web.Request) -> web.StreamResponse:
        by_handle = {profile["handle"]: did for did, profile in self.profiles.items()}
        actors = request.query.getall("actors")
        assert len(actors) <= 25
        shown = [self.profiles.get(by_handle.get(actor, actor)) for actor in actors]
        return web.json_response({"profiles": [profile for profile in shown if profile]})

    async def _search(self, request: web.Request) -> web.StreamResponse:
        q, limit, cursor = request.query["q"], int(request.query["limit"]), request.query.get("cursor", "0")
        if not cursor.isdecimal():
            return web.json_response({"error": "InvalidRequest", "message": "Malformed cursor"}, status=400)
        at = int(cursor)
        found = [one for one in self.profiles.values() if q in one["displayName"]]
        more = {"cursor": str(at + limit)} if at + limit < len(found) else {}
        return web.json_response({"actors": found[at : at + limit], **more})

    async def _record(self, request: web.Request) -> web.StreamResponse:
        uri = "at://{repo}/{collection}/{rkey}".format(**request.query)
        value = self.records.get(uri)
        if value is None or request.query.get("cid", cid_of(value)) != cid_of(value):
            return web.json_response({"error": "RecordNotFound", "message": "no"}, status=400)
        return web.json_response({"uri": uri, "cid": cid_of(value), "value": value})


def cid_of(value: Any) -> str:
    """The CID of a record, given as JSON has it."""
    return cid_text(b"\x01\x71\x12\x20" + sha256(cbrrr.encode_dag_cbor(value, atjson_mode=True)).digest())


def answering(status: int, body: Any = b"", kind: str = "application/json", **headers: str) -> Answer:
    """Answers so; what is no bytes, as JSON."""

    async def answer(_: web.Request) -> web.StreamResponse:
        if isinstance(body, bytes):
            return web.Response(status=status, body=body, content_type=kind, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return answer


@contextmanager
def net(folder: Path, lexicons: Catalog | None = None, **settings: str) -> Iterator[Net]:
    """The desk of tests/ozone_site.py with all this around it. `lexicons`: by which `Net.ask` judges."""
    with desk(folder, **({"appview_url": "{net}"} | settings)) as place:
        yield Net(place, lexicons)


def official_lexicons(folder: Path) -> Catalog:
    """All official documents below a folder."""
    paths = sorted((folder / "lexicons").rglob("*.json"))
    return Catalog((json.loads(path.read_text(encoding="utf-8")) for path in paths), partial=True)
