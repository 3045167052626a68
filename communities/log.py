"""The log of decisions of one community: events numbered from 1, each of which names the hash of the one before it.

What the public log may hide of an event (FIELDS) goes into its hash by commitments, a salted hash each. So a log from
which some of it was taken out still verifies, event by event, to the same hashes:

    genesis    = H("social.communities.log#genesis", slug)                    `prev` of event 1
    commitment = H("social.communities.log#field", name, salt, value)
    hash       = H("social.communities.log#event", seq, at, action, rule, prev, commitments in the order of FIELDS)

H is SHA-256 over the DAG-CBOR of the array of what stands in the brackets: numbers, texts, byte strings, null for what
there is none of. DAG-CBOR says of each where it ends and of what kind it is. Pure, but for the salts of `make`.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from cbrrr import encode_dag_cbor

from communities.access import Action
from communities.community import ACTOR, NOBODY, Log

FIELDS = ("actor", "role", "subject", "cid", "reason", "until")
"""What the public log may hide, in the order in which an event's hash takes it in."""
SALT_BYTES = 16
HASH_BYTES = 32
LAST_MOMENT = 253_402_300_799_999_999
"""The last microsecond of the year 9999: a later one has no date."""
_TAG = "social.communities.log"
_ABOUT = frozenset(("subject", "cid", "reason", "until"))
_PRIVATE = frozenset((Action.BAN, Action.UNBAN, Action.EXPEL))
"""Whom these are about is nobody else's business: expelling lifts a ban, too."""


class Acting(StrEnum):
    """As what somebody decided."""

    MODERATOR = "moderator"
    ADMIN = "admin"
    OWNER = "owner"
    SITE = "site"
    AUTOMATION = "automation"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided. `actor`: a DID. `subject`: the at-uri of a post, or a DID. `cid`: the post's. `rule`: the name
    of the community's rule. `until`: when a ban or a role ends, microseconds.
    """

    action: Action
    actor: str
    role: Acting
    subject: str | None = None
    cid: str | None = None
    reason: str | None = None
    rule: str | None = None
    until: int | None = None


class Head(NamedTuple):
    """How far a log goes: its last event's `seq` and hash. Of an empty one: 0 and the genesis."""

    seq: int
    hash: bytes


class Opened(NamedTuple):
    """A field that is shown, with the salt of its commitment. `value` None: there is none."""

    value: str | int | None
    salt: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """A decision in the log. `at`: microseconds. Each of FIELDS is either in `opened` or, by its commitment alone, in
    `sealed`.
    """

    seq: int
    at: int
    action: str
    rule: str | None
    opened: Mapping[str, Opened]
    sealed: Mapping[str, bytes]
    prev: bytes
    hash: bytes

    def get(self, name: str) -> Any:
        """The value of one of FIELDS; None if there is none, or if it is hidden."""
        return self.opened[name].value if name in self.opened else None


class BrokenLogError(Exception):
    """A log is not what was written. `seq`: the first number of which that can be said; the message says why."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(why)
        self.seq = seq


def genesis(slug: str) -> Head:
    """The head of a community's log in which there is nothing yet."""
    return Head(0, _digest("genesis", slug))


def make(head: Head, at: int, decision: Decision, salt: Callable[[int], bytes] = secrets.token_bytes) -> Event:
    """The event that follows `head`. `salt`: gives so many random bytes.

    Raises ValueError for a time that has no date and a text that has no UTF-8.
    """
    for moment in (at, decision.until):
        if moment is not None and not 0 <= moment <= LAST_MOMENT:
            raise ValueError(f"{moment} is no time in microseconds")
    values: Mapping[str, str | int | None] = {
        "actor": decision.actor,
        "role": str(decision.role),
        "subject": decision.subject,
        "cid": decision.cid,
        "reason": decision.reason,
        "until": decision.until,
    }
    opened = {name: Opened(values[name], salt(SALT_BYTES)) for name in FIELDS}
    event = Event(head.seq + 1, at, str(decision.action), decision.rule, opened, {}, head.hash, b"")
    return replace(event, hash=hash_of(event))


def redact(event: Event, show: Log) -> Event:
    """An event as the public log of a community shows it. A ban stays between the community and the banned, and a
    reason can name people: it is shown only where the subject is.
    """
    shown: set[str] = set()
    if show.who != NOBODY:
        shown.add("role")
    if show.who == ACTOR:
        shown.add("actor")
    if show.show_subject and event.action not in _PRIVATE:
        shown |= _ABOUT
    hidden = {name: commitment(name, *event.opened[name]) for name in event.opened if name not in shown}
    opened = {name: field for name, field in event.opened.items() if name in shown}
    return replace(event, opened=opened, sealed={**event.sealed, **hidden})


def verify(events: Iterable[Event], after: Head, known: Head | None = None) -> Head:
    """Check events that follow `after`, oldest first, whole or redacted; returns the last one's head.

    `after`: the genesis, or the head before a page that begins in the middle. `known`: a head at or behind `after` that
    was seen earlier, which the log must still hold. Raises BrokenLogError.
    """
    head = after
    _still_holds(head, known)
    for event in events:
        if event.seq != head.seq + 1:
            raise BrokenLogError(head.seq + 1, f"in its place stands number {event.seq}")
        if event.prev != head.hash:
            raise BrokenLogError(event.seq, f"it follows {event.prev.hex()}, and not {head.hash.hex()}")
        try:
            right = hash_of(event)
        except (ValueError, TypeError, KeyError) as error:
            raise BrokenLogError(event.seq, f"it cannot be hashed: {error}") from error
        if event.hash != right:
            raise BrokenLogError(event.seq, f"what it says has the hash {right.hex()}, and not {event.hash.hex()}")
        head = Head(event.seq, event.hash)
        _still_holds(head, known)
    if known is not None and known.seq > head.seq:
        raise BrokenLogError(head.seq + 1, f"it is missing: the log went to {known.seq}")
    return head


def _still_holds(head: Head, known: Head | None) -> None:
    if known is not None and known.seq == head.seq and known.hash != head.hash:
        raise BrokenLogError(head.seq, f"its hash was {known.hash.hex()}, and is {head.hash.hex()}")


def hash_of(event: Event) -> bytes:
    """What the hash of an event must be. Raises ValueError, TypeError or KeyError when it says what none can say."""
    if len(event.opened) + len(event.sealed) != len(FIELDS):
        raise ValueError("a field is both hidden and shown, or is none")
    sealed = {**event.sealed, **{name: commitment(name, *field) for name, field in event.opened.items()}}
    fields = [sealed[name] for name in FIELDS]
    return _digest("event", event.seq, event.at, event.action, event.rule, event.prev, *fields)


def commitment(name: str, value: str | int | None, salt: bytes) -> bytes:
    """What stands for a field in the hash of its event, and in its place where it is hidden."""
    return _digest("field", name, salt, value)


def _digest(tag: str, *parts: str | int | bytes | None) -> bytes:
    return hashlib.sha256(encode_dag_cbor([f"{_TAG}#{tag}", *parts])).digest()
