"""What is read of the AppView through the labeler: by whom, what goes along, what comes back, and how often."""

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ozone.appview import KEPT_SECONDS, PASSED_ON, accepted_labelers
from ozone.methods import OzoneMethods
from ozone.roles import Role
from tests.civic_site import town
from tests.didnet import plc
from tests.feed_site import SERVICE
from tests.label_scene import LABELER, OTHER
from tests.ozone_net import PROFILES, Net, answering, net

PROFILE, THREAD, SEARCH = "app.bsky.actor.getProfile", "app.bsky.feed.getPostThread", "app.bsky.feed.searchPosts"
ACCEPT = "atproto-accept-labelers"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with net(tmp_path_factory.mktemp("appview")) as found:
        yield found


@pytest.fixture
def world(shared: Net) -> Net:
    """A clean one: nothing is kept from other tests."""
    shared.place.place.clock.now += KEPT_SECONDS
    shared.answers.clear()
    shared.asked.clear()
    return shared


def test_every_method_of_the_list_is_passed_on_as_it_was_sent(world: Net) -> None:
    who = world.place.member(Role.TRIAGE)
    world.answers[PROFILES] = world.echo
    for nsid in PASSED_ON:
        reply = world.read(nsid, who, q="ä+b & c", actors=["x", "y"], empty="")
        assert reply.status == 200, reply.body
        params = [["q", "ä+b & c"], ["actors", "x"], ["actors", "y"], ["empty", ""]]
        assert reply.json == {"method": nsid, "params": params, "labelers": LABELER}
    assert [asked.method for asked in world.asked] == [*PASSED_ON]


def test_the_list_is_that_of_the_web_ui_and_nothing_else_is_passed_on(world: Net) -> None:
    who = world.place.staff()
    for nsid in ("app.bsky.actor.getPreferences", "app.bsky.feed.getTimeline", "com.atproto.admin.getAccountInfo"):
        assert world.read(nsid, who).fault == (501, "MethodNotImplemented")
    assert len({*PASSED_ON}) == 16 and world.asked == []


def test_no_credentials_and_nothing_else_of_the_caller_goes_along(world: Net) -> None:
    """So nobody can hide from moderators by blocking them."""
    who = world.place.member(Role.TRIAGE)
    more = [("Cookie", "a=b"), ("X-Forwarded-For", "1.2.3.4"), ("atproto-proxy", f"{LABELER}#atproto_labeler")]
    assert world.read(PROFILE, who, *more, actor="x").status == 200
    (asked,) = world.asked
    sent = {name.lower() for name in asked.headers}
    assert sent == {"host", "accept", "accept-encoding", "user-agent", ACCEPT}
    assert who.did not in str(asked)


@pytest.mark.parametrize("role", Role)
def test_any_role_of_the_team(world: Net, role: Role) -> None:
    who = world.place.member(role)
    assert world.read(PROFILE, who, actor="x").status == 200
    assert world.read(PROFILE, who, aud=OTHER, actor="x").fault == (401, "AuthenticationRequired")


def test_who_moderates_a_community(world: Net) -> None:
    assert world.read(PROFILE, world.place.place.moderator("python"), actor="x").status == 200


def test_nobody_else(world: Net) -> None:
    place = world.place
    assert world.read(PROFILE, place.place.person(), actor="x").fault == (401, "AuthenticationRequired")
    assert world.read(PROFILE, place.member(Role.ADMIN, disabled=True), actor="x").fault == (401, "MemberDisabled")
    assert world.read(PROFILE, None, actor="x").fault == (401, "AuthMissing")
    for aud in (SERVICE, f"{LABELER}#bsky_fg", plc(5)):
        assert world.read(PROFILE, place.staff(), aud=aud, actor="x").fault == (401, "BadJwtAudience")
    token = place.token(place.staff(), "", lxm=THREAD)
    refused = place.place.site.ask("actor=x", f"Bearer {token}", method=PROFILE)
    assert refused.fault == (401, "BadJwtLexiconMethod") and world.asked == []


def test_verbs_and_other_origins(world: Net) -> None:
    site = world.place.place.site
    assert site.request("POST", f"/xrpc/{PROFILE}").fault == (400, "InvalidRequest")
    asked = [("Access-Control-Request-Method", "GET"), ("Origin", "https://ozone.example")]
    allowed = site.request("OPTIONS", f"/xrpc/{PROFILE}", headers=asked)
    assert allowed.status == 204 and ACCEPT in allowed.headers["Access-Control-Allow-Headers"]
    reply = world.read(PROFILE, world.place.staff(), actor="x")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert reply.headers["Access-Control-Expose-Headers"] == "atproto-content-labelers"


