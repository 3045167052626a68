"""The door of the methods of communities: for whom a token is good, each used once, verbs, bodies, rates."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import models.database
from models.database import open_database, writing
from service.wiring import DECISIONS_BURST
from tests.civic_site import AUDIENCE, NSID, Town, town
from tests.feed_site import SERVICE


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("tokens")) as found:
        found.found("birds")
        found.found("old", state="archived")
        yield found


@pytest.mark.parametrize("aud", [AUDIENCE, SERVICE])
def test_s13_the_bare_did_is_what_a_pds_signs(place: Town, aud: str) -> None:
    """Seen with @atproto/pds 0.5.35: with `atproto-proxy: did#service` it calls with `aud` the bare DID."""
    alice = place.person()
    assert place.act("join", alice, {"community": "birds"}, place.token(alice, "join", aud=aud)).status == 200
    sent = f"Bearer {place.token(alice, 'getViewer', aud=aud)}"
    assert "membership" in place.site.ask("community=birds", sent, method=f"{NSID}getViewer").json


@pytest.mark.parametrize(
    "aud",
    [f"{SERVICE}#bsky_fg", f"{SERVICE}#Communities", f"{AUDIENCE}#communities", f"{SERVICE}#", "did:web:x.example"],
)
def test_s14_a_token_for_another_service(place: Town, aud: str) -> None:
    alice = place.person()
    sent = place.token(alice, "join", aud=aud)
    assert place.act("join", alice, {"community": "birds"}, sent).fault == (401, "BadJwtAudience")
    asked = f"Bearer {place.token(alice, 'getViewer', aud=aud)}"
    reply = place.site.ask("community=birds", asked, method=f"{NSID}getViewer")
    assert reply.fault == (401, "BadJwtAudience")
    assert place.status("birds", alice) is None


def test_s17_a_token_for_the_feeds_decides_nothing_and_the_other_way_round(place: Town) -> None:
    alice = place.person()
    sent = place.token(alice, "join", lxm="app.bsky.feed.sendInteractions", aud=SERVICE)
    assert place.act("join", alice, {"community": "birds"}, sent).fault == (401, "BadJwtLexiconMethod")
    sent = place.token(alice, "join", aud=SERVICE)
    assert place.site.send({"interactions": []}, sent).fault == (401, "BadJwtLexiconMethod")
    sent = place.token(alice, "join", lxm="app.bsky.feed.sendInteractions")
    assert place.site.send({"interactions": []}, sent).fault == (401, "BadJwtAudience")


@pytest.mark.parametrize("method", ["join", "leave", "decide", "setRole"])
def test_s17_a_token_is_for_one_method(place: Town, method: str) -> None:
    alice = place.person()
    for lxm in (f"{NSID}joins", "*", f"{NSID}getViewer", NSID + method.upper(), None):
        sent = place.token(alice, method, lxm=lxm)
        assert place.act(method, alice, {"community": "birds"}, sent).fault == (401, "BadJwtLexiconMethod")
    assert place.act(method, None, {"community": "birds"}).fault == (401, "AuthMissing")


def test_s23_a_token_is_used_once(place: Town) -> None:
    alice = place.person()
    sent = place.token(alice, "join")
    assert place.act("join", alice, {"community": "birds"}, sent).status == 200
    assert place.act("join", alice, {"community": "birds"}, sent).fault == (401, "JwtReplayed")
    assert place.act("leave", alice, {"community": "birds"}).status == 200
    assert place.act("join", alice, {"community": "birds"}, sent).fault == (401, "JwtReplayed")
    assert place.status("birds", alice) is None


def test_s23_fifty_at_once(place: Town) -> None:
    alice = place.person()
    sent = place.token(alice, "join")
    with ThreadPoolExecutor(25) as pool:
        replies = list(pool.map(lambda _: place.act("join", alice, {"community": "birds"}, sent), range(50)))
    assert sorted(reply.status for reply in replies) == [200] + [401] * 49
    assert place.events(alice) == [("join", alice.did, "member")]


def test_s28_what_was_refused_used_no_token_up(place: Town) -> None:
    alice = place.person()
    sent = place.token(alice, "join")
    assert place.act("join", alice, {"community": "old"}, sent).fault == (400, "Archived")
    head, claims, signature = sent.split(".")
    assert place.act("join", alice, {"community": "birds"}, f"{head}.{claims}.{'A' * len(signature)}").status == 401
    assert place.act("join", alice, {"community": "birds"}, sent).status == 200


def test_s29_a_failed_write_gives_the_token_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.database, "BUSY_SECONDS", 0.2)
    with town(tmp_path) as place:
        place.found("birds")
        alice = place.person()
        sent = place.token(alice, "join")
        other = open_database(place.site.config.database)
        try:
            with writing(other):
                assert place.act("join", alice, {"community": "birds"}, sent).fault == (503, "NotEnoughResources")
                assert place.ask("getViewer", alice, community="birds").status == 200  # readers do not wait
            assert place.act("join", alice, {"community": "birds"}, sent).status == 200
        finally:
            other.close()


def test_s41_an_account_that_the_network_has_hidden(place: Town) -> None:
    alice = place.person(77)
    place.writer.post(77)
    place.writer.hide(77)
    assert place.join(alice).fault == (403, "AccountInactive")
    place.writer.hide(77, active=True)
    assert place.join(alice).status == 200


def test_s44_a_stranger_is_refused_before_the_body_is_read(place: Town) -> None:
    assert place.act("join", None, b"{").fault == (401, "AuthMissing")
    assert place.act("join", place.person(), b"{").fault == (400, "InvalidRequest")
    assert place.act("decide", None, b"x" * 200_000).fault == (413, "PayloadTooLarge")


def test_s47_only_by_its_verb(place: Town) -> None:
    for method, verbs in (("join", ("GET", "PUT", "OPTIONS")), ("getViewer", ("POST", "HEAD", "DELETE"))):
        for verb in verbs:
            assert place.site.request(verb, f"/xrpc/{NSID}{method}").status == 400


def test_s64_any_page_may_read_but_not_act(place: Town) -> None:
    reply = place.ask("getCommunity", community="birds")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in reply.headers
    asked = [("Access-Control-Request-Method", "GET"), ("Origin", "https://a.example")]
    assert place.site.request("OPTIONS", f"/xrpc/{NSID}getCommunity", headers=asked).status == 204
    assert "Access-Control-Allow-Origin" not in place.join(place.person()).headers


def test_s166_too_many_calls_of_one_account(place: Town) -> None:
    alice = place.person()
    replies = [place.join(alice, volume=1 + n % 5) for n in range(DECISIONS_BURST + 5)]
    assert {reply.status for reply in replies[:DECISIONS_BURST]} == {200}
    refused = [reply for reply in replies if reply.status != 200]
    assert refused and {reply.fault for reply in refused} == {(429, "RateLimitExceeded")}
    assert {reply.headers["RateLimit-Policy"] for reply in refused} == {"60;w=60"}
    assert place.join(place.person()).status == 200


BODIES: list[Any] = [
    {},
    {"community": 1},
    {"community": ""},
    {"community": None},
    {"community": "x" * 2201},
    {"community": ["birds"]},
    {"community": "birds", "volume": {}},
]


@pytest.mark.parametrize(("method", "body"), [*itertools.product(("join", "leave"), BODIES[:6]), ("join", BODIES[6])])
def test_what_breaks_the_lexicon_is_refused(place: Town, method: str, body: Any) -> None:
    assert place.act(method, place.person(), body).fault == (400, "InvalidRequest")


def test_s137_what_else_a_body_says_is_not_believed(place: Town) -> None:
    alice, bob = place.person(), place.person()
    more = {"actor": bob.did, "did": bob.did, "role": "admin", "status": "member", "createdBy": bob.did}
    assert place.act("join", alice, {"community": "birds", **more}).status == 200
    assert (place.status("birds", alice), place.status("birds", bob)) == (("member", 1), None)


def test_old_tokens(place: Town) -> None:
    alice, now = place.person(), int(time.time())
    for claims, error in (
        ({"exp": now - 60}, "JwtExpired"),
        ({"exp": now + 9999}, "BadJwt"),
        ({"exp": None}, "BadJwt"),
    ):
        sent = place.token(alice, "join", **claims)
        assert place.act("join", alice, {"community": "birds"}, sent).fault == (401, error)


def test_counted_and_not_by_whom(place: Town) -> None:
    alice = place.person()
    place.join(alice)
    text = place.site.metrics()
    assert 'kind="civic join"' in text and alice.did not in text
