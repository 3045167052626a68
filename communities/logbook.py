"""A community's log of decisions in the database: events of `communities.log` as rows of `models.decisions`."""

from collections.abc import Iterator

from communities.log import FIELDS, SALT_BYTES, Decision, Event, Head, Opened, genesis, make
from models import decisions
from models.database import Connection
from models.decisions import DecisionRow


def head(connection: Connection, community: int, slug: str) -> Head:
    """How far the log of a community goes."""
    last = decisions.head(connection, community)
    return Head(*last) if last else genesis(slug)


def write(connection: Connection, community: int, slug: str, at: int, decision: Decision) -> Event:
    """Append a decision inside the caller's transaction, which must be a write. `community`: the id of its row; `at`:
    microseconds. Raises ValueError as `log.make` does.
    """
    event = make(head(connection, community, slug), at, decision)
    salts = b"".join(event.opened[name].salt for name in FIELDS)
    decisions.append(
        connection,
        DecisionRow(
            community=community,
            seq=event.seq,
            at=event.at,
            actor=decision.actor,
            role=str(decision.role),
            action=str(decision.action),
            subject=decision.subject,
            cid=decision.cid,
            reason=decision.reason,
            rule=decision.rule,
            until=decision.until,
            salts=salts,
            prev=event.prev,
            hash=event.hash,
        ),
    )
    return event


def read(connection: Connection, community: int) -> Iterator[Event]:
    """The whole log of a community, the oldest first."""
    return map(event_of, decisions.in_order(connection, community))


def page(
    connection: Connection, community: int, limit: int, before: int | None = None, subject: str | None = None
) -> list[Event]:
    """At most `limit` events, the newest first: those below the number `before`, those about `subject` alone."""
    return [event_of(row) for row in decisions.newest(connection, community, limit, before, subject)]


def about_account(connection: Connection, community: int, did: str, limit: int) -> list[Event]:
    """At most `limit` events about an account and its posts, the newest first."""
    return [event_of(row) for row in decisions.about_account(connection, community, did, limit)]


def event(connection: Connection, community: int, seq: int) -> Event | None:
    """One event of a community's log; None if there is no such number."""
    found = page(connection, community, 1, seq + 1)
    return found[0] if found and found[0].seq == seq else None


def event_of(row: DecisionRow) -> Event:
    """The event of a row, whole."""
    salts = (row.salts[at : at + SALT_BYTES] for at in range(0, SALT_BYTES * len(FIELDS), SALT_BYTES))
    opened = {name: Opened(getattr(row, name), salt) for name, salt in zip(FIELDS, salts, strict=True)}
    return Event(row.seq, row.at, row.action, row.rule, opened, {}, row.prev, row.hash)