def test_whose_labels_are_added_is_what_the_client_says_or_else_the_labelers_own(world: Net) -> None:
    who = world.place.staff()
    for sent, told in (
        ((), LABELER),
        (("did:plc:abc",), "did:plc:abc"),
        ((f"{LABELER}, did:web:x.example;redact",), f"{LABELER}, did:web:x.example;redact"),
        (("nonsense",), LABELER),
    ):
        world.place.place.clock.now += KEPT_SECONDS
        reply = world.read(PROFILE, who, *((ACCEPT, value) for value in sent), actor="x")
        assert (reply.json["labelers"], reply.headers["atproto-content-labelers"]) == (told, told)
    other = world.read(PROFILE, world.place.member(labeler=OTHER), aud=OTHER, actor="x")
    assert other.json["labelers"] == OTHER


OWN = "did:plc:own"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["did:plc:a,did:plc:b"], "did:plc:a, did:plc:b"),
        (["did:plc:a", "did:plc:b ; redact"], "did:plc:a, did:plc:b;redact"),
        (["did:plc:a;redact=?1 , did:plc:a"], "did:plc:a"),
        ([f"did:plc:{number}" for number in range(20)], ", ".join(f"did:plc:{number}" for number in range(20))),
        ([f"did:plc:{number}" for number in range(21)], OWN),
        (["did:plc:a;redact;redact"], OWN),
        (["did:plc:a;redact=?0"], OWN),
        (["did:plc:a;more"], OWN),
        (["did:plc:a,"], OWN),
        (["a.example"], OWN),
        (["did:plc:a did:plc:b"], OWN),
        (["did:plc:a\u2028"], OWN),
        ([""], OWN),
        ([], OWN),
    ],
)
def test_labelers_that_a_header_names(values: list[str], told: str) -> None:
    assert accepted_labelers(values, OWN) == told


def test_polling_tabs_do_not_reach_the_appview(world: Net) -> None:
    people = [world.place.staff(), world.place.member(Role.TRIAGE)]
    for _ in range(3):
        for who in people:
            assert world.read(PROFILE, who, actor="x").status == 200
    assert len(world.asked) == 1
    world.read(PROFILE, people[0], (ACCEPT, "did:plc:abc"), actor="x")
    world.read(PROFILE, people[0], actor="y")
    world.read(THREAD, people[0], actor="x")
    assert len(world.asked) == 4
    world.place.place.clock.now += KEPT_SECONDS - 1
    world.read(PROFILE, people[0], actor="x")
    assert len(world.asked) == 4
    world.place.place.clock.now += 1
    world.read(PROFILE, people[0], actor="x")
    assert len(world.asked) == 5


