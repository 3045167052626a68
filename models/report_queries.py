"""Which reports a list shows (`report_case`), read by indexes page by page. Plain functions over a connection. Times
are microseconds.

A list is made of streams (`models.streams`): one a state and scope, one for all communities together.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from models.database import Connection
from models.report_cases import ASSIGNED, CLOSED, ESCALATED, OPEN, QUEUED
from models.scopes import Scopes, cases
from models.streams import Stream, first_rows

STATES = (OPEN, QUEUED, ASSIGNED, ESCALATED, CLOSED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What reports are wanted; None and empty: whichever. `subject`: its number; `did`: of the account that is meant,
    or whose record is. `abouts`: as column `about`; `records`: of any collection. `after`, `before`: when they were
    made, these moments left out.
    """

    states: tuple[str, ...] = STATES
    muted: bool | None = None
    queue: int | None = None
    reason_types: tuple[str, ...] = ()
    subject: int | None = None
    did: str = ""
    abouts: tuple[str, ...] = ()
    records: bool = False
    after: int | None = None
    before: int | None = None
    assignee: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """By when they were made, or `changed`."""

    changed: bool = False
    descending: bool = True


Place = tuple[int, int]
"""Where a report stands in a list: its time, and its number."""


def page(
    connection: Connection, scopes: Scopes, wanted: Wanted, order: Order, behind: Place | None, limit: int
) -> list[Place]:
    """A page of a list, of the reports behind the last one of the page before."""
    place = ("c.changed_at" if order.changed else "c.at", "c.id")
    found = first_rows(
        connection, "0", _streams(scopes, wanted, order), _rest(wanted), place, behind, limit,
        descending=order.descending,
    )  # fmt: skip
    return [(at, number) for at, number, _ in found]


def _rest(wanted: Wanted) -> Stream:
    """The conditions of which no stream takes care."""
    parts: list[Stream] = []
    if wanted.muted is not None:
        parts.append(("c.muted = 1" if wanted.muted else "c.muted = 0", ()))
    if wanted.queue is not None:
        parts.append(("c.queue = ?", (wanted.queue,)))
    if wanted.reason_types:
        parts.append(("c.reason_type IN (SELECT value FROM json_each(?))", (json.dumps(wanted.reason_types),)))
    if wanted.records:
        parts.append(("instr(c.about, '.')", ()))
    if wanted.abouts:
        parts.append(("c.about IN (SELECT value FROM json_each(?))", (json.dumps(wanted.abouts),)))
    if wanted.after is not None:
        parts.append(("c.at > ?", (wanted.after,)))
    if wanted.before is not None:
        parts.append(("c.at < ?", (wanted.before,)))
    if wanted.assignee:
        parts.append(("c.assignee = ?", (wanted.assignee,)))
    return "".join(f" AND {condition}" for condition, _ in parts), tuple(one for _, own in parts for one in own)


def _streams(scopes: Scopes, wanted: Wanted, order: Order) -> Iterator[Stream]:
    """The parts of the table in which the reports are; none of them overlap."""
    seen, seen_bindings = scopes.where(cases("c"))
    changed = "_changed" if order.changed else ""
    if wanted.subject is not None or wanted.did:
        states = json.dumps(wanted.states)
        among = f"c.state IN (SELECT value FROM json_each(?)) AND {seen}"
        if wanted.subject is not None:
            of = "" if not wanted.did else " AND EXISTS (SELECT 1 FROM subject s WHERE s.id = c.subject AND s.did = ?)"
            bindings = (wanted.subject, states, *seen_bindings, *([wanted.did] if wanted.did else []))
            yield f"report_case c INDEXED BY report_case_subject WHERE c.subject = ? AND {among}{of}", bindings
        else:
            every = "subject s CROSS JOIN report_case c INDEXED BY report_case_subject ON c.subject = s.id"
            yield f"{every} WHERE s.did = ? AND {among}", (wanted.did, states, *seen_bindings)
        return
    for state in wanted.states:
        if wanted.assignee:
            theirs = "report_case c INDEXED BY report_case_assignee WHERE c.assignee = ? AND c.assignee != ''"
            yield f"{theirs} AND c.state = ? AND {seen}", (wanted.assignee, state, *seen_bindings)
        elif wanted.queue is not None and wanted.queue >= 0:
            there = f"report_case c INDEXED BY report_case_queue{changed} WHERE c.queue = ? AND c.queue >= 0"
            yield f"{there} AND c.state = ? AND {seen}", (wanted.queue, state, *seen_bindings)
        elif wanted.muted:
            muted = "report_case c INDEXED BY report_case_muted WHERE c.muted = 1"
            yield f"{muted} AND c.state = ? AND {seen}", (state, *seen_bindings)
        else:
            index = "changed" if order.changed else "at"
            for scope in sorted(scopes.listed):
                cut, own = scopes.within(scope, cases("c"))
                one = f"report_case c INDEXED BY report_case_{index} WHERE c.scope = ? AND c.state = ?"
                yield one + cut, (scope, state, *own)
            if scopes.communities:
                every = f"report_case c INDEXED BY report_case_everywhere{changed} WHERE c.scope > 0"
                yield f"{every} AND c.state = ?", (state,)
