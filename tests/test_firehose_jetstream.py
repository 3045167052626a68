"""Hostile messages of sources without proofs: dropped and counted, whatever they are, and nothing is raised (S95)."""

import json
import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from cbrrr import decode_dag_cbor, encode_dag_cbor

from communities.declaration import parse_declaration
from communities.matching import compile_rules
from firehose import jetstream, tap
from firehose.events import Account, Identity, Lost
from firehose.frames import FrameError, StreamError
from firehose.known import Known
from firehose.ops import Commit, Delete, PutPost, Scope
from firehose.source import parse_source, parse_sources
from firehose.sources import FAILURES, HEALTHY_WITHIN, Order, find_start
from tests.conftest import SHARED_DATA
from tests.didnet import plc
from tests.world.car import cid_of

NOW = 1_790_000_000_000_000
ALICE, BOB, OWNER = plc(1), plc(2), plc(3)
LIST = f"at://{OWNER}/app.bsky.graph.list/aaa"
REV = "3mptbypluud2a"
POST = {"$type": "app.bsky.feed.post", "text": "#python", "tags": ["python"], "createdAt": "2026-07-04T14:38:08.999Z"}
COMMIT = {
    "rev": REV,
    "operation": "create",
    "collection": "app.bsky.feed.post",
    "rkey": "3k",
    "record": POST,
    "cid": cid_of(encode_dag_cbor(POST)).encode(),
}
RULES = '[[community]]\nslug = "python"\nname = "Python"\ninclude.hashtags = ["python"]\n'
PREFIX = "network.bsky.jetstream.subscribeEvents#"


@pytest.fixture(autouse=True)
def the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jetstream, "now_micros", lambda: NOW)


def a_scope() -> Scope:
    scope = Scope(Known(), Known(), compile_rules(enumerate(parse_declaration(RULES)), {}))
    scope.actors.add(BOB)
    scope.lists, scope.list_owners = frozenset((LIST,)), frozenset((OWNER,))
    return scope


class Reader:
    """Reads messages as the dialects do, and notes what else it is told."""

    def __init__(self) -> None:
        self.scope = a_scope()
        self.doubted: list[str] = []
        self.identities: list[str] = []
        self.scope.on_doubt, self.scope.on_identity = self.doubted.append, self.identities.append

    def v1(self, message: Any) -> Any:
        kind, payload, at = jetstream.read_v1(raw(message), self.scope)
        return None if at is None else self.event(kind, payload, at)

    def v2(self, message: Any) -> Any:
        kind, payload, seq = jetstream.read_v2(raw(message), self.scope)
        return None if seq is None else self.event(kind, payload, seq)

    def event(self, kind: str, payload: dict[str, Any], seq: int) -> Any:
        return jetstream.read_event(kind, payload, seq, self.scope)

    def tap(self, message: Any) -> Any:
        kind, payload, id = tap.read_message(raw(message), self.scope)
        if id is None:
            return None
        return tap.read_event(kind, payload, 1, self.scope)


def raw(message: Any) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode()


def v1(did: Any = ALICE, /, time_us: Any = NOW, kind: Any = "commit", **inner: Any) -> dict[str, Any]:
    return {"did": did, "time_us": time_us, "kind": kind, str(kind): inner or COMMIT}


def v2(kind: str = "commit", seq: Any = 7, did: Any = ALICE, **body: Any) -> dict[str, Any]:
    payload = {"$type": PREFIX + kind, "seq": seq, "did": did, "time": "2026-07-04T14:38:08.999Z"} | (body or COMMIT)
    return {"$type": "message", "payload": payload}


def test_both_versions_and_tap_tell_the_same_of_a_commit() -> None:
    commits = [Reader().v1(v1()), Reader().v2(v2())]
    told = {**COMMIT, "did": ALICE, "action": "create", "live": True}
    commits.append(Reader().tap({"id": 1, "type": "record", "record": told}))
    for commit in commits:
        assert isinstance(commit, Commit)
        assert not commit.signed
        assert (commit.did, commit.rev) == (ALICE, REV)
        (op,) = commit.ops
        assert isinstance(op, PutPost)
        assert op.block == encode_dag_cbor(POST)
        assert op.cid == bytes(cid_of(op.block))
    assert commits[0].time == "2026-09-21T14:13:20Z"
    assert commits[1].time == "2026-07-04T14:38:08.999Z"
    assert commits[2].time.startswith("2026-07-04T14:38:0")


