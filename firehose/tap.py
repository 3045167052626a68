"""Messages of Tap, read into events; https://github.com/bluesky-social/indigo/tree/main/cmd/tap.

Tap has no cursor: every message is to be acknowledged, and comes again until it is. An acknowledgement may go out only
when the transaction that holds the message has committed.
"""

from collections import deque
from typing import Any

from firehose.events import Event, Message
from firehose.frames import FrameError
from firehose.jetstream import iso, read_json
from firehose.ops import Scope
from firehose.relay import read_account
from firehose.times import tid_micros
from firehose.unsigned import read_operation

_IDS = 1 << 63


class Owed:
    """The acknowledgements that are owed: of each message taken, its position with us and its id with Tap."""

    def __init__(self, received: int = 0) -> None:
        """Of a new connection: on it, everything comes again that was owed. `received`: the last position."""
        self._received = received
        self._owed: deque[tuple[int, int]] = deque()

    def add(self, id: int) -> int:
        """A message was taken. Its position."""
        self._received += 1
        self._owed.append((self._received, id))
        return self._received

    def due(self, committed: int) -> list[str]:
        """The acknowledgements that may be sent when everything up to `committed` is stored; each is given out once."""
        ready = []
        while self._owed and self._owed[0][0] <= committed:
            ready.append(f'{{"type":"ack","id":{self._owed.popleft()[1]}}}')
        return ready


def read_message(data: bytes, scope: Scope) -> Message:
    """Kind, payload and id of a message; without an id it cannot be acknowledged. Counts what is malformed."""
    try:
        message = read_json(data)
    except FrameError as error:
        # Whoever cannot say what a message is called cannot be asked for it again.
        scope.dropped[str(error)] += 1
        return "other", {}, None
    id, kind = message.get("id"), message.get("type")
    if type(id) is not int or not 0 <= id < _IDS:
        scope.dropped["message without an id"] += 1
        return "other", {}, None
    told = message.get(kind) if type(kind) is str and kind in ("record", "identity") else None
    if type(told) is not dict:
        scope.dropped["message malformed"] += 1
        return "other", {}, id
    payload: dict[str, Any] = {"told": told}
    rev = told.get("rev")
    if kind == "record" and told.get("live") is True and type(rev) is str and (at := tid_micros(rev)):
        payload["time"] = iso(at)
    return "#commit" if kind == "record" else "#identity", payload, id


def read_event(kind: str, payload: dict[str, Any], position: int, scope: Scope) -> Event | None:
    """What matters of a message that `read_message` has read. `position`: ours, which rises with each message."""
    told = payload.get("told")
    if type(told) is not dict:
        return None
    did = told.get("did")
    if type(did) is not str:
        scope.dropped["message malformed"] += 1
        return None
    if kind == "#commit":
        return read_operation(told, told.get("action"), did, position, payload.get("time", ""), scope)
    scope.on_identity(did)
    active, status = told.get("is_active"), told.get("status")
    return read_account(active, None if active else status, did, position, scope)
