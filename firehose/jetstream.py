"""Messages of Jetstream, both versions, read into events. Pure; https://github.com/bluesky-social/jetstream.

Version 1 (`/subscribe`) counts by time in microseconds, version 2 (`network.bsky.jetstream.subscribeEvents`) by the seq
of its server. Both send JSON, one operation a message: the operations of a commit come one after another and have its
rev in common. Neither carries proofs.
"""

from datetime import UTC, datetime
from typing import Any

import orjson

from firehose.events import Event, Identity, Lost, Message
from firehose.frames import MAX_FRAME, FrameError, StreamError
from firehose.ops import Scope
from firehose.relay import read_account
from firehose.times import now_micros
from firehose.unsigned import read_operation

NSID = "network.bsky.jetstream.subscribeEvents"
TIMES_FROM = 10**15
"""A cursor from here on is a time in microseconds, below it a seq."""
_FUTURE = 300 * 1_000_000
_KINDS = frozenset(("commit", "identity", "account", "sync", "info"))


def read_json(data: bytes) -> dict[str, Any]:
    """The JSON object of a message. Raises FrameError."""
    if len(data) > MAX_FRAME:
        raise FrameError("message too large")
    try:
        message = orjson.loads(data)
    except (ValueError, RecursionError) as error:
        raise FrameError("message is no JSON") from error
    if type(message) is not dict:
        raise FrameError("message is no object")
    return message


def read_v1(data: bytes, scope: Scope) -> Message:
    """A message of version 1; its position is its time. What cannot be placed is counted and has no position.

    Raises FrameError.
    """
    message = read_json(data)
    kind, at = message.get("kind"), message.get("time_us")
    if type(at) is not int or not TIMES_FROM <= at <= now_micros() + _FUTURE:
        scope.dropped["position malformed"] += 1
        return "other", {}, None
    inner = message.get(kind) if type(kind) is str and kind in _KINDS else None
    if type(inner) is not dict:
        scope.dropped["message malformed"] += 1
        return "other", {}, at
    payload = {"did": message.get("did"), "told": inner, "time": iso(at)}
    return f"#{kind}", payload, at


def read_v2(data: bytes, scope: Scope) -> Message:
    """A message of version 2; its position is its seq. What cannot be placed is counted and has no position.

    Raises FrameError, or StreamError for an error, which ends the stream.
    """
    message = read_json(data)
    told = message.get("$type")
    if told == "error":
        name, text = message.get("error"), message.get("message")
        raise StreamError(name if type(name) is str else "Unknown", text if type(text) is str else "")
    payload = message.get("payload")
    if told != "message" or type(payload) is not dict or type(typed := payload.get("$type")) is not str:
        scope.dropped["message malformed"] += 1
        return "other", {}, None
    kind = typed.removeprefix(NSID + "#")
    if kind == "info":
        return "#info", payload, None
    seq = payload.get("seq")
    if type(seq) is not int or not 0 < seq < TIMES_FROM:
        scope.dropped["position malformed"] += 1
        return "other", {}, None
    if kind not in _KINDS:
        return "other", payload, seq  # of a kind that is newer than this
    if kind != "commit":
        if type(inner := payload.get(kind)) is not dict:
            scope.dropped["message malformed"] += 1
            return "other", payload, seq
        return f"#{kind}", {**payload, "told": inner}, seq
    return "#commit", {**payload, "told": payload}, seq


def read_event(kind: str, payload: dict[str, Any], seq: int, scope: Scope) -> Event | None:
    """What matters of a message that `read_v1` or `read_v2` has read."""
    told, did = payload.get("told"), payload.get("did")
    if type(told) is not dict:
        return None
    if type(did) is not str:
        scope.dropped["message malformed"] += 1
        return None
    if kind == "#commit":
        time = payload.get("time")
        action = told.get("operation")
        return read_operation(told, action, did, seq, time if type(time) is str else "", scope)
    if told.get("did") != did:
        scope.dropped["message contradicts itself"] += 1
    elif kind == "#account":
        scope.on_identity(did)  # it may be at another host now
        return read_account(told.get("active"), told.get("status"), did, seq, scope)
    elif kind == "#identity":
        scope.on_identity(did)
        if did in scope.actors:
            return Identity(seq, did)
    elif kind == "#sync" and did in scope.actors:
        return Lost(seq, did, "#sync of a source without proofs")
    return None


def iso(micros: int) -> str:
    """A time as text."""
    return datetime.fromtimestamp(micros / 1_000_000, UTC).isoformat().replace("+00:00", "Z")
