"""Labels come and go here: what is wanted of a subject is judged, noted as one event, and put into the outbox.

Everything happens inside a write transaction of the caller. What changes nothing leaves nothing. Here a label counts
from that transaction on (`labeler.standing`); others hear of it when the publisher has signed it.
Source: atproto.com/specs/label. Times are milliseconds.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

from labeler.label import fault_of_subject, fault_of_value
from labeler.outbox import Outbox, Sayer, priority
from labeler.standing import Slot, Slots, slots_of, slots_of_all
from models.database import Connection
from xrpc.syntax import is_cid

LATEST = 253_402_300_799_999
"""The last moment that a label can name: the end of the year 9999."""

_NOTE = (
    "INSERT INTO label_event (id, at, labeler, community, actor, role, uri, cid, added, removed, exp, reason, rule,"
    " batch, undoes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Defined(Protocol):
    """What a labeler says of one of its values."""

    @property
    def default_setting(self) -> str:
        """What clients do unless they are told: ignore, warn or hide."""


class Vocabulary(Protocol):
    """What a labeler may issue."""

    @property
    def did(self) -> str:
        """Whose labels they are."""

    @property
    def definitions(self) -> Mapping[str, Defined]:
        """Its own values."""

    @property
    def values(self) -> Set[str]:
        """All values that it may issue, those included which clients define."""


class LabelRefusedError(Exception):
    """A label that is not issued. `name` says what kind of fault it is, `message` what is wrong."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name, self.message = name, message


class Wanted(NamedTuple):
    """What somebody wants of the labels of a subject.

    `labeler` is the row of the labeler whose DID is `src`. `cid`: of the version that is labelled, empty for all; what
    is removed is removed of all versions. `exp`: when what is added ends. `actor`: a DID, `rule:NAME` or `cli`.
    `community`: for which; 0 for the site. `batch`: what is done together with others. `undoes`: an event.
    """

    labeler: int
    src: str
    uri: str
    cid: str = ""
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    exp: int | None = None
    actor: str = ""
    role: str = ""
    community: int = 0
    reason: str = ""
    rule: str = ""
    batch: str = ""
    undoes: int | None = None


class Issued(NamedTuple):
    """What changed. `event`: its number, None when nothing did."""

    event: int | None
    added: tuple[str, ...]
    removed: tuple[str, ...]


def issue(connection: Connection, vocabulary: Vocabulary, wanted: Wanted, now: int) -> Issued:
    """Do what is wanted, as one event. Call inside a write. Raises LabelRefusedError for what may not be issued.

    A value that holds for this version, with the same end, is not added again, and none is removed that does not hold.
    """
    (done,) = issue_all(connection, vocabulary, (wanted,), now)
    if isinstance(done, LabelRefusedError):
        raise done
    return done


def issue_all(
    connection: Connection, vocabulary: Vocabulary, wanted: Collection[Wanted], now: int
) -> list[Issued | LabelRefusedError]:
    """The same of many, all of one labeler, one behind the other; with far less work for each. A refusal stands in the
    place of what was to be done, and does not keep the others.
    """
    labelers = {one.labeler for one in wanted}
    if len(labelers) > 1:
        raise ValueError("labels of several labelers are issued one after the other")
    values = vocabulary.values
    refused = [_refusal(vocabulary, values, one, now) for one in wanted]
    good = {one.uri for one, fault in zip(wanted, refused, strict=True) if fault is None}
    known: dict[str, Slots] = {}
    for labeler in labelers:
        known = slots_of_all(connection, labeler, good)
    events, outbox = _Events(connection), Outbox(connection)
    done = [
        _issue(events, outbox, vocabulary, one, known.setdefault(one.uri, {}), now) if fault is None else fault
        for one, fault in zip(wanted, refused, strict=True)
    ]
    events.flush()
    outbox.flush()
    return done


def _issue(events: "_Events", outbox: Outbox, vocabulary: Vocabulary, wanted: Wanted, known: Slots, now: int) -> Issued:
    """Do what is wanted, which is good, of a subject of which is `known` what was said."""
    added = tuple(val for val in dict.fromkeys(wanted.add) if not _is_said(known.get(val, {}), wanted, now))
    removed = tuple(
        val
        for val in dict.fromkeys(wanted.remove)
        if val in known and any(slot.holds(now) for slot in known[val].values())
    )
    if not added and not removed:
        return Issued(None, (), ())
    exp = wanted.exp if added else None
    event = events.note(wanted, added, removed, exp, now)
    batch = bool(wanted.batch)
    for val in removed:
        slots = list(known[val].values())
        sayer = Sayer(outbox, wanted.labeler, wanted.uri, slots, priority(urgent=True, batch=batch), now)
        for slot in slots:
            sayer.negate(slot, event)
        sayer.settle(slots)
        # What was cancelled before it was published was never said, also for who comes behind in this transaction.
        known[val] = {slot.cid: slot for slot in slots if slot.published is not None or slot.waiting is not None}
    for val in added:
        versions = known.setdefault(val, {})
        level = priority(urgent=_hides(vocabulary, val), batch=batch)
        sayer = Sayer(outbox, wanted.labeler, wanted.uri, versions.values(), level, now)
        slot = versions.setdefault(wanted.cid, Slot(wanted.cid, val))
        sayer.put(slot, neg=False, exp=exp, event=event)
        sayer.settle(versions.values())
    return Issued(event, added, removed)