def test_j1_what_is_looked_for_behind_a_post_is_known_at_once() -> None:
    reader = Reader()
    reader.v1(v1())
    assert ALICE in reader.scope.actors
    assert f"at://{ALICE}/app.bsky.feed.post/3k" in reader.scope.posts


def changed(**more: Any) -> dict[str, Any]:
    return {key: value for key, value in (COMMIT | more).items() if value is not ...}


@pytest.mark.parametrize(
    ("reason", "commit"),
    [
        ("op malformed", changed(collection=5)),
        ("op malformed", changed(rkey=None)),
        ("op malformed", changed(cid=...)),
        ("op malformed", changed(cid={"$link": COMMIT["cid"]})),
        ("op malformed", changed(record=[])),
        ("op malformed", changed(record=...)),
        ("outside the filter", changed(collection="app.bsky.graph.starterpack")),
        ("outside the filter", changed(collection="")),
        ("op contradicts itself", changed(operation="delete")),
        ("op contradicts itself", changed(operation="upsert")),
        ("op contradicts itself", changed(operation=["create"])),
        ("record is not what its cid says", changed(cid="b" + "a" * 58)),
        ("record is not what its cid says", changed(cid=str(COMMIT["cid"]).upper())),
        ("record is not what its cid says", changed(record=POST | {"text": "other #python"})),
        ("record is not what its cid says", changed(record=POST | {"n": 1.5})),
        ("record is not what its cid says", changed(record=POST | {"n": 2**200})),
        ("record is not what its cid says", changed(record=POST | {"n": {"$link": "x"}})),
        ("record is not what its cid says", changed(record=POST | {"n": {"$bytes": "!"}})),
        ("commit malformed", changed(rev=None)),
        ("commit malformed", changed(rev="zzzzzzzzzzzzz")),
        ("path malformed", changed(rkey="a/b")),
        ("path malformed", changed(rkey="..")),
    ],
)
def test_an_operation_that_cannot_be_used_is_dropped_and_counted(reason: str, commit: dict[str, Any]) -> None:
    for read in (lambda it: it.v1(v1(**commit)), lambda it: it.v2(v2(**commit))):
        reader = Reader()
        assert read(reader) is None
        assert reader.scope.dropped == {reason: 1}


def test_s88_a_rev_in_the_future_is_dropped() -> None:
    reader = Reader()
    reader.scope.latest_rev = "3aaaaaaaaaaaa"
    assert reader.v1(v1()) is None
    assert reader.scope.dropped == {"rev in the future": 1}


def test_what_replaces_something_indexed_cannot_be_dropped_without_a_word() -> None:
    reader = Reader()
    event = reader.v1(v1(BOB, **changed(operation="update", cid="b" + "a" * 58)))
    assert isinstance(event, Lost) and event.did == BOB
    invalid = {"$type": "app.bsky.feed.post", "text": 5}
    event = reader.v1(
        v1(BOB, **changed(operation="update", record=invalid, cid=cid_of(encode_dag_cbor(invalid)).encode()))
    )
    assert isinstance(event, Commit) and event.ops == [Delete("app.bsky.feed.post", "3k")]


