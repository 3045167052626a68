"""Frames that cannot be read: seen three times, kept as they came, passed over alone (S79, S81, S83)."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cbrrr import encode_dag_cbor

from firehose.websocket import CLOSE_SECONDS
from tests.ingest_site import Site, uris
from tests.world import frames
from tests.world.faults import Script

HEADER = encode_dag_cbor({"op": 1, "t": "#commit"})
SMALL = encode_dag_cbor({"seq": 5})
GARBAGE = {
    "nothing": b"",
    "text": b"hello",
    "one item": HEADER,
    "three items": HEADER + SMALL + SMALL,
    "a list for a header": encode_dag_cbor([1]) + SMALL,
    "a list for a payload": HEADER + encode_dag_cbor([1]),
    "op null": encode_dag_cbor({"op": None, "t": "#commit"}) + SMALL,
    "op missing": encode_dag_cbor({"t": "#commit"}) + SMALL,
    "op true": encode_dag_cbor({"op": True, "t": "#commit"}) + SMALL,
    "op a text": encode_dag_cbor({"op": "1", "t": "#commit"}) + SMALL,
    "no type": encode_dag_cbor({"op": 1}) + SMALL,
    "type a number": encode_dag_cbor({"op": 1, "t": 1}) + SMALL,
    "an error that is a list": encode_dag_cbor({"op": -1}) + encode_dag_cbor([]),
    "cut": (HEADER + encode_dag_cbor({"seq": 5, "blocks": bytes(1000)}))[:-1],
    "seq zero": HEADER + encode_dag_cbor({"seq": 0}),
    "seq negative": HEADER + encode_dag_cbor({"seq": -1}),
    "seq a text": HEADER + encode_dag_cbor({"seq": "7"}),
    "seq true": HEADER + encode_dag_cbor({"seq": True}),
    "seq 2^53": HEADER + encode_dag_cbor({"seq": 2**53}),
    "seq 2^64 - 1": HEADER + b"\xa1cseq\x1b" + b"\xff" * 8,
    "seq a float": HEADER + encode_dag_cbor({"seq": 1.0}),
    "lists 100,000 deep": HEADER + b"\x81" * 100_000 + b"\x00",
    "maps 100,000 deep": HEADER + b"\xa1aa" * 100_000 + b"\x00",
    "a length that is not there": HEADER + b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
    "keys that are numbers": HEADER + b"\xa1\x01\x02",
    "no UTF-8": HEADER + b"\xa1\x62\xff\xfe\x01",
    "indefinite": HEADER + b"\xbf\x63seq\x05\xff",
    "1 MiB of zeros": bytes(1 << 20),
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


@pytest.mark.parametrize("name", GARBAGE)
async def test_s79_s81_garbage_is_passed_over_at_its_third_sight(site: Site, name: str) -> None:
    alice, bob = site.people("alice", "bob")
    first = alice.post("before #python")
    await site.caught_up()
    site.world.emit(GARBAGE[name])
    second = bob.post("behind #python")
    await site.caught_up(second.seq)
    assert await site.feed() == uris(second, first)
    # The same cursor every time, and the backoff in between.
    assert site.world.relay.connections == [None, first.seq, first.seq]
    assert site.closes == {"unreadable frame": 2}
    assert sum(site.dropped.values()) == 1
    assert site.rows("SELECT seq, frame FROM quarantine") == [(first.seq, GARBAGE[name][: 1 << 20])]


async def test_a_frame_that_was_damaged_on_the_way_is_read_when_it_comes_whole(site: Site) -> None:
    (alice,) = site.people("alice")
    first = alice.post("#python")
    await site.caught_up()
    for damage in (2, 3):
        site.world.relay.faults.cut(1, damage)
    await site.world.relay.drop()
    second = alice.post("#python")
    await site.caught_up()
    assert await site.feed() == uris(second, first)
    assert site.closes == {"closed with 1001": 1, "unreadable frame": 2}
    assert site.rows("SELECT * FROM quarantine") == []


async def test_s81_many_poisonous_frames_in_a_row(site: Site) -> None:
    (alice,) = site.people("alice")
    posts = [alice.post("#python")]
    for number in range(12):
        site.world.emit(b"poison %d" % number)
        if number % 3 == 0:
            posts.append(alice.post(f"{number} #python"))
    posts.append(alice.post("last #python"))
    await site.caught_up(posts[-1].seq)
    assert await site.feed() == uris(*reversed(posts))
    kept = {frame for (frame,) in site.rows("SELECT frame FROM quarantine")}
    assert kept == {b"poison %d" % number for number in range(12)}


async def test_a_busy_stream_is_left_at_once(site: Site) -> None:
    """Much is under way behind the frame, and the other end's goodbye stands behind it."""
    (alice,) = site.people("alice")
    await site.caught_up()
    loop = asyncio.get_running_loop()
    began = loop.time()
    site.world.emit(b"poison")
    posts = [alice.post("#python", pad="x" * 9000) for _ in range(90)]
    await site.caught_up(posts[-1].seq)
    assert await site.feed() == uris(*reversed(posts))
    assert loop.time() - began < CLOSE_SECONDS


