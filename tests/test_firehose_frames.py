"""Frames are read or refused, whatever the bytes: nothing else ever comes out (https://atproto.com/specs/event-stream)."""

from typing import Any

import pytest
from cbor2 import dumps as loose
from cbrrr import encode_dag_cbor
from hypothesis import given
from hypothesis import strategies as st

from firehose.frames import MAX_FRAME, FrameError, StreamError, read_frame, sequence
from tests.bad_commits import JSON_LIKE
from tests.world import World, frames


def outcome(data: bytes) -> Any:
    """What reading gives; anything but a result or one of the two refusals is raised."""
    try:
        kind, payload = read_frame(data)
        return kind, payload, sequence(payload)
    except (FrameError, StreamError) as error:
        return str(error)


@given(st.binary(max_size=300))
def test_s79_any_bytes(data: bytes) -> None:
    outcome(data)


@given(JSON_LIKE, JSON_LIKE, st.lists(JSON_LIKE, max_size=2))
def test_s79_any_objects(header: Any, payload: Any, more: list[Any]) -> None:
    found = outcome(b"".join(map(encode_dag_cbor, (header, payload, *more))))
    if isinstance(found, tuple):
        assert not more
        assert type(header) is dict and type(header["op"]) is int and type(found[1]) is dict


@given(st.recursive(st.none() | st.floats() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner)))
def test_s93_what_other_encoders_write(value: Any) -> None:
    outcome(encode_dag_cbor({"op": 1, "t": "#commit"}) + loose({"seq": 5, "x": value}))
    outcome(loose({"op": value, "t": value}) + loose({"seq": value}))


@given(st.data())
def test_any_damage_to_a_real_frame(data: st.DataObject) -> None:
    frame = bytearray(FRAME)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        change = data.draw(st.sampled_from(("byte", "cut", "out", "in")))
        if change == "byte":
            frame[at] = data.draw(st.integers(0, 255))
        elif change == "cut" and at:
            del frame[at:]
        elif change == "out" and len(frame) > 1:
            del frame[at]
        else:
            frame[at:at] = data.draw(st.binary(max_size=9))
    outcome(bytes(frame))


def _frame() -> bytes:
    world = World()
    world.account("alice").post("#python")
    return world.relay.history[-1].frame


FRAME = _frame()


def test_a_message_is_its_type_and_its_payload() -> None:
    kind, payload = read_frame(frames.message("#identity", {"seq": 7, "did": "did:plc:x"}))
    assert (kind, payload, sequence(payload)) == ("#identity", {"seq": 7, "did": "did:plc:x"}, 7)
    assert sequence({}) is None


def test_an_error_frame_raises_what_the_server_says() -> None:
    with pytest.raises(StreamError, match=r"^FutureCursor: too far$") as caught:
        read_frame(frames.error("FutureCursor", "too far"))
    assert caught.value.name == "FutureCursor"
    with pytest.raises(StreamError, match=r"^Unknown$"):
        read_frame(encode_dag_cbor({"op": -1}) + encode_dag_cbor({"error": 5, "message": []}))


@pytest.mark.parametrize("op", [0, 2, -2, 2**40])
def test_s80_an_unknown_op_is_passed_over(op: int) -> None:
    assert read_frame(encode_dag_cbor({"op": op, "t": "#commit"}) + encode_dag_cbor({"seq": 3})) == ("", {"seq": 3})


@pytest.mark.parametrize("op", [True, 1.0, "1", None, [1]])
def test_s79_an_op_that_only_looks_like_one(op: Any) -> None:
    with pytest.raises(FrameError, match="frame has no op"):
        read_frame(encode_dag_cbor({"op": op, "t": "#commit"}) + encode_dag_cbor({"seq": 3}))


@pytest.mark.parametrize("seq", [0, -1, 2**53, 2**63 - 1, True, "5", 5.0, [5]])
def test_a_seq_that_is_none(seq: Any) -> None:
    with pytest.raises(FrameError, match="seq is no sequence number"):
        sequence({"seq": seq})


def test_s83_the_limit_counts_bytes() -> None:
    with pytest.raises(FrameError, match="frame too large"):
        read_frame(bytes(MAX_FRAME + 1))
    with pytest.raises(FrameError, match="frame is not two objects"):
        read_frame(b"\x00" * MAX_FRAME)
