"""Why a connection ended, and how long to wait before the next."""

import random
from dataclasses import dataclass

import orjson
from websockets.typing import BytesLike

FIRST_DELAY = 0.5
LONGEST_DELAY = 60.0


class Backoff:
    """Seconds to wait before the next try: doubling, with jitter from the first, capped."""

    def __init__(
        self, rng: random.Random | None = None, *, first: float = FIRST_DELAY, longest: float = LONGEST_DELAY
    ) -> None:
        self._rng = rng or random.Random()
        self._first, self._longest = first, longest
        self._delay = first

    def reset(self) -> None:
        """The connection was good."""
        self._delay = self._first

    def next(self, *, longest: bool = False) -> float:
        """The next delay; `longest` for faults that trying again will hardly mend."""
        self._delay = self._longest if longest else min(self._delay * 2, self._longest)
        return self._rng.uniform(self._delay / 2, self._delay)


@dataclass(frozen=True, slots=True)
class End:
    """Why a connection ended: `cause` is one of few, for counting; `detail` is for people. `delay` 0: as usual."""

    cause: str
    detail: str = ""
    delay: float = 0.0
    stand_still: bool = False

    def __str__(self) -> str:
        # The detail is the server's own words: they must not look like lines of ours, nor move a terminal's cursor.
        detail = "".join(sign if sign.isprintable() else "\ufffd" for sign in self.detail)
        return f"{self.cause}: {detail}" if detail else self.cause


def error_name(body: BytesLike | None) -> str:
    """The name of the XRPC error with which a connection was refused; empty when there is none."""
    try:
        error = orjson.loads(body or b"")
    except ValueError:
        return ""
    name = error.get("error") if type(error) is dict else None
    return name[:100] if type(name) is str else ""
