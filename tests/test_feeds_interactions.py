"""sendInteractions: what is accepted, what is kept, each token once, and the body's limits."""

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import models.database
from feedgen.interactions import EVENTS, MOST
from models.database import open_database, writing
from service.wiring import INTERACTIONS_BURST
from tests.didnet import Account, plc
from tests.feed_site import INTERACTIONS, SERVICE, Site, Writer, feed_uri, site, site_and_writer, token
from tests.lexicons import Lexicons

ITEM = f"at://{plc(1)}/app.bsky.feed.post/x"
LIKE = "app.bsky.feed.defs#interactionLike"
_numbers = iter(range(2000, 3000))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Writer]]:
    with site_and_writer(tmp_path_factory.mktemp("interactions")) as served:
        yield served


@pytest.fixture
def door(both: tuple[Site, Writer]) -> Site:
    both[1].sql("DELETE FROM interaction")
    return both[0]


@pytest.fixture
def alice(door: Site) -> Account:
    """Somebody new, with a full allowance."""
    return door.account(next(_numbers))


def kept(both: tuple[Site, Writer]) -> list[Any]:
    return both[1].sql("SELECT viewer, item, event, req_id, feed, feed_context FROM interaction ORDER BY event, req_id")


def send(door: Site, account: Account, *interactions: Any, **more: Any) -> Any:
    return door.send({"interactions": list(interactions), **more}, token(account, INTERACTIONS))


def test_an_interaction_is_kept_as_it_was_sent(
    both: tuple[Site, Writer], door: Site, alice: Account, shared_data: Path
) -> None:
    before = time.time_ns() // 1000
    reply = send(
        door, alice, {"item": ITEM, "event": LIKE, "feedContext": "c\u00e9", "reqId": "r"}, feed=feed_uri("python")
    )
    assert reply.status == 200
    Lexicons(shared_data / "lexicons").output(INTERACTIONS, reply.json)
    assert kept(both) == [(alice.did, ITEM, LIKE, "r", feed_uri("python"), "cé")]
    assert before <= both[1].sql("SELECT at FROM interaction")[0][0] <= time.time_ns() // 1000


def test_every_event_of_the_lexicon_is_known(shared_data: Path) -> None:
    text = (shared_data / "lexicons/app/bsky/feed/defs.json").read_text()
    assert set(json.loads(text)["defs"]["interaction"]["properties"]["event"]["knownValues"]) == EVENTS


def test_what_is_unknown_or_about_nothing_is_ignored(both: tuple[Site, Writer], door: Site, alice: Account) -> None:
    unknown = {"item": ITEM, "event": "app.bsky.feed.defs#requestNothing"}
    reply = send(door, alice, unknown, {}, {"item": ITEM}, {"event": LIKE}, {"item": ITEM, "event": "like"}, later=1)
    assert reply.json == {} and kept(both) == []


def test_the_same_twice_is_kept_once(both: tuple[Site, Writer], door: Site, alice: Account) -> None:
    like = {"item": ITEM, "event": LIKE, "reqId": "1"}
    assert send(door, alice, like, like).status == 200
    assert send(door, alice, like, like | {"reqId": "2"}, like | {"feedContext": "other"}).status == 200
    assert [(row[3], row[5]) for row in kept(both)] == [("1", ""), ("2", "")]  # as it came first
    bob = door.account(next(_numbers))
    assert send(door, bob, like).status == 200
    assert len(kept(both)) == 3


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"interactions": None},
        {"interactions": {}},
        {"interactions": "x"},
        {"interactions": [None]},
        {"interactions": [[]]},
        {"interactions": ["x"]},
        {"interactions": [{"item": 1}]},
        {"interactions": [{"item": None}]},
        {"interactions": [{"item": "x"}]},
        {"interactions": [{"item": "https://example.com"}]},
        {"interactions": [{"item": ITEM + "/x"}]},
        {"interactions": [{"item": ITEM, "event": 1}]},
        {"interactions": [{"item": ITEM, "event": LIKE, "feedContext": "x" * 2001}]},
        {"interactions": [{"item": ITEM, "event": LIKE, "feedContext": "é" * 1001}]},
        {"interactions": [{"item": ITEM, "event": LIKE, "reqId": "x" * 101}]},
        {"interactions": [{"item": ITEM, "event": LIKE, "reqId": []}]},
        {"interactions": [{"item": ITEM, "event": LIKE, "reqId": "a\0b"}]},
        {"interactions": [{}] * (MOST + 1)},
        {"interactions": [], "feed": 1},
        {"interactions": [], "feed": None},
        {"interactions": [], "feed": "x"},
        {"interactions": [], "feed": ""},
    ],
)
def test_what_breaks_the_lexicon_is_refused_whole(
    both: tuple[Site, Writer], door: Site, alice: Account, body: dict[str, Any]
) -> None:
    good = {"item": ITEM, "event": LIKE}
    if isinstance(body.get("interactions"), list):
        body = body | {"interactions": [good, *body["interactions"]]}
    act = token(alice, INTERACTIONS)
    assert door.send(body, act).fault == (400, "InvalidRequest")
    assert kept(both) == []
    assert door.send({"interactions": []}, act).status == 200  # the token was not used up