async def test_s83_a_frame_above_the_limit_is_refused_and_passed_over(site: Site) -> None:
    (alice,) = site.people("alice")
    first = alice.post("#python")
    large = frames.message("#commit", {"seq": 99, "repo": alice.did, "ops": [], "blocks": bytes(6 << 20)})
    site.world.emit(large)
    last = alice.post("#python")
    await site.caught_up(last.seq)
    assert await site.feed() == uris(last, first)
    assert site.dropped == {"frame too large": 1}
    ((kept, size),) = site.rows("SELECT frame, length(frame) FROM quarantine")
    assert size == 1 << 20
    assert hashlib.sha256(kept).digest() == hashlib.sha256(large[: 1 << 20]).digest()


async def test_a_frame_at_the_limit_is_read(site: Site) -> None:
    (alice,) = site.people("alice")
    seq = site.world.relay.head + 1
    payload = {"seq": seq, "time": site.world.clock.iso(), "pad": b""}
    room = 5 * 1024 * 1024 - len(frames.message("#new", payload)) - 4
    frame = frames.message("#new", payload | {"pad": bytes(room)})
    assert len(frame) == 5 * 1024 * 1024
    site.world.emit(frame)
    post = alice.post("#python")
    await site.caught_up()
    assert (await site.feed(), site.dropped) == ([post.uri], {})


async def test_1009_a_message_that_cannot_be_received_is_stepped_over(site: Site) -> None:
    (alice,) = site.people("alice")
    first = alice.post("#python")
    await site.caught_up()
    site.world.emit(bytes(10_000_000))
    last = alice.post("behind it #python")
    await site.caught_up(last.seq)
    assert await site.feed() == uris(last, first)
    # Three tries at the cursor, then one further on.
    assert site.world.relay.connections == [None, first.seq, first.seq, first.seq, first.seq + 1]
    assert site.closes == {"message too large": 4}


async def test_1009_without_an_end_gives_the_backlog_up(site: Site) -> None:
    (alice,) = site.people("alice")
    first = alice.post("#python")
    await site.caught_up()
    too_large = Script(edits={1: lambda frame: (bytes(9 << 20),)})
    for _ in range(3 + 16):
        site.world.relay.faults.add(too_large)
    await site.world.relay.drop()
    lost = [alice.post("lost #python") for _ in range(40)]
    await site.until("the live end", lambda: len(site.world.relay.sessions) == 1 + 3 + 16 + 1)
    last = alice.post("live #python")
    await site.caught_up(last.seq)
    assert await site.feed() == uris(last, first)
    asked = [cursor for cursor in site.world.relay.connections if cursor is not None]
    assert asked == [first.seq] * 3 + [first.seq + step for step in range(1, 17)]
    assert site.counts(lost[0]) is None


async def test_poison_behind_the_last_good_event_is_kept_once(site: Site) -> None:
    """It has no position, so it comes with every connection until something good follows."""
    (alice,) = site.people("alice")
    first = alice.post("#python")
    site.world.emit(b"poison")
    await site.until("the quarantine", lambda: site.rows("SELECT * FROM quarantine"))
    for number in range(3):
        await site.world.relay.drop()
        await site.until("the connection", lambda n=number: len(site.world.relay.sessions) == n + 4)  # type: ignore[misc]
    last = alice.post("#python")
    await site.caught_up(last.seq)
    assert await site.feed() == uris(last, first)
    assert site.rows("SELECT count(*) FROM quarantine") == [(1,)]
    assert site.dropped == {"frame is no DAG-CBOR": 1}
