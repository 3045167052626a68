"""Labels and takedowns that take two people: what one asks for is done when another asks for the same.

`two_person = true` in `labels.toml`, of a value or of the labeler's takedowns, says which. What was asked for stands as
a tag of the subject, so that every client of moderators shows it: SECOND, the value, and for how many hours, if it is
to end (`needs-second:spam:24h`). It goes after HOURS, or when somebody takes it off. Whoever asked first cannot be the
second, and counts only while they still may do it. Two do no more than both have asked for: as long, and this version
of a record or all. Rules and the command line are the operator's, who decides alone.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from communities.access import Action, Site, Standing, holds
from communities.casebook import Appended, append, standing
from communities.deeds import Deed
from communities.mod_event import Kind, ModEvent
from labeler.standing import Held
from models import mod_events, team
from models.database import Connection
from models.mod_events import SubjectKey

SECOND = "needs-second:"
TAKEDOWN = "takedown"
"""Stands behind SECOND where a takedown was asked for: no value of a label can be taken for it in that place."""
HOURS = 7 * 24
_HOUR = 3_600_000


class Defined(Protocol):
    """What a labeler says of one of its values."""

    @property
    def two_person(self) -> bool:
        """Whether it takes two people to issue it."""


class Wish(NamedTuple):
    """How something is asked for. `hours`: how long it is to last, None: for good; `cid`: of which version of a record,
    empty: of all. None: it is not asked for by version.
    """

    hours: int | None = None
    cid: str | None = None

    def covers(self, other: "Wish") -> bool:
        """Whether who asked for this has asked for all of the other one."""
        lasts = self.hours is None or (other.hours is not None and other.hours <= self.hours)
        return lasts and (self.cid == other.cid or not self.cid)


class Asked(NamedTuple):
    """What can be done now, and what waits for somebody else. `seconded`: of `now`, what somebody asked for before.
    `wish`: how it was asked for.
    """

    now: tuple[str, ...]
    waiting: tuple[str, ...]
    seconded: tuple[str, ...]
    wish: Wish


Able = Callable[[str, str], bool]
"""Whether an account, by DID, may now do what it has asked for: a value of a label, or TAKEDOWN."""


def able(connection: Connection, labeler: int, key: SubjectKey, stands: Callable[[str], Standing]) -> Able:
    """Says so of any account: of the team of the labeler (its number), or by how it stands to the community or the
    site whose matter it is (`stands`).
    """

    def may(did: str, name: str) -> bool:
        who, row = stands(did), team.find(connection, labeler, did)
        if who.site >= Site.MODERATOR:
            return True
        if row is not None and (row.disabled or row.role >= team.MODERATOR):
            return not row.disabled
        if name == TAKEDOWN:
            return holds(Action.REMOVE if key.path else Action.BAN, who) and who.bounds.covers(key.about)
        return holds(Action.REMOVE, who) and who.bounds.covers(key.about) and not who.bounds.labelled([name])

    return may


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


def ask(
    connection: Connection,
    scope: int,
    key: SubjectKey,
    actor: str,
    wanted: Iterable[str],
    two: Set[str],
    wish: Wish,
    may: Able,
) -> Asked:
    """What of `wanted` an account may do now. `two`: what takes two people; `may`: who else counts."""
    now, waiting, seconded = [], [], []
    for name in wanted:
        if name not in two:
            now.append(name)
        elif any(
            who != actor and said.covers(wish) and may(who, name)
            for who, said in _wishes(connection, scope, key, name, wish)
        ):
            now.append(name)
            seconded.append(name)
        else:
            waiting.append(name)
    return Asked(tuple(now), tuple(waiting), tuple(seconded), wish)


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
    wish, tags = asked.wish, _tags(connection, scope, key)
    new = [name for name in asked.waiting if (actor, wish) not in _wishes(connection, scope, key, name, wish)]
    add = [_tag(name, wish.hours) for name in new]
    remove = [tag for tag in tags for name in asked.seconded if _asked(tag, name) is not None]
    if not add and not remove:
        return None
    said = {"add": add, "remove": remove, **({"durationInHours": HOURS} if add else {})}
    event = ModEvent(
        Kind.TAG, now, actor, role, comment=deed.comment, said=said, cid=deed.cid if wish.cid is None else wish.cid,
        tool=deed.tool, tool_meta=deed.tool_meta, batch=deed.batch,
    )  # fmt: skip
    return append(connection, scope, key, event)


def hours_until(exp: int | None, now: int) -> int | None:
    """How many hours something lasts that ends at `exp`, None: never; the last one may be less. Both: milliseconds."""
    return None if exp is None else -((now - exp) // _HOUR)


def _tag(name: str, hours: int | None) -> str:
    return SECOND + name + ("" if hours is None else f":{hours}h")


def _asked(tag: str, name: str) -> Wish | None:
    """How something was asked for by a tag; None: it is about something else."""
    found = re.fullmatch(rf"{re.escape(SECOND + name)}(?::(\d+)h)?", tag, re.ASCII)
    return Wish(int(found[1]) if found[1] else None) if found else None


def _tags(connection: Connection, scope: int, key: SubjectKey) -> Iterable[str]:
    status = standing(connection, scope, key)
    return status.tags if status else ()


def _wishes(connection: Connection, scope: int, key: SubjectKey, name: str, like: Wish) -> list[tuple[str, Wish]]:
    """Who waits for something, and how they have asked for it: of each length who did so last. `like`: whether it is
    asked for by version.
    """
    subject, found = mod_events.find_subject(connection, key), list[tuple[str, Wish]]()
    for tag in _tags(connection, scope, key):
        wish = _asked(tag, name)
        last = mod_events.last_with(connection, "+tag", tag, scope, subject) if wish and subject is not None else None
        if wish and last:
            actor, cid = last
            found.append((actor, wish if like.cid is None else wish._replace(cid=cid)))
    return found