def test_the_longest_texts_and_the_most_items(both: tuple[Site, Writer], door: Site, alice: Account) -> None:
    entry = {"item": ITEM, "event": LIKE, "feedContext": "x" * 2000, "reqId": "é" * 50}
    assert send(door, alice, entry, *[{}] * (MOST - 1)).status == 200
    assert len(kept(both)) == 1


def test_s166_no_viewer_fills_the_disk(
    both: tuple[Site, Writer], door: Site, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A viewer's own are bounded, and an item longer than any of ours is about none of them."""
    monkeypatch.setattr("feedgen.interactions.MOST_KEPT", 3)
    long = {"item": f"at://{plc(1)}/app.bsky.feed.post/x".replace("plc:", "x:" + "y" * 1500), "event": LIKE}
    several = [{"item": ITEM, "event": LIKE, "reqId": str(n)} for n in range(2)]
    assert send(door, alice, long, *several).status == 200
    assert (
        send(door, alice, *several, *({"item": ITEM, "event": LIKE, "reqId": f"more {n}"} for n in range(9))).json == {}
    )
    assert len(kept(both)) == 2  # the two of before counted among what there was room for
    assert send(door, alice, {"item": ITEM, "event": LIKE, "reqId": "z"}).status == 200
    bob = door.account(next(_numbers))
    assert send(door, bob, *several).status == 200
    assert [row[0] for row in kept(both)].count(bob.did) == 2
    assert [row[0] for row in kept(both)].count(alice.did) == 3


def test_s50_a_feed_that_is_not_ours(both: tuple[Site, Writer], door: Site, alice: Account) -> None:
    reply = send(door, alice, {"item": ITEM, "event": LIKE}, feed=f"at://{plc(1)}/app.bsky.feed.generator/python")
    assert reply.fault == (400, "UnknownFeed") and kept(both) == []


# Each token once


def test_s23_a_token_is_used_once(door: Site, alice: Account) -> None:
    act = token(alice, INTERACTIONS)
    assert door.send({"interactions": []}, act).status == 200
    assert door.send({"interactions": []}, act).fault == (401, "JwtReplayed")


def test_s23_fifty_at_once(both: tuple[Site, Writer], door: Site, alice: Account) -> None:
    act = token(alice, INTERACTIONS)
    bodies = [{"interactions": [{"item": ITEM, "event": LIKE, "reqId": f"{n}"}]} for n in range(50)]
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda body: door.send(body, act), bodies))
    assert sorted(reply.status for reply in replies) == [200] + [401] * 49
    assert {reply.fault for reply in replies if reply.status != 200} == {(401, "JwtReplayed")}
    assert len(kept(both)) == 1


def test_s23_two_processes_and_after_a_restart(tmp_path: Path) -> None:
    with site(tmp_path) as one, site(tmp_path) as two:
        alice = two.net.publish(one.account())
        act = token(alice, INTERACTIONS)
        assert one.send({"interactions": []}, act).status == 200
        assert two.send({"interactions": []}, act).fault == (401, "JwtReplayed")
    with site(tmp_path) as later:
        later.net.publish(alice)
        assert later.send({"interactions": []}, act).fault == (401, "JwtReplayed")


def test_s25_the_same_jti_of_two_issuers(door: Site, alice: Account) -> None:
    bob = door.account(next(_numbers))
    for account in (alice, bob):
        assert door.send({"interactions": []}, token(account, INTERACTIONS, jti="same")).status == 200


def test_s26_without_jti_the_token_itself_counts(door: Site, alice: Account) -> None:
    act = token(alice, INTERACTIONS, jti=None)
    assert door.send({"interactions": []}, act).status == 200
    assert door.send({"interactions": []}, act).fault == (401, "JwtReplayed")
    other = token(alice, INTERACTIONS, jti=None, exp=int(time.time()) + 61)
    assert door.send({"interactions": []}, other).status == 200


def test_s28_a_forger_cannot_burn_a_token(door: Site, alice: Account) -> None:
    act = token(alice, INTERACTIONS)
    head, claims, signature = act.split(".")
    assert door.send({"interactions": []}, f"{head}.{claims}.{'A' * len(signature)}").status == 401
    assert door.send({"interactions": []}, act).status == 200


@pytest.mark.parametrize("jti", ["x", None])
def test_s31_the_twin_of_a_signature_is_the_same_token(door: Site, alice: Account, jti: str | None) -> None:
    claims = {"aud": SERVICE, "lxm": INTERACTIONS, "exp": int(time.time()) + 60, "jti": jti}
    low, high = (alice.token(claims, high_s=high) for high in (False, True))
    assert low != high or jti is None
    assert door.send({"interactions": []}, high).status == 200
    assert door.send({"interactions": []}, low).fault == (401, "JwtReplayed")


