"""What can go wrong on one connection: scripts that a test lays down and the next connection plays."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Edit = Callable[[bytes], tuple[bytes | str | list[bytes] | list[str], ...]]
"""What is sent instead of a frame: binary messages, texts, and either in fragments."""


@dataclass
class Script:
    """One connection's faults. A frame's number counts from 1 and from the start of the connection."""

    refuse: tuple[int, Mapping[str, str], bytes] | None = None
    close_after: tuple[int, int, str] | None = None
    abort_after: int | None = None
    stall_after: int | None = None
    error_after: tuple[int, str, str] | None = None
    edits: dict[int, Edit] = field(default_factory=dict)

    def stops(self, sent: int) -> bool:
        """Whether no further frame goes out after so many."""
        ends = [self.abort_after, self.stall_after]
        ends += [end[0] for end in (self.close_after, self.error_after) if end]
        return any(end is not None and sent >= end for end in ends)


class Faults:
    """Each call adds the script of one coming connection, in order; those after the last are healthy."""

    def __init__(self) -> None:
        self._scripts: deque[Script] = deque()

    def take(self) -> Script:
        """The script of the connection that begins now."""
        return self._scripts.popleft() if self._scripts else Script()

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

    def stall_after(self, frames: int) -> None:
        """Send nothing more after so many frames, and keep the connection open."""
        self.add(Script(stall_after=frames))

    def error_frame(self, name: str, text: str = "", after: int = 0) -> None:
        """Send an error frame after so many frames, then close."""
        self.add(Script(error_after=(after, name, text)))

    def edit(self, frame: int, change: Edit) -> None:
        """Send what `change` makes of a frame in its place: none, one or several."""
        self.add(Script(edits={frame: change}))

    def cut(self, frame: int, at: int) -> None:
        """Send only the first `at` bytes of a frame."""
        self.edit(frame, lambda raw: (raw[:at],))

    def flip(self, frame: int, bit: int) -> None:
        """Turn one bit of a frame over, counted from its first byte's lowest."""
        place, mask = bit // 8, 1 << bit % 8
        self.edit(frame, lambda raw: (raw[:place] + bytes([raw[place] ^ mask]) + raw[place + 1 :],))

    def swallow(self, frame: int) -> None:
        """Leave a frame out."""
        self.edit(frame, lambda raw: ())

    def repeat(self, frame: int, times: int = 2) -> None:
        """Send a frame several times."""
        self.edit(frame, lambda raw: (raw,) * times)
