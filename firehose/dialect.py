"""What differs between the streams that events are read from; the loop that reads them is one (firehose/subscribe.py).

A dialect says how its stream is asked for, what a position in it is, and how a message is read.
"""

from collections.abc import Collection, Sequence
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

from firehose import jetstream, relay, tap
from firehose.compression import MAGIC, Unpacker
from firehose.events import Event, Message
from firehose.frames import FrameError, read_frame, sequence
from firehose.ops import WATCHED, Scope
from firehose.source import JETSTREAM, JETSTREAM1, TAP, Source
from xrpc.syntax import parse_datetime

Kind = Literal["seq", "time_us", "none"]
REWIND = 5_000_000
"""Microseconds by which a position that is a time is set back: around it, events may come in any order (J5, J6)."""
LEGACY_DICTIONARY = 1612007021


class Dialect(Protocol):
    """See the module. `kind` is that of a position: `seq` never falls, `time_us` may, with `none` there is none."""

    kind: Kind
    signed: bool
    """Whether commits come whole and with their proofs, not operation by operation."""
    texts: bool
    subprotocols: Sequence[str]
    takes_times: bool
    """Whether the stream can be asked for from a time on, in microseconds."""

    def url(self, base: str, cursor: int | None, wanted: Collection[str] = WATCHED) -> str:
        """Where the stream is, from `cursor` on; None: the live end. `wanted`: collections, if they can be chosen."""

    def open(self, data: bytes, scope: Scope) -> Message:
        """Kind, payload and position of a message. Raises FrameError, StreamError or CompressionError."""

    def read(self, kind: str, payload: dict[str, Any], seq: int, scope: Scope) -> Event | None:
        """What matters of an opened message."""

    def connected(self, received: int) -> None:
        """The stream begins anew, behind the position `received`."""

    def answers(self, committed: int) -> list[str]:
        """Messages to be sent once everything up to `committed` is stored."""


class SubscribeRepos:
    """`com.atproto.sync.subscribeRepos` of a relay or PDS: signed commits with their proofs."""

    NSID = "com.atproto.sync.subscribeRepos"
    kind: Kind = "seq"
    signed = True
    texts = False
    subprotocols: Sequence[str] = ()
    takes_times = False

    def url(self, base: str, cursor: int | None, wanted: Collection[str] = WATCHED) -> str:
        """See Dialect."""
        return f"{base}/xrpc/{self.NSID}" + ("" if cursor is None else f"?cursor={cursor}")

    def open(self, data: bytes, scope: Scope) -> Message:
        """See Dialect."""
        return relay.read_message(data, scope)

    def read(self, kind: str, payload: dict[str, Any], seq: int, scope: Scope) -> Event | None:
        """See Dialect."""
        return relay.read_event(kind, payload, seq, scope)

    def place(self, data: bytes) -> tuple[int, int] | None:
        """Seq and time (microseconds) of a message; None for one that has not both. Raises FrameError, StreamError."""
        _, payload = read_frame(data)
        seq, time = sequence(payload), payload.get("time")
        micros = parse_datetime(time) if type(time) is str else None
        return None if seq is None or micros is None else (seq, micros)

    def connected(self, received: int) -> None:
        """See Dialect."""

    def answers(self, committed: int) -> list[str]:
        """See Dialect."""
        return []


class _Jetstream:
    """What both versions have in common: messages that may be packed."""

    signed = False
    texts = True
    takes_times = True
    dictionary: int | None
    """The id of the dictionary that is asked for, None for the server's current one."""

    def __init__(self) -> None:
        self.unpacker: Unpacker | None = None
        self.fetches = 2
        """How often the dictionary may be fetched: once, and once more when the server has another one by then."""

    def _unpacked(self, data: bytes) -> bytes:
        if data[:4] != MAGIC:
            return data
        if self.unpacker is None:
            raise FrameError("message is packed, and nobody asked for that")
        return self.unpacker.unpack(data)

    def read(self, kind: str, payload: dict[str, Any], seq: int, scope: Scope) -> Event | None:
        """See Dialect."""
        return jetstream.read_event(kind, payload, seq, scope)

    def unpacked(self) -> None:
        """Ask for no packed messages any more."""
        self.unpacker, self.fetches = None, 0

    def connected(self, received: int) -> None:
        """See Dialect."""

    def answers(self, committed: int) -> list[str]:
        """See Dialect. Nothing is ever sent: version 2 closes the connection at it."""
        return []