def test_s29_a_failed_write_gives_the_token_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.database, "BUSY_SECONDS", 0.2)
    with site(tmp_path) as door:
        act = token(door.account(), INTERACTIONS)
        body = {"interactions": [{"item": ITEM, "event": LIKE}]}
        other = open_database(door.config.database)
        try:
            with writing(other):
                assert door.send(body, act).fault == (503, "NotEnoughResources")
                assert door.page("x").fault == (400, "UnknownFeed")  # readers do not wait for writers
            assert door.send(body, act).json == {}
            assert door.send(body, act).fault == (401, "JwtReplayed")
        finally:
            other.close()


def test_s41_an_account_that_the_network_has_hidden(both: tuple[Site, Writer], door: Site) -> None:
    number = next(_numbers)
    hidden = door.account(number)
    both[1].post(number)
    both[1].hide(number)
    act = token(hidden, INTERACTIONS)
    body = {"interactions": [{"item": ITEM, "event": LIKE}]}
    assert door.send(body, act).fault == (403, "AccountInactive") and kept(both) == []
    both[1].hide(number, active=True)
    assert door.send(body, act).status == 200


# How much


def test_s166_too_many_calls_of_one_account(door: Site, alice: Account) -> None:
    replies = [send(door, alice) for _ in range(INTERACTIONS_BURST + 5)]
    assert [reply.status for reply in replies[:INTERACTIONS_BURST]] == [200] * INTERACTIONS_BURST
    refused = [reply for reply in replies if reply.status != 200]
    assert refused and {reply.fault for reply in refused} == {(429, "RateLimitExceeded")}
    assert all(int(reply.headers["Retry-After"]) >= 1 for reply in refused)
    assert {reply.headers["RateLimit-Policy"] for reply in refused} == {"60;w=30"}
    assert send(door, door.account(next(_numbers))).status == 200


def large(size: int) -> bytes:
    return b'{"interactions":[],"x":"' + b"x" * size + b'"}'


def test_s56_a_body_over_64_kib(door: Site, alice: Account) -> None:
    assert door.send(large(60_000), token(alice, INTERACTIONS)).status == 200
    assert door.send(large(70_000), token(alice, INTERACTIONS)).fault == (413, "PayloadTooLarge")
    assert door.send(large(70_000)).fault == (413, "PayloadTooLarge")  # said by its length, before the token is read


def test_s57_packed_bodies(door: Site, alice: Account) -> None:
    small = json.dumps({"interactions": []}).encode()
    for name, data in (("gzip", gzip.compress(small)), ("deflate", zlib.compress(small)), ("identity", small)):
        assert door.send(data, token(alice, INTERACTIONS), [("Content-Encoding", name)]).status == 200
    bomb = gzip.compress(large(10_000_000))
    assert len(bomb) < 64_000
    packed = [("Content-Encoding", "gzip")]
    assert door.send(bomb, token(alice, INTERACTIONS), packed).fault == (413, "PayloadTooLarge")
    assert door.send(b"x", token(alice, INTERACTIONS), packed).fault == (400, "InvalidRequest")
    for name in ("br", "zstd", "gzip, gzip", "x"):
        reply = door.send(small, token(alice, INTERACTIONS), [("Content-Encoding", name)])
        assert reply.fault == (415, "UnsupportedMediaType")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data", "application/json; charset=utf-16", "application/cbor", "json"]
)
def test_s58_a_body_that_does_not_say_it_is_json(door: Site, alice: Account, kind: str) -> None:
    reply = door.send({"interactions": []}, token(alice, INTERACTIONS), [("Content-Type", kind)])
    assert reply.fault == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"x"',
        b"{",
        b'{"interactions":[]}x',
        b'\xef\xbb\xbf{"interactions":[]}',
        b'{"interactions":[],"x":"\xff"}',
        b'{"interactions":[],"x":"\\ud800"}',
        b'{"interactions":[],"x":NaN}',
        b'{"interactions":[],"interactions":[]}',
        b'{"interactions":' + b"[" * 60_000,
        b'{"interactions":[],"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"interactions":[],"x":' + b"9" * 5000 + b"}",
    ],
    ids=range(13),
)
def test_s59_a_body_that_is_no_strict_json(door: Site, alice: Account, body: bytes) -> None:
    assert door.send(body, token(alice, INTERACTIONS)).fault == (400, "InvalidRequest")


def test_s47_only_post(door: Site) -> None:
    for method in ("GET", "HEAD", "PUT", "OPTIONS"):
        reply = door.request(method, f"/xrpc/{INTERACTIONS}")
        assert reply.status == 400 and "Access-Control-Allow-Origin" not in reply.headers
