"""Events as the index takes them, whichever source they came from. `seq` is a position of that source."""

from dataclasses import dataclass
from typing import Any

from firehose.ops import Commit
from firehose.verify import Verified


@dataclass(slots=True)
class Account:
    """An account's host says how it stands. `status` is a detail, in an open vocabulary (A46)."""

    seq: int
    did: str
    active: bool
    status: str | None


@dataclass(slots=True)
class Identity:
    """Anything about an account's identity may have changed: key, host, handle (A45)."""

    seq: int
    did: str


@dataclass(slots=True)
class Sync:
    """An account's repository stands at another commit, without saying what changed (A51)."""

    seq: int
    did: str
    proof: Verified | None = None


@dataclass(slots=True)
class Lost:
    """What an event said is not known, so the account's repository has to be read. `why` is for people."""

    seq: int
    did: str
    why: str


@dataclass(slots=True)
class Refused:
    """An event that is not believed: it changes nothing, and was counted."""

    seq: int
    did: str


Message = tuple[str, dict[str, Any], int | None]
"""Kind of a message (`#commit`, ...), its payload, and its position in the stream, if it has one."""
Event = Commit | Account | Identity | Sync | Lost | Refused
