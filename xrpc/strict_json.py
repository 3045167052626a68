"""JSON as the protocol means it: one reading for every parser, or none.

Stricter than RFC 8259 where leniency has been used to show two parsers two documents: valid UTF-8 without a
byte order mark or lone surrogates, no duplicate keys, no NaN or Infinity, integers of 64 bits, no fractions
(the data model has no floats, atproto.com/specs/data-model), bounded nesting.
"""

import json
from typing import Any, NoReturn

import orjson

MAX_DEPTH = 64


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (value := int(digits)) < 2**63:
        raise ValueError("integer out of range")
    return value


def _no_fraction(_: str) -> NoReturn:
    raise ValueError("not an integer")


_decoder = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_no_fraction, parse_constant=_no_fraction
)


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(inner, (dict, list)) for inner in level)


def parse_json(data: bytes) -> Any:
    """The value of a JSON document. Raises ValueError for everything that is not strictly good."""
    # orjson judges encoding, surrogates and grammar; it cannot report duplicate keys, and it turns integers
    # over 64 bits into floats. So the value itself comes from the second parser, which can be told to refuse
    # both.
    checked = orjson.loads(data)
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _too_deep(checked):
        raise ValueError("nested too deeply")
    return _decoder.decode(data.decode("utf-8"))
