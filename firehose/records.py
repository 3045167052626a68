"""Record blocks: strict DAG-CBOR and the atproto data model (https://atproto.com/specs/data-model)."""

from collections.abc import Iterable
from typing import Any

import libipld
from cbrrr import StrictCID, decode_dag_cbor

from communities.post import Post, read_post

MAX_DEPTH = 32
MAX_CONTAINER = 131_072
MAX_KEY = 8192
_INT64 = 1 << 63


class RecordError(Exception):
    """The record is no valid data; the message is the reason. Only this record is dropped."""


def read_record(block: bytes) -> dict[str, Any]:
    """Decode a record block: canonical encoding only; CIDs stay distinguishable from bytes. Raises RecordError."""
    try:
        record = decode_dag_cbor(block, cid_ctor=StrictCID)
    except (ValueError, RecursionError) as error:
        raise RecordError("record is no canonical DAG-CBOR") from error
    if type(record) is not dict:
        raise RecordError("record is no map")
    return record


def glance(block: bytes) -> dict[str, Any]:
    """Decode a record block to see whether it is of use: twice as fast as `read_record`, less strict, CIDs as bytes.

    What is then kept must be read with `read_record`. Raises RecordError.
    """
    try:
        record = libipld.decode_dag_cbor(block)
    except RecursionError as error:
        raise RecordError("record too deep") from error
    except ValueError:
        return read_record(block)
    if type(record) is not dict:
        raise RecordError("record is no map")
    return record


def read_facts(block: bytes) -> Post | None:
    """What rules look at in a stored post; None when it is none any more by today's reading."""
    try:
        return read_post(read_record(block))
    except RecordError:
        return None


def check_data_model(record: dict[str, Any]) -> None:
    """Raise RecordError where the data model forbids what DAG-CBOR allows: floats, wide integers, depth, width.

    Run on what is kept, not on what is merely looked at.
    """
    _check(record, MAX_DEPTH)


def _check(value: dict[str, Any] | list[Any], depth: int) -> None:
    """`depth`: how many levels may stand here, this one included; it bounds the recursion."""
    if not depth:
        raise RecordError("record too deep")
    if len(value) > MAX_CONTAINER:
        raise RecordError("container too large")
    children: Iterable[Any] = value
    if type(value) is dict:
        children = value.values()
        for key in value:
            if len(key) > MAX_KEY:
                raise RecordError("key too long")
    for child in children:
        kind = type(child)
        if kind is str:
            continue
        if kind is dict or kind is list:
            _check(child, depth - 1)
        elif kind is float:
            raise RecordError("float in record")
        elif kind is int and not -_INT64 <= child < _INT64:
            raise RecordError("integer out of range")
