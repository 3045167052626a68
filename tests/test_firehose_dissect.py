"""What is made of any bytes at all: as much as can be read, and never an exception (A22)."""

import json
from typing import Any

import pytest
from cbrrr import CID, encode_dag_cbor
from hypothesis import given
from hypothesis import strategies as st

from firehose.dissect import MOST_ENTRIES, MOST_ITEMS, MOST_TEXT, Dissection, dissect
from tests.test_ingest_poison import GARBAGE, HEADER
from tests.world import frames

HEAD = {"op": 1, "t": "#commit"}


def check(frame: bytes) -> Dissection:
    """Whatever comes of it fits into JSON, and not into much of it."""
    found = dissect(frame)
    text = json.dumps([found.header, found.payload, found.fault], allow_nan=False)
    assert len(text) < 20 * MOST_ITEMS + 10 * min(len(frame), MOST_TEXT * MOST_ITEMS)
    return found


def test_a_good_frame_is_read_whole() -> None:
    link = CID.cidv1_dag_cbor_sha256_32_from(b"x")
    op = {"action": "create", "path": "app.bsky.feed.post/a", "cid": link}
    numbers: dict[str, Any] = {"a": [0, -1, 23, 24, -(2**63), 2**63 - 1], "b": [True, False, None], "c": 1.5}
    frame = frames.message("#commit", {"seq": 5, "blocks": bytes(1000), "ops": [op], "é": "\x1b[2J", **numbers})
    found = check(frame)
    said = {"action": "create", "path": "app.bsky.feed.post/a", "cid": {"$link": link.encode("base32")}}
    payload = {"seq": 5, "blocks": {"bytes": 1000}, "ops": [said], "é": "\x1b[2J", **numbers}
    assert found == Dissection(HEAD, payload, "")


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_read_as_far_as_it_goes(name: str) -> None:
    found = check(GARBAGE[name])
    assert found.fault or (found.header is not None and found.payload is not None)


def test_what_comes_before_the_fault_stays() -> None:
    frame = frames.message("#commit", {"ops": [{"path": "a/b"}, {"path": "c/d"}], "repo": "did:plc:abc"})
    whole = check(frame).payload
    # The encoder sorts by length: `ops`, then `repo`.
    assert list(whole) == ["ops", "repo"]
    for size in range(len(HEADER) + 1, len(frame)):
        found = check(frame[:size])
        assert found.header == HEAD and f"at byte {size:,}: it is cut off" in found.fault
    assert check(frame[:-1]).payload == whole | {"repo": "did:plc:ab"}
    assert check(frame[:-3]).fault.endswith("3 bytes are missing")
    behind = check(HEADER + HEADER + b"xy")
    assert (behind.payload, behind.fault) == (HEAD, f"at byte {2 * len(HEADER)}: 2 bytes stand behind the two objects")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\x63a\xffb", "a\\xffb"),
        (b"\xf7", "simple value 23"),
        (b"\xf9\x7e\x00", "nan"),
        (b"\xfb\x7f\xf0" + bytes(6), "inf"),
        (b"\xc1\x05", {"tag": 1, "value": 5}),
        (b"\xd8\x2a\x41\x00", {"$link": "not a CID: 00"}),
        (b"\xa2\x01\x02\x61\x31\x03", {"1": 2, "1 (again)": 3}),
        (b"\x1b" + b"\xff" * 8, 2**64 - 1),
    ],
)
def test_what_the_protocol_has_no_use_for_is_shown(payload: bytes, said: Any) -> None:
    assert check(HEADER + payload) == Dissection(HEAD, said, "")


def test_it_is_bounded() -> None:
    many = check(HEADER + encode_dag_cbor([*range(MOST_ENTRIES + 5)])).payload
    assert many == [*range(MOST_ENTRIES), "... 5 more"]
    named = {f"k{n:05}": n for n in range(MOST_ENTRIES + 5)}
    kept = check(HEADER + encode_dag_cbor(named)).payload
    assert len(kept) == MOST_ENTRIES + 1 and kept["..."] == "5 more"
    assert check(HEADER + encode_dag_cbor("x" * 1000)).payload == "x" * MOST_TEXT + "... (1,000 characters)"
    assert "more than 20,000 values" in check(HEADER + b"\x9a\x00\xff\xff\xff" + bytes(1 << 20)).fault
    assert "nested more than 32 deep" in check(HEADER + b"\xc1" * 100_000).fault
    repeated = check(HEADER + b"\xb9\x27\x00" + b"\x61a\x01" * 0x2700)
    assert repeated.fault == "" and len(repeated.payload) == MOST_ENTRIES + 1


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    check(data)
    check(HEADER + data)


@given(st.data())
def test_a_good_frame_with_a_bit_turned_over(data: st.DataObject) -> None:
    frame = bytearray(frames.message("#commit", {"seq": 5, "ops": [{"path": "a/b", "cid": None}], "blocks": b"xyz"}))
    place = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[place // 8] ^= 1 << place % 8
    check(bytes(frame))