def test_s95_nothing_is_believed_of_lists() -> None:
    reader = Reader()
    item = {"$type": "app.bsky.graph.listitem", "list": LIST, "subject": ALICE, "createdAt": POST["createdAt"]}
    told = changed(collection="app.bsky.graph.listitem", record=item, cid=cid_of(encode_dag_cbor(item)).encode())
    gone = {"rev": REV, "operation": "delete", "rkey": "3k"}
    for did, commit, doubted in (
        (OWNER, told, [LIST]),
        (ALICE, told, []),  # no owner of a list that matters
        (OWNER, told | {"operation": "update"}, [LIST]),  # it may have named another before
        (OWNER, told | {"record": item | {"list": f"at://{OWNER}/app.bsky.graph.list/other"}}, []),
        (OWNER, gone | {"collection": "app.bsky.graph.listitem"}, [LIST]),
        (OWNER, gone | {"collection": "app.bsky.graph.list", "rkey": "aaa"}, [LIST]),
        (OWNER, gone | {"collection": "app.bsky.graph.list", "rkey": "bbb"}, []),
        (OWNER, told | {"record": 5}, [LIST]),
    ):
        reader.doubted.clear()
        assert reader.v1(v1(did, **commit)) is None
        assert reader.doubted == doubted, commit
    assert not reader.scope.matcher.authors


@pytest.mark.parametrize(
    "at", [None, 0, -1, True, 1.5, "1790000000000000", 10**15 - 1, NOW + 301_000_000, 2**63, 2**64]
)
def test_absurd_times_have_no_place(at: Any) -> None:
    reader = Reader()
    assert reader.v1(v1(time_us=at)) is None
    assert reader.scope.dropped == {"position malformed": 1}


@pytest.mark.parametrize("seq", [None, 0, -1, True, 1.5, "7", 10**15, 2**63, 2**64, [7]])
def test_absurd_seqs_have_no_place(seq: Any) -> None:
    reader = Reader()
    assert reader.v2(v2(seq=seq)) is None
    assert reader.scope.dropped == {"position malformed": 1}


def test_accounts_identities_and_syncs() -> None:
    reader = Reader()
    told = {"did": BOB, "seq": 99, "time": "x"}
    inactive = told | {"active": False, "status": "takendown"}
    assert reader.v1(v1(BOB, kind="account", **inactive)) == Account(NOW, BOB, False, "takendown")
    assert reader.v2(v2("account", did=BOB, account=inactive)) == Account(7, BOB, False, "takendown")
    assert reader.v1(v1(ALICE, kind="account", **inactive | {"did": ALICE})) is None  # no row points to her
    reader.identities.clear()
    assert reader.v1(v1(BOB, kind="identity", **told)) == Identity(NOW, BOB)
    assert reader.v2(v2("identity", did=BOB, identity=told)) == Identity(7, BOB)
    assert reader.v2(v2("identity", did=ALICE, identity=told | {"did": ALICE})) is None
    assert reader.identities == [BOB, BOB, ALICE]
    lost = reader.v2(v2("sync", did=BOB, sync=told | {"rev": REV}))
    assert isinstance(lost, Lost) and (lost.seq, lost.did) == (7, BOB)
    assert reader.v2(v2("sync", did=ALICE, sync=told | {"did": ALICE})) is None
    assert reader.scope.dropped == {}
    assert reader.v1(v1(BOB, kind="account", **inactive | {"did": ALICE})) is None
    assert reader.v1(v1(BOB, kind="account", **inactive | {"active": 1})) is None
    assert reader.v1(v1(BOB, kind="account", **inactive | {"status": 5})) is None
    assert reader.scope.dropped == {"message contradicts itself": 1, "account malformed": 2}
    identity = {"did": BOB, "handle": "b.test", "is_active": True, "status": "active"}
    assert reader.tap({"id": 5, "type": "identity", "identity": identity}) == Account(1, BOB, True, None)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[1]", b"5", b"null", b"[" * 100_000, b'{"a":"' + b"x" * 6_000_000]
)
def test_what_is_no_json_object_has_no_position(data: bytes) -> None:
    for read in (jetstream.read_v1, jetstream.read_v2):
        with pytest.raises(FrameError):
            read(data, a_scope())
    assert tap.read_message(data, a_scope())[2] is None


