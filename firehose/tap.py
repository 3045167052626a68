"""Messages of Tap, read into events; https://github.com/bluesky-social/indigo/tree/main/cmd/tap.

Tap has no cursor: every message is to be acknowledged, and comes again until it is. An acknowledgement may go out only
when the transaction that holds the message has committed.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from firehose.events import Event
from firehose.frames import FrameError
from firehose.jetstream import iso, read_account, read_json
from firehose.ops import Scope
from firehose.times import tid_micros
from firehose.unsigned import read_operation

_IDS = 1 << 63


class Owed:
    """The acknowledgements that are owed: of each message taken, its position with us and its id with Tap."""

    def __init__(self) -> None:
        self._owed: deque[tuple[int, int]] = deque()

    def add(self, position: int, id: int) -> None:
        """A message was taken. Positions rise."""
        self._owed.append((position, id))

    def forget(self) -> None:
        """The connection is another one: on it, everything comes again that is owed."""
        self._owed.clear()

    def due(self, committed: int) -> list[str]:
        """The acknowledgements that may be sent when everything up to `committed` is stored; each is given out once."""
        ready = []
        while self._owed and self._owed[0][0] <= committed:
            ready.append(f'{{"type":"ack","id":{self._owed.popleft()[1]}}}')
        return ready


def read_message(data: bytes, scope: Scope) -> tuple[str, dict[str, Any], int | None]:
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


def read_event(
    kind: str,
    payload: dict[str, Any],
    position: int,
    scope: Scope,
    doubted: Callable[[str], None],
    on_identity: Callable[[str], None],
) -> Event | None:
    """What matters of a message that `read_message` has read. `position`: ours, which rises with each message."""
    told = payload.get("told")
    if type(told) is not dict:
        return None
    did = told.get("did")
    if type(did) is not str:
        scope.dropped["message malformed"] += 1
        return None
    if kind == "#commit":
        return read_operation(told, told.get("action"), did, position, payload.get("time", ""), scope, doubted)
    on_identity(did)
    active, status = told.get("is_active"), told.get("status")
    return read_account(active, None if active else status, did, position, scope)
