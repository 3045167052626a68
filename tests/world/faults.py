"""What can go wrong on one connection: scripts that a test lays down and the next connection plays.

Whatever really happened is counted in `fired`, by name, at the moment when it did.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Sent = bytes | str | list[bytes] | list[str]
Edit = Callable[[bytes], tuple[Sent, ...]]
"""What is sent instead of a frame: binary messages, texts, and either in fragments."""


@dataclass(frozen=True)
class Change:
    """An edit with the name under which it is counted."""

    name: str
    edit: Edit

    def __call__(self, frame: bytes) -> tuple[Sent, ...]:
        """What is sent in place of the frame."""
        return self.edit(frame)


@dataclass
class Script:
    """One connection's faults. A frame's number counts from 1 and from the start of the connection.

    `first` is sent before anything else. `breaks`: of a frame so many bytes go out, as they are on the wire, and the
    TCP connection ends. `again`: before a frame so many earlier ones come again. `pieces`: a frame comes in so many.
    """

    refuse: tuple[int, Mapping[str, str], bytes] | None = None
    first: tuple[Change, ...] = ()
    close_after: tuple[int, int, str] | None = None
    abort_after: int | None = None
    stall_after: int | None = None
    error_after: tuple[int, str, str] | None = None
    breaks: dict[int, int] = field(default_factory=dict)
    again: dict[int, int] = field(default_factory=dict)
    pieces: dict[int, int] = field(default_factory=dict)
    edits: dict[int, Edit] = field(default_factory=dict)
    ended: bool = False

    def stops(self, sent: int) -> bool:
        """Whether no further frame goes out after so many."""
        ends = [self.abort_after, self.stall_after]
        ends += [end[0] for end in (self.close_after, self.error_after) if end]
        return any(end is not None and sent >= end for end in ends)


class Faults:
    """Each call adds the script of one coming connection, in order; those after the last are healthy."""

    def __init__(self, fired: Counter[str] | None = None) -> None:
        self.fired: Counter[str] = Counter() if fired is None else fired
        self._scripts: deque[Script] = deque()

    @property
    def waiting(self) -> int:
        """Scripts that no connection has taken yet."""
        return len(self._scripts)

    def clear(self) -> None:
        """Let all coming connections be healthy."""
        self._scripts.clear()

    def take(self) -> Script:
        """The script of the connection that begins now."""
        return self._scripts.popleft() if self._scripts else Script()

    def change(self, script: Script, number: int, frame: bytes) -> tuple[Sent, ...]:
        """What goes out in place of a frame; counted if it is anything else."""
        edit = script.edits.get(number)
        if edit is None:
            return (frame,)
        sent = edit(frame)
        if sent != (frame,):
            self.fired[edit.name if isinstance(edit, Change) else "frame changed"] += 1
        return sent

    def add(self, script: Script) -> None:
        """Play a script of the test's own making."""
        self._scripts.append(script)

    def refuse(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """Answer the upgrade request with an HTTP status."""
        self.add(Script(refuse=(status, headers or {}, body)))

    def close_after(self, frames: int, code: int = 1000, reason: str = "") -> None:
        """Close properly after so many frames."""
        self.add(Script(close_after=(frames, code, reason)))

    def abort_after(self, frames: int) -> None:
        """Drop the TCP connection after so many frames, without a close frame."""
        self.add(Script(abort_after=frames))

    def break_in(self, frame: int, at: int) -> None:
        """Drop the TCP connection inside a frame, behind byte `at` of it (modulo its length) as it is on the wire."""
        self.add(Script(breaks={frame: at}))

    def stall_after(self, frames: int) -> None:
        """Send nothing more after so many frames, and keep the connection open."""
        self.add(Script(stall_after=frames))

    def error_frame(self, name: str, text: str = "", after: int = 0) -> None:
        """Send an error frame after so many frames, then close."""
        self.add(Script(error_after=(after, name, text)))

    def send_first(self, name: str, *frames: bytes) -> None:
        """Begin the connection with these frames."""
        self.add(Script(first=(Change(name, lambda _: frames),)))

    def send_again(self, frame: int, earlier: int) -> None:
        """Before a frame, send so many earlier ones once more, under their old seqs."""
        self.add(Script(again={frame: earlier}))

    def in_pieces(self, frame: int, pieces: int) -> None:
        """Send a frame as a message of several fragments."""
        self.add(Script(pieces={frame: pieces}))

    def edit(self, frame: int, change: Edit) -> None:
        """Send what `change` makes of a frame in its place: none, one or several."""
        self.add(Script(edits={frame: change}))

    def cut(self, frame: int, at: int) -> None:
        """Send only the first `at` bytes of a frame."""
        self.edit(frame, cut(at))

    def flip(self, frame: int, bit: int) -> None:
        """Turn one bit of a frame over, counted from its first byte's lowest."""
        self.edit(frame, flip(bit))

    def swallow(self, frame: int) -> None:
        """Leave a frame out."""
        self.edit(frame, swallow())

    def repeat(self, frame: int, times: int = 2) -> None:
        """Send a frame several times."""
        self.edit(frame, repeat(times))

    def garbage(self, frame: int, data: bytes) -> None:
        """Send a message that is none before a frame."""
        self.edit(frame, garbage(data))


def cut(at: int) -> Change:
    """Only the first `at` bytes, modulo its length."""
    return Change("frame cut", lambda raw: (raw[: at % len(raw)],))


def flip(bit: int) -> Change:
    """One bit turned over, modulo its length."""

    def edit(raw: bytes) -> tuple[bytes, ...]:
        place, mask = bit // 8 % len(raw), 1 << bit % 8
        return (raw[:place] + bytes([raw[place] ^ mask]) + raw[place + 1 :],)

    return Change("bit flipped", edit)


def swallow() -> Change:
    """Nothing."""
    return Change("frame swallowed", lambda raw: ())


def repeat(times: int = 2) -> Change:
    """Several times the same."""
    return Change("frame repeated", lambda raw: (raw,) * times)


def garbage(data: bytes) -> Change:
    """Something else before it."""
    return Change("garbage", lambda raw: (data, raw))


def wire(frame: bytes) -> bytes:
    """A binary message as a server puts it on the wire (RFC 6455, 5.2)."""
    size = len(frame)
    if size < 126:
        return bytes((0x82, size)) + frame
    return (
        bytes((0x82, 126)) + size.to_bytes(2, "big") if size < 1 << 16 else bytes((0x82, 127)) + size.to_bytes(8, "big")
    ) + frame