def test_j10_an_error_ends_the_stream() -> None:
    for said in ({"error": "ConsumerTooSlow", "message": "x"}, {"error": 5}, {}):
        with pytest.raises(StreamError) as ended:
            jetstream.read_v2(raw({"$type": "error"} | said), a_scope())
        assert ended.value.name == ("ConsumerTooSlow" if len(said) == 2 else "Unknown")


def values(rng: random.Random, depth: int = 3) -> Any:
    """Any JSON value."""
    simple: list[Any] = [
        None,
        True,
        0,
        -1,
        2**53,
        2**64,
        1.5,
        "",
        "delete",
        ALICE,
        LIST,
        "app.bsky.graph.listitem",
        "\ud800",
    ]
    kind = rng.randrange(8)
    if kind == 0 and depth:
        return [values(rng, depth - 1) for _ in range(rng.randrange(3))]
    if kind == 1 and depth:
        return {rng.choice(["$link", "$bytes", "did", "list", "subject"]): values(rng, depth - 1) for _ in range(2)}
    return rng.choice(simple)


def damaged(rng: random.Random, message: Any) -> Any:
    """The message with one of its values, anywhere, changed or gone."""
    if not isinstance(message, dict) or not message or rng.random() < 0.15:
        return values(rng)
    key = rng.choice(sorted(message))
    rest = {k: v for k, v in message.items() if k != key}
    return rest if rng.random() < 0.2 else rest | {key: damaged(rng, message[key])}


@pytest.mark.parametrize("seed", range(3))
def test_s95_whatever_type_stands_wherever_nothing_is_raised(seed: int) -> None:
    rng = random.Random(seed)
    reader = Reader()
    item = changed(collection="app.bsky.graph.listitem", record={"list": LIST, "subject": ALICE})
    account = {"did": BOB, "active": False, "status": "takendown"}
    good: list[tuple[Any, Any]] = [
        (reader.v1, v1()),
        (reader.v1, v1(OWNER, **item)),
        (reader.v1, v1(BOB, kind="account", **account)),
        (reader.v2, v2()),
        (reader.v2, v2("account", did=BOB, account=account)),
        (reader.v2, v2("sync", did=BOB, sync={"did": BOB})),
        (reader.tap, {"id": 1, "type": "record", "record": {**COMMIT, "did": BOB, "action": "update", "live": True}}),
        (reader.tap, {"id": 1, "type": "identity", "identity": {"did": BOB, "is_active": False, "status": "deleted"}}),
    ]
    for read, message in good * 3000:
        try:
            read(damaged(rng, message))
        except FrameError as error:
            assert str(error) in ("message is no object", "message is no JSON")
    assert len(reader.scope.dropped) > 8
    assert reader.scope.dropped["message malformed"] > 100


def test_j1_real_events_hash_to_their_cids() -> None:
    """F8: what the JSON says of 152 real operations is what their commits contain."""
    lines = (SHARED_DATA / "frames" / "expected_v1.jsonl").read_bytes().splitlines()
    hashed = 0
    for line in lines:
        message = orjson.loads(line)
        commit = message.get("commit", {})
        if "record" in commit:
            block = encode_dag_cbor(commit["record"], atjson_mode=True)
            assert cid_of(block).encode() == commit["cid"]
            assert decode_dag_cbor(block, atjson_mode=True) == commit["record"]
            hashed += 1
        reader = Reader()
        reader.v1(line)
        assert not set(reader.scope.dropped) - {"outside the filter"}
    assert hashed > 140


# Acknowledgements


def test_t1_acknowledgements_are_due_in_order_once_and_only_when_committed() -> None:
    owed = tap.Owed(7)
    assert [owed.add(id) for id in (10, 12, 11)] == [8, 9, 10]
    assert owed.due(7) == []
    assert [json.loads(text) for text in owed.due(9)] == [{"type": "ack", "id": 10}, {"type": "ack", "id": 12}]
    assert owed.due(9) == []
    assert [json.loads(text) for text in owed.due(10)] == [{"type": "ack", "id": 11}]


# Which source, and from where


