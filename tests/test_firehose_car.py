"""Blocks taken out of a CAR: the right bytes or none, whatever is done to the file (S85, S86)."""

from typing import Any

import pytest
from cbrrr import CID
from hypothesis import given
from hypothesis import strategies as st

from firehose.car import CarError, is_record_cid, read_blocks
from tests.bad_commits import longer_varint
from tests.consumer import blocks_of
from tests.world import World, Write
from tests.world.car import cid_of, varint, write_car


def _payload() -> dict[str, Any]:
    world = World()
    alice = world.account("alice")
    for number in range(40):
        alice.post(f"{number}")
    return alice.commit(
        *(Write("create", f"app.bsky.feed.post/{n}", {"text": "x" * size}) for n, size in enumerate((5, 200, 20_000)))
    )


PAYLOAD = _payload()
CAR: bytes = PAYLOAD["blocks"]
ROOT: bytes = PAYLOAD["commit"].cid_bytes
WANTED: list[bytes] = [op["cid"].cid_bytes for op in PAYLOAD["ops"]]
BLOCKS = {cid.cid_bytes: block for cid, block in blocks_of(CAR)[1].items()}


def test_exactly_the_wanted_blocks() -> None:
    assert read_blocks(CAR, ROOT, WANTED) == {cid: BLOCKS[cid] for cid in WANTED}
    assert read_blocks(CAR, ROOT, [WANTED[1]]) == {WANTED[1]: BLOCKS[WANTED[1]]}
    assert read_blocks(CAR, ROOT, list(BLOCKS)) == BLOCKS  # the commit and the tree as well
    assert read_blocks(CAR, ROOT, []) == {}


@given(st.data())
def test_s85_any_change_of_a_car_gives_the_right_blocks_or_an_error(data: st.DataObject) -> None:
    car = bytearray(CAR)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(car) - 1))
        change = data.draw(st.sampled_from(("bit", "byte", "cut", "out", "in", "move")))
        if change == "bit":
            car[at] ^= 1 << data.draw(st.integers(0, 7))
        elif change == "byte":
            car[at] = data.draw(st.integers(0, 255))
        elif change == "cut" and at:
            del car[at:]
        elif change == "out" and at:
            del car[at : at + data.draw(st.integers(1, 40))]
        elif change == "in":
            car[at:at] = data.draw(st.binary(max_size=50) | st.sampled_from(WANTED))
        else:
            to = data.draw(st.integers(0, len(car) - 1))
            car[to:to] = car[at : at + 200]
    checked(bytes(car))


@given(st.binary(max_size=200), st.booleans())
def test_s85_any_bytes(data: bytes, behind_header: bool) -> None:
    header = CAR[: CAR.index(b"version\x01") + 8]
    checked(header + data if behind_header else data)


def checked(car: bytes) -> None:
    for wanted in (WANTED[:1], WANTED):
        try:
            found = read_blocks(car, ROOT, wanted)
        except CarError as error:
            assert str(error)
        else:
            assert found == {cid: BLOCKS[cid] for cid in wanted}


def test_s85_every_place_where_a_car_can_be_cut() -> None:
    last = len(CAR) - len(BLOCKS[WANTED[2]])
    for at in [*range(last), *range(last, len(CAR), 97)]:
        with pytest.raises(CarError):
            read_blocks(CAR[:at], ROOT, WANTED)


@pytest.mark.parametrize("size", [1, 91, 92, 93, 16_346, 16_347, 16_348, 16_349, 999_999])
def test_s85_a_length_that_is_written_longer_than_it_need_be(size: int) -> None:
    """Sizes around those where one byte, two or three are needed for it."""
    block = bytes(size)
    payload = {
        "blocks": write_car([CID(ROOT)], [(cid_of(b"before"), b"before"), (cid_of(block), block)]),
        "ops": [{"cid": cid_of(block)}],
    }
    assert read_blocks(payload["blocks"], ROOT, [cid_of(block).cid_bytes]) == {cid_of(block).cid_bytes: block}  # type: ignore[arg-type]
    for extra in (1, 2, 3, 9):
        with pytest.raises(CarError, match="varint"):
            read_blocks(longer_varint(payload, extra)["blocks"], ROOT, [cid_of(block).cid_bytes])


@pytest.mark.parametrize("size", [0, 1, 35, 36, 2**28, 2**35, 2**63, 2**70])
def test_s85_lengths_that_lead_nowhere(size: int) -> None:
    header = write_car([CID(ROOT)], [])
    with pytest.raises(CarError):
        read_blocks(header + varint(size) + bytes(100), ROOT, WANTED)


def test_fifty_thousand_empty_blocks_cost_no_more_than_the_file() -> None:
    header = write_car([CID(ROOT)], [])
    empty = varint(36) + cid_of(b"").cid_bytes
    with pytest.raises(CarError, match="record block missing"):
        read_blocks(header + empty * ((2_000_000 - len(header)) // len(empty)), ROOT, WANTED)


@pytest.mark.parametrize(
    ("cid", "good"),
    [
        (WANTED[0], True),
        (CID.cidv1_raw_sha256_32_from(b"").cid_bytes, False),
        (WANTED[0][:-1], False),
        (WANTED[0] + b"\0", False),
        (b"", False),
        ("bafyreib", False),
        (None, False),
        (b"\x12\x20" + bytes(32), False),
    ],
)
def test_only_one_kind_of_cid_is_a_records(cid: object, good: bool) -> None:
    assert is_record_cid(cid) is good