def take_back(connection: Connection, wanted: Wanted, ended: Iterable[Slot], now: int) -> Issued:
    """Negate single versions of values, as one event, whatever may be issued now. Call inside a write.

    `ended`: of the subject of `wanted`, of which add and remove play no part. The same value of other versions, if it
    holds, is said anew behind it: there are clients that negate by subject and value alone.
    """
    if not wanted.actor:
        raise ValueError("a label has an actor")
    chosen: dict[str, set[str]] = {}
    for slot in ended:
        chosen.setdefault(slot.val, set()).add(slot.cid)
    removed = tuple(sorted(chosen))
    events, outbox = _Events(connection), Outbox(connection)
    event = events.note(wanted, (), removed, None, now)
    known = slots_of(connection, wanted.labeler, wanted.uri)
    for val, cids in chosen.items():
        slots = list(known[val].values())
        level = priority(urgent=True, batch=bool(wanted.batch))
        sayer = Sayer(outbox, wanted.labeler, wanted.uri, slots, level, now)
        for slot in slots:
            if slot.cid in cids:
                sayer.negate(slot, event)
        for slot in slots:
            if slot.cid not in cids and slot.holds(now):
                sayer.put(slot, neg=False, exp=slot.newest.exp, event=slot.newest.event)
        sayer.settle(slots)
    events.flush()
    outbox.flush()
    return Issued(event, (), removed)


class _Events:
    """Appends events, all of them at the end (`flush`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[object, ...]] = []
        self._last = 0

    def note(self, wanted: Wanted, added: Sequence[str], removed: Sequence[str], exp: int | None, now: int) -> int:
        """Append one; its number."""
        if not self._rows:
            # None was ever deleted, so this is what the table itself would go on from.
            self._last = self._connection.execute("SELECT coalesce(max(id), 0) FROM label_event").fetchall()[0][0]
        self._last += 1
        self._rows.append(
            (
                self._last,
                now * 1000,
                wanted.labeler,
                wanted.community,
                wanted.actor,
                wanted.role,
                wanted.uri,
                wanted.cid,
                " ".join(added),
                " ".join(removed),
                exp,
                wanted.reason,
                wanted.rule,
                wanted.batch,
                wanted.undoes,
            )
        )
        return self._last

    def flush(self) -> None:
        """Write them; call at the end."""
        if self._rows:
            self._connection.executemany(_NOTE, self._rows)
            self._rows.clear()


def _refusal(vocabulary: Vocabulary, values: Set[str], wanted: Wanted, now: int) -> LabelRefusedError | None:
    try:
        _check(vocabulary, values, wanted, now)
    except LabelRefusedError as refused:
        return refused
    return None


def _check(vocabulary: Vocabulary, values: Set[str], wanted: Wanted, now: int) -> None:
    if not wanted.actor or vocabulary.did != wanted.src:
        raise ValueError("a label has an actor, and the vocabulary is that of its labeler")
    fault = fault_of_subject(wanted.uri)
    if fault:
        raise LabelRefusedError("InvalidSubject", f"{wanted.uri[:300]!r}: {fault}")
    if wanted.cid and wanted.uri.startswith("did:"):
        raise LabelRefusedError("InvalidSubject", "an account has no versions: leave out the cid")
    if wanted.cid and not is_cid(wanted.cid):
        raise LabelRefusedError("InvalidSubject", f"{wanted.cid[:100]!r} is no CID")
    for val in (*wanted.add, *wanted.remove):
        fault = fault_of_value(val)
        if fault:
            raise LabelRefusedError("InvalidLabel", f"{val[:100]!r}: {fault}")
    for val in wanted.add:
        if val not in values:
            raise LabelRefusedError("UndeclaredLabel", f"{vocabulary.did} does not declare the value {val!r}")
        if val in wanted.remove:
            raise LabelRefusedError("InvalidLabel", f"{val!r} cannot be added and removed at once")
    if wanted.exp is not None and not now < wanted.exp <= LATEST:
        raise LabelRefusedError("InvalidExpiry", "a label can only end in the future, and before the year 10000")


def _is_said(versions: Mapping[str, Slot], wanted: Wanted, now: int) -> bool:
    """Whether the very same holds."""
    slot = versions.get(wanted.cid)
    return slot is not None and slot.holds(now) and slot.newest.exp == wanted.exp


def _hides(vocabulary: Vocabulary, val: str) -> bool:
    if val == "!hide":
        return True
    definition = vocabulary.definitions.get(val)
    return definition is not None and definition.default_setting == "hide"
