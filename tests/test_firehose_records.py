"""Records as the data model wants them (https://atproto.com/specs/data-model), held against its vectors."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cbrrr import CID, StrictCID, encode_dag_cbor
from hypothesis import given
from hypothesis import strategies as st

from firehose.records import MAX_CONTAINER, MAX_DEPTH, RecordError, check_data_model, glance, read_record
from tests.bad_commits import JSON_LIKE


def reading(block: bytes) -> Any:
    """The record, or the reason why it is none."""
    try:
        record = read_record(block)
        check_data_model(record)
    except RecordError as error:
        return str(error)
    return record


def test_f3_the_fixtures_of_the_data_model(shared_data: Path) -> None:
    fixtures = json.loads((shared_data / "interop/data-model/data-model-fixtures.json").read_text())
    assert len(fixtures) == 3
    for fixture in fixtures:
        block = base64.b64decode(fixture["cbor_base64"] + "==")
        assert CID.cidv1_dag_cbor_sha256_32_from(block).encode() == fixture["cid"]
        assert encode_dag_cbor(reading(block), cid_type=StrictCID) == block
        assert glance(block).keys() == fixture["json"].keys()


@given(st.dictionaries(st.text(max_size=8), JSON_LIKE, max_size=5))
def test_what_the_data_model_allows_comes_back_as_it_was(record: dict[str, Any]) -> None:
    block = encode_dag_cbor(record)
    assert reading(block) == record
    assert glance(block) == record


@given(st.binary(max_size=120))
def test_any_bytes_are_a_record_or_refused(block: bytes) -> None:
    found = reading(block)
    if isinstance(found, dict):
        assert encode_dag_cbor(found, cid_type=StrictCID) == block  # canonical, or the hash would not be its own
    try:
        glance(block)
    except RecordError:
        return


def test_links_and_bytes_stay_apart() -> None:
    link = CID.cidv1_raw_sha256_32_from(b"x")
    record = read_record(encode_dag_cbor({"bytes": link.cid_bytes, "link": link}))
    assert record == {"bytes": link.cid_bytes, "link": link}
    assert type(record["bytes"]) is bytes
    assert isinstance(record["link"], CID)


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"x": 1.0}, "float in record"),
        ({"x": [{"y": [0.5]}]}, "float in record"),
        ({"x": float("inf")}, "record is no canonical DAG-CBOR"),
        (nested(MAX_DEPTH), None),
        (nested(MAX_DEPTH + 1), "record too deep"),
        ({"x": [0] * MAX_CONTAINER}, None),
        ({"x": [0] * (MAX_CONTAINER + 1)}, "container too large"),
        ({"x": {"y" * 8192: 0}}, None),
        ({"x": {"y" * 8193: 0}}, "key too long"),
        ({"x": 2**63 - 1, "y": -(2**63), "z": True}, None),
        ({"x": [None, False, "", b""]}, None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_s92_s93_the_limits(record: dict[str, Any], reason: str | None) -> None:
    try:
        block = encode_dag_cbor(record)
    except ValueError:  # the encoder refuses it as well
        block = b"\xa1ax\xfb\x7f\xf0" + bytes(6)
    assert reading(block) == (record if reason is None else reason)


def test_s92_depth_costs_no_stack() -> None:
    for opening in (b"\x81", b"\xa1ax"):
        block = b"\xa1ax" + opening * 100_000 + b"\x00"
        assert reading(block) == "record too deep"
        with pytest.raises(RecordError, match="record too deep"):
            glance(block)