class Jetstream1(_Jetstream):
    """Version 1, `/subscribe`. Its positions are times."""

    kind: Kind = "time_us"
    subprotocols: Sequence[str] = ()
    dictionary = LEGACY_DICTIONARY

    def url(self, base: str, cursor: int | None, wanted: Collection[str] = WATCHED) -> str:
        """See Dialect. Events of accounts and identities come whatever collections are wanted (J2)."""
        query: list[tuple[str, object]] = [("wantedCollections", collection) for collection in sorted(wanted)]
        if cursor is not None:
            query.append(("cursor", max(0, cursor)))
        if self.unpacker is not None:
            query.append(("compress", "true"))
        return f"{base}/subscribe?{urlencode(query)}"

    def open(self, data: bytes, scope: Scope) -> Message:
        """See Dialect."""
        return jetstream.read_v1(self._unpacked(data), scope)


class Jetstream2(_Jetstream):
    """Version 2, `network.bsky.jetstream.subscribeEvents`. Its positions are seqs of that one server."""

    kind: Kind = "seq"
    subprotocols: Sequence[str] = ("xrpc.v1.json",)
    dictionary = None

    def url(self, base: str, cursor: int | None, wanted: Collection[str] = WATCHED) -> str:
        """See Dialect. A `cursor` from `jetstream.TIMES_FROM` on is a time in microseconds."""
        query: list[tuple[str, object]] = [("collections", collection) for collection in sorted(wanted)]
        query += [("kinds", kind) for kind in ("commit", "identity", "account", "sync")]
        if cursor is not None:
            query.append(("cursor", max(0, cursor)))
        if self.unpacker is not None:
            query.append(("zstdDictionary", self.unpacker.id))
        return f"{base}/xrpc/{jetstream.NSID}?{urlencode(query)}"

    def open(self, data: bytes, scope: Scope) -> Message:
        """See Dialect."""
        return jetstream.read_v2(self._unpacked(data), scope)


class Tap:
    """Tap's `/channel`. It has no positions: what was stored is acknowledged, message by message."""

    kind: Kind = "none"
    signed = False
    texts = True
    subprotocols: Sequence[str] = ()
    takes_times = False

    def __init__(self) -> None:
        self._owed = tap.Owed()

    def url(self, base: str, cursor: int | None, wanted: Collection[str] = WATCHED) -> str:
        """See Dialect."""
        return f"{base}/channel"

    def open(self, data: bytes, scope: Scope) -> Message:
        """See Dialect. The position is a count of ours."""
        kind, payload, id = tap.read_message(data, scope)
        if id is None:
            return kind, payload, None
        return kind, payload, self._owed.add(id)

    def read(self, kind: str, payload: dict[str, Any], seq: int, scope: Scope) -> Event | None:
        """See Dialect."""
        return tap.read_event(kind, payload, seq, scope)

    def connected(self, received: int) -> None:
        """See Dialect."""
        self._owed = tap.Owed(received)

    def answers(self, committed: int) -> list[str]:
        """See Dialect."""
        return self._owed.due(committed)


def dialect_of(source: Source) -> Dialect:
    """The dialect that a source speaks."""
    if source.protocol == JETSTREAM:
        return Jetstream2()
    if source.protocol == JETSTREAM1:
        return Jetstream1()
    return Tap() if source.protocol == TAP else SubscribeRepos()
