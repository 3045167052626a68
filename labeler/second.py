"""Labels and takedowns that take two people: what one asks for is done when another asks for the same.

`two_person = true` in `labels.toml`, of a value or of the labeler's takedowns, says which. What was asked for stands as
a tag of the subject, SECOND and the value, so that every client of moderators shows it; it goes after HOURS, or when
somebody takes it off. Whoever asked first cannot be the second. Rules and the command line are the operator's, who
decides alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from communities.casebook import Appended, append, standing
from communities.deeds import Deed
from communities.mod_event import Kind, ModEvent
from labeler.standing import Held
from models import mod_events
from models.database import Connection
from models.mod_events import SubjectKey

SECOND = "needs-second:"
TAKEDOWN = "takedown"
"""Stands behind SECOND where a takedown was asked for: no value of a label can be taken for it in that place."""
HOURS = 7 * 24


class Defined(Protocol):
    """What a labeler says of one of its values."""

    @property
    def two_person(self) -> bool:
        """Whether it takes two people to issue it."""


class Asked(NamedTuple):
    """What can be done now, and what waits for somebody else. `seconded`: of `now`, what somebody asked for before."""

    now: tuple[str, ...]
    waiting: tuple[str, ...]
    seconded: tuple[str, ...]


def takes_two(
    definitions: Mapping[str, Defined], values: Iterable[str], held: Iterable[Held], cid: str, exp: int | None
) -> set[str]:
    """The values that take two people, of those that do not hold already: of the version `cid` (empty: of all), and as
    long (`exp`: milliseconds, None: for good). What two have wanted for an hour one alone does not make last.
    """
    said = {
        one.val for one in held if one.cid in ("", cid) and (one.exp is None or (exp is not None and exp <= one.exp))
    }
    return {val for val in values if val in definitions and definitions[val].two_person and val not in said}


def ask(connection: Connection, scope: int, key: SubjectKey, actor: str, wanted: Iterable[str], two: Set[str]) -> Asked:
    """What of `wanted` an account may do now. `two`: what takes two people."""
    status = standing(connection, scope, key)
    tags = status.tags if status else {}
    now, waiting, seconded = [], [], []
    for name in wanted:
        if name not in two:
            now.append(name)
        elif SECOND + name in tags and _asked_by(connection, scope, key, name) not in (None, actor):
            now.append(name)
            seconded.append(name)
        else:
            waiting.append(name)
    return Asked(tuple(now), tuple(waiting), tuple(seconded))


@contextmanager
def only_tried(connection: Connection) -> Iterator[None]:
    """Whatever is done inside is undone at its end. So whoever asks for what takes two people is refused what they are
    refused where it takes one: only who may do it is one of the two.
    """
    connection.execute("SAVEPOINT only_tried")
    try:
        yield
    finally:
        connection.execute("ROLLBACK TO only_tried")
        connection.execute("RELEASE only_tried")


def note(
    connection: Connection, scope: int, key: SubjectKey, actor: str, role: str, asked: Asked, now: int, deed: Deed
) -> Appended | None:
    """Write down what waits from now on, and what does not any more; None where that is nothing new. Call inside a
    write, behind what was done. `now`: microseconds.
    """
    status = standing(connection, scope, key)
    tags = status.tags if status else {}
    add = [SECOND + name for name in asked.waiting if SECOND + name not in tags]
    remove = [SECOND + name for name in asked.seconded if SECOND + name in tags]
    if not add and not remove:
        return None
    said = {"add": add, "remove": remove, **({"durationInHours": HOURS} if add else {})}
    event = ModEvent(
        Kind.TAG, now, actor, role, comment=deed.comment, said=said, cid=deed.cid, tool=deed.tool,
        tool_meta=deed.tool_meta, batch=deed.batch,
    )  # fmt: skip
    return append(connection, scope, key, event)


def _asked_by(connection: Connection, scope: int, key: SubjectKey, name: str) -> str | None:
    found = _last(connection, scope, key, name)
    return found[1] if found else None


def _last(connection: Connection, scope: int, key: SubjectKey, name: str) -> tuple[int, str] | None:
    subject = mod_events.find_subject(connection, key)
    return None if subject is None else mod_events.last_with(connection, "+tag", SECOND + name, scope, subject)
