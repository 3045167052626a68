"""What can be made out of a message that could not be used: as much of its two objects as is CBOR, and where that ends.

For people who look at the quarantine. Nothing here is refused: what comes first stays, and what cannot be read ends it.
All of it fits into JSON and is bounded: long texts and lists are cut, bytes become their number, links their CID.
"""

import math
import struct
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

DEEPEST = 32
MOST_ITEMS = 20_000
MOST_TEXT = 300
MOST_ENTRIES = 200
"""Of one list or map, as many as a commit may have operations."""

_FLOATS = {25: (2, ">e"), 26: (4, ">f"), 27: (8, ">d")}

Put = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Dissection:
    """The two objects as far as they go, None for one that is not there. `fault`: what ends them; empty if nothing."""

    header: Any
    payload: Any
    fault: str


class _Unreadable(Exception):
    """It ends here; the message says why."""


def dissect(frame: bytes) -> Dissection:
    """Read any bytes at all. Never raises."""
    reader = _Reader(frame)
    parts: list[Any] = []
    fault = ""
    try:
        for what in ("header", "payload"):
            if reader.at >= len(frame):
                raise _Unreadable(f"there is no {what}")
            reader.item(parts.append, 0)
        if reader.at < len(frame):
            raise _Unreadable(f"{len(frame) - reader.at:,} bytes stand behind the two objects")
    except _Unreadable as error:
        fault = f"at byte {reader.at:,}: {error}"
    header, payload, *_ = *parts, None, None
    return Dissection(header, payload, fault)


class _Reader:
    """Reads CBOR (RFC 8949) from `at` on. What is begun is put where it belongs first, so that a part of it stays."""

    def __init__(self, data: bytes) -> None:
        self.at = 0
        self._data = data
        self._items = 0

    def item(self, put: Put, depth: int) -> None:
        """Read one value and `put` it; a container is put while it is empty. Raises _Unreadable."""
        self._items += 1
        if self._items > MOST_ITEMS:
            raise _Unreadable(f"more than {MOST_ITEMS:,} values")
        if depth > DEEPEST:
            raise _Unreadable(f"nested more than {DEEPEST} deep")
        kind, number, detail = self._head()
        if kind == 0:
            put(number)
        elif kind == 1:
            put(-1 - number)
        elif kind in (2, 3):
            self._run(number, put, _text if kind == 3 else _size)
        elif kind == 4:
            self._list(number, put, depth)
        elif kind == 5:
            self._map(number, put, depth)
        elif kind == 6 and number == 42:
            self._link(put)
        elif kind == 6:
            self.item(lambda value: put({"tag": number, "value": value}), depth + 1)
        else:
            put(_simple(number, detail))

    def _head(self) -> tuple[int, int, int]:
        """The major type, its argument, and the five bits that say how the argument is written."""
        first = self._take(1)[0]
        kind, detail = first >> 5, first & 31
        if detail < 24:
            return kind, detail, detail
        if detail > 27:
            self.at -= 1
            raise _Unreadable("a length that is indefinite, or none")
        return kind, int.from_bytes(self._take(1 << detail - 24), "big"), detail

    def _take(self, count: int) -> bytes:
        part = self._data[self.at : self.at + count]
        if len(part) < count:
            raise _Unreadable("it is cut off")
        self.at += count
        return part

    def _run(self, length: int, put: Put, shown: Callable[[bytes], Any]) -> None:
        part = self._data[self.at : self.at + length]
        self.at += len(part)
        put(shown(part))
        if len(part) < length:
            raise _Unreadable(f"it is cut off, {length - len(part):,} bytes are missing")

    def _list(self, length: int, put: Put, depth: int) -> None:
        entries: list[Any] = []
        put(entries)
        for number in range(length):
            self.item(entries.append if number < MOST_ENTRIES else _drop, depth + 1)
        if length > MOST_ENTRIES:
            entries.append(f"... {length - MOST_ENTRIES:,} more")

    def _map(self, length: int, put: Put, depth: int) -> None:
        entries: dict[str, Any] = {}
        put(entries)
        for number in range(length):
            keys: list[Any] = []
            self.item(keys.append, depth + 1)
            if number >= MOST_ENTRIES:
                self.item(_drop, depth + 1)
                continue
            key = str(keys[0])
            while key in entries:
                key += " (again)"
            self.item(partial(entries.__setitem__, key), depth + 1)
        if length > MOST_ENTRIES:
            entries["..."] = f"{length - MOST_ENTRIES:,} more"

    def _link(self, put: Put) -> None:
        kind, length, _ = self._head()
        if kind != 2:
            raise _Unreadable("a link that is no bytes")
        self._run(length, put, _cid)


def _drop(value: Any) -> None:
    """For what is read on over."""


def _text(part: bytes) -> str:
    text = part.decode("utf-8", "backslashreplace")
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}... ({len(text):,} characters)"


def _size(part: bytes) -> dict[str, int]:
    return {"bytes": len(part)}


def _cid(part: bytes) -> dict[str, str]:
    """A link in the JSON form of the data model; one that is no CID of the usual length says so."""
    text = "b" + b32encode(part[1:][:MOST_TEXT]).decode().lower().rstrip("=")
    return {"$link": text if part[:1] == b"\0" and len(part) == 37 else f"not a CID: {part[:40].hex()}"}


def _simple(number: int, detail: int) -> Any:
    if detail in _FLOATS:
        size, form = _FLOATS[detail]
        value = struct.unpack(form, number.to_bytes(size, "big"))[0]
        return value if math.isfinite(value) else str(value)
    return {20: False, 21: True, 22: None}.get(number, f"simple value {number}")