def test_many_who_ask_at_once_are_one_request(world: Net) -> None:
    go, count = asyncio.Event(), 6
    counts = world.place.place.site

    async def slow(_: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.json_response({"a": 1})

    world.answers[PROFILE] = slow
    people = [world.place.member(Role.TRIAGE) for _ in range(count)]
    before = _called(counts.metrics(), PROFILE)
    with ThreadPoolExecutor(count) as threads:
        replies = [threads.submit(world.read, PROFILE, who, actor="crowd") for who in people]
        while _called(counts.metrics(), PROFILE) < before + count:
            pass
        counts.run(_set(go))
        assert [reply.result().json for reply in replies] == [{"a": 1}] * count
    assert len(world.calls(PROFILE)) == 1


async def _set(event: asyncio.Event) -> None:
    event.set()


def _called(metrics: str, method: str) -> int:
    lines = [line for line in metrics.splitlines() if f'kind="ozone {method}"' in line]
    return int(float(lines[0].rpartition(" ")[2])) if lines else 0


def test_an_error_of_the_appview_is_passed_on_as_it_names_it(world: Net) -> None:
    who = world.place.staff()
    for status in (400, 401, 403, 404, 429):
        world.place.place.clock.now += KEPT_SECONDS
        world.answers[PROFILE] = answering(status, {"error": "AccountTakedown", "message": "Gone\x1b[2J.", "x": 1})
        reply = world.read(PROFILE, who, actor="gone")
        assert reply.fault == (status, "AccountTakedown") and reply.json["message"] == "Gone [2J."
    world.place.place.clock.now += KEPT_SECONDS
    world.answers[PROFILE] = answering(400, {"error": "InvalidRequest"})
    assert "refused" in world.read(PROFILE, who, actor="gone").json["message"]


BAD: dict[str, Any] = {
    "500": answering(500, {"error": "InternalServerError", "message": "secret"}),
    "503": answering(503, b"busy", "text/plain"),
    "an error that is none": answering(404, {"error": "<b>", "message": "x"}),
    "an error page": answering(404, b"<html>", "text/html"),
    "a page": answering(200, b"<html>", "text/html"),
    "no JSON": answering(200, b"{"),
    "JSON sent as text": answering(200, b"{}", "text/plain"),
    "a list": answering(200, b"[]"),
    "nothing": answering(204),
    "too much": answering(200, b'{"a": "' + b"a" * (4 << 20) + b'"}'),
}


@pytest.mark.parametrize("name", BAD)
def test_s112_an_answer_that_is_none_is_a_failure_of_the_appview(world: Net, name: str) -> None:
    world.answers[PROFILE] = BAD[name]
    reply = world.read(PROFILE, world.place.staff(), actor=name)
    assert reply.fault == (502, "UpstreamFailure") and "secret" not in reply.json["message"]
    world.answers.clear()
    assert world.read(PROFILE, world.place.staff(), actor=name).status == 200, "a failure is not kept"


@pytest.mark.parametrize("to", ["http://127.0.0.1:1/", "http://169.254.169.254/latest", "/xrpc/app.bsky.feed.getLikes"])
def test_s109_no_redirect_is_followed(world: Net, to: str) -> None:
    world.answers[PROFILE] = answering(302, Location=to)
    reply = world.read(PROFILE, world.place.staff(), actor="moved")
    assert reply.fault == (502, "UpstreamFailure") and "302" in reply.json["message"]
    assert len(world.asked) == 1


def test_an_appview_that_does_not_answer_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ozone.appview.FETCH_SECONDS", 0.2)
    with net(tmp_path) as world:
        never = asyncio.Event()

        async def silent(_: web.Request) -> web.StreamResponse:
            await never.wait()
            raise AssertionError

        world.answers[PROFILE] = silent
        assert world.read(PROFILE, world.place.staff(), actor="x").fault == (504, "UpstreamTimeout")
        world.place.place.site.run(_set(never))


def test_s107_an_appview_that_is_not_public_is_not_reached(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.2", 0)) as private:
        private.setblocking(False)
        with net(tmp_path, appview_url=f"http://127.0.0.2:{private.getsockname()[1]}") as world:
            assert world.read(PROFILE, world.place.staff(), actor="x").fault == (502, "UpstreamFailure")
            with pytest.raises(BlockingIOError):
                private.accept()


def test_s49_query_strings_that_are_none(world: Net) -> None:
    site, who = world.place.place.site, world.place.staff()
    for query in ("a=%FF", "a=%00", "a=%", "q=" + "a" * 8190):
        sent = f"Bearer {world.place.token(who, '', lxm=SEARCH)}"
        assert site.ask(query, sent, method=SEARCH).fault == (400, "InvalidRequest")
    assert world.asked == []


def test_a_query_string_cannot_become_something_else(world: Net) -> None:
    site, who = world.place.place.site, world.place.staff()
    sent = f"Bearer {world.place.token(who, '', lxm=SEARCH)}"
    reply = site.ask("q=%23%26x=1%0d%0aHost:%20a&q=;&?/=..", sent, method=SEARCH)
    assert reply.json["params"] == [["q", "#&x=1\r\nHost: a"], ["q", ";"], ["?/", ".."]]


def test_what_this_service_answers_itself_is_not_passed_on(world: Net) -> None:
    site = world.place.place.site
    assert site.request("GET", "/xrpc/app.bsky.feed.describeFeedGenerator").json["did"] == SERVICE
    methods = OzoneMethods.passed_on
    named = {one.nsid for one in methods(OzoneMethods.__new__(OzoneMethods), {PROFILE, "x.y.z"})}
    assert named == {*PASSED_ON} - {PROFILE}


def test_s166_reads_are_limited_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.moderating.READS_BURST", 5)
    monkeypatch.setattr("service.moderating.READS_PER_SECOND", 0.001)
    with net(tmp_path) as world:
        who = world.place.staff()
        statuses = [world.read(PROFILE, who, actor="x").status for _ in range(4)]
        statuses += [world.place.ask("server.getConfig", who).status for _ in range(2)]
        assert statuses == [200] * 5 + [429]
        assert world.read(PROFILE, who, actor="x").fault == (429, "RateLimitExceeded")


def test_nothing_of_it_is_there_without_a_labeler(tmp_path: Path) -> None:
    with town(tmp_path, labels=str(tmp_path / "none.toml")) as place:
        for nsid in PASSED_ON:
            assert place.site.request("GET", f"/xrpc/{nsid}").fault == (501, "MethodNotImplemented")