def test_a_url_says_what_kind_of_source_it_is() -> None:
    relay, v2, v1, tap_ = parse_sources(
        "wss://bsky.network, jetstream+wss://j.example/x/ ,jetstream1+ws://j.example,tap+ws://admin:p%40ss@t.example:99"
    )
    assert [source.protocol for source in (relay, v2, v1, tap_)] == ["subscribeRepos", "jetstream", "jetstream1", "tap"]
    assert (v2.url, v2.base, v2.host) == ("jetstream+wss://j.example/x", "wss://j.example/x", "j.example")
    assert (tap_.url, tap_.base) == ("tap+ws://admin@t.example:99", "ws://t.example:99")
    assert tap_.authorization == "Basic YWRtaW46cEBzcw=="  # admin:p@ss
    assert "p%40ss" not in repr(tap_) and "YWRt" not in repr(tap_)


@pytest.mark.parametrize(
    "text",
    ["", "wss://", "https://x", "tap://x", "jetstream2+wss://x", "+wss://x", "wss://a@b", "jetstream+wss://a:b@c", "wss://[",
     "wss://x:0", "wss://x:99999", "wss://x?cursor=1", "wss://x#y", "jetstream+https://x"],
)  # fmt: skip
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        parse_source(text)


def test_a_password_stands_in_no_fault() -> None:
    for text in ("tap+ws://admin:secret@[", "wss://admin:secret@x", "tap+ws://admin:secret@x:0"):
        with pytest.raises(ValueError) as refused:
            parse_source(text)
        assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match="twice"):
        parse_sources("wss://a,wss://a/")


def test_the_next_source_is_tried_after_three_failures_or_a_minute() -> None:
    order = Order(3, 0.0)
    assert [order.failed(1.0) for _ in range(FAILURES)] == [False, False, True]
    assert (order.next(1.0), order.exhausted) == (1, False)
    assert order.better() == [0]
    order.good(5.0)
    assert not order.failed(5.0 + HEALTHY_WITHIN - 1)
    assert order.failed(5.0 + HEALTHY_WITHIN)
    order.stop()
    assert [order.next(100.0) for _ in range(3)] == [2, 0, 2]  # 1 waits for an operator
    assert order.exhausted is False or order.current == 2
    alone = Order(1, 0.0)
    assert alone.next(0.0) is None
    assert alone.better() == []


def a_stream(seqs: list[int], rate: int, oldest: int = 0) -> tuple[Any, list[int | None]]:
    """A stream of these seqs, one event every `rate` microseconds, of which what is behind `oldest` is kept."""
    asked: list[int | None] = []

    async def ask(cursor: int | None) -> tuple[int, int]:
        asked.append(cursor)
        last = len(seqs) - 1
        at = last if cursor is None else next(n for n, seq in enumerate(seqs) if seq > max(cursor, oldest))
        return seqs[at], at * rate

    return ask, asked


def cases() -> Iterator[tuple[list[int], int]]:
    yield list(range(1, 200_001)), 1000
    yield [*range(1, 100), *range(10**9, 10**9 + 100_000)], 1000  # seqs may leave gaps of any size
    yield [5, 6, 7], 10**6


@pytest.mark.parametrize(("seqs", "rate"), list(cases()))
async def test_a9_the_place_is_found_from_which_everything_comes(seqs: list[int], rate: int) -> None:
    for index in (1, len(seqs) // 3, len(seqs) - 2):
        ask, asked = a_stream(seqs, rate)
        cursor, complete = await find_start(ask, index * rate, None)
        first = next(n for n, seq in enumerate(seqs) if seq > cursor)
        assert first < index or (cursor == 0 and first == 0)
        assert complete or seqs[0] > 1
        assert asked[0] is None and len(asked) < 20


async def test_a9_never_behind_what_was_read_of_it_and_a_gap_is_told() -> None:
    ask, _ = a_stream(list(range(1, 200_001)), 1000)
    assert await find_start(ask, 5_000_000, 150_000) == (150_000, True)
    ask, _ = a_stream(list(range(1, 200_001)), 1000, oldest=190_000)
    assert await find_start(ask, 5_000_000, None) == (0, False)
