"""One WebSocket message of `com.atproto.sync.subscribeRepos`: two DAG-CBOR objects, a header and a payload.

https://atproto.com/specs/event-stream. Pure functions over bytes; every refusal has a named reason.
"""

from typing import Any

import libipld

MAX_FRAME = 5 * 1024 * 1024
"""Bytes; the protocol's limit for one event."""


class FrameError(Exception):
    """The message is no frame. Its position in the stream is unknown: the connection cannot go on past it."""


class StreamError(Exception):
    """The server sent an error frame; it closes the stream after it. `name` is its error, such as FutureCursor."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.name = name


def read_frame(data: bytes) -> tuple[str, dict[str, Any]]:
    """The type (`#commit`, ...; empty for one that must be passed over) and payload of a message.

    Raises FrameError, or StreamError for an error frame.
    """
    if len(data) > MAX_FRAME:
        raise FrameError("frame too large")
    try:
        parts = libipld.decode_dag_cbor_multi(data)
    except (ValueError, RecursionError) as error:
        raise FrameError("frame is no DAG-CBOR") from error
    if len(parts) != 2:
        raise FrameError("frame is not two objects")
    header, payload = parts
    if type(header) is not dict or type(payload) is not dict:
        raise FrameError("frame is not two maps")
    op = header.get("op")
    if type(op) is not int:  # True and 1.0 equal 1
        raise FrameError("frame has no op")
    if op == 1:
        kind = header.get("t")
        if type(kind) is not str:
            raise FrameError("frame has no type")
        return kind, payload
    if op == -1:
        name, message = payload.get("error"), payload.get("message")
        raise StreamError(name if type(name) is str else "Unknown", message if type(message) is str else "")
    return "", payload


def sequence(payload: dict[str, Any]) -> int | None:
    """The `seq` of a payload, or None where it has none (`#info`). Raises FrameError when it is no sequence number."""
    seq = payload.get("seq")
    if seq is None:
        return None
    if type(seq) is not int or not 0 < seq < 1 << 53:
        raise FrameError("seq is no sequence number")
    return seq
