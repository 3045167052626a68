"""Who reads labels from the running service, as its web process last told: for `status` and `labeler status`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from models.database import Connection

PROCESS = "serve"
"""The row of table `process` that tells how labelers stand: `Labelling.report` as JSON."""
TOLD_SECONDS = 60.0
"""The web process tells at least so often."""
STALE_SECONDS = 3 * TOLD_SECONDS
"""What was told longer ago is of a process that has ended, or cannot write."""
MOST = 20
"""Of which each has a line: those furthest behind."""

Subscriber = Mapping[str, Any]
"""As `labeler.subscriber` reports it, with the labeler's DID."""


class Told(NamedTuple):
    """What the web process last told of subscribers. `ago`: seconds."""

    subscribers: Sequence[Subscriber]
    ago: float

    @property
    def current(self) -> bool:
        """Whether it is how things stand now."""
        return self.ago <= STALE_SECONDS


def read_subscribers(connection: Connection, now: float) -> Told | None:
    """Those of all labelers, furthest behind first; None: no web process with labelers has told anything yet. `now`:
    seconds.
    """
    row = connection.execute("SELECT at, report FROM process WHERE name = ?", (PROCESS,)).fetchone()
    if row is None:
        return None
    subscribers = sorted(json.loads(row[1]).get("subscribers", ()), key=lambda one: (-one["lag"], one["since"]))
    return Told(subscribers, max(0.0, now - row[0] / 1_000_000))


def of_labeler(told: Told | None, did: str) -> Told | None:
    """Those of one labeler."""
    return told and told._replace(subscribers=[one for one in told.subscribers if one["labeler"] == did])


def lines(told: Told) -> Iterator[str]:
    """How many there are, then each, for people."""
    if not told.current:
        yield f"unknown: no sign of life from the web process for {told.ago:,.0f} s"
        return
    yield f"{len(told.subscribers):,}"
    for one in told.subscribers[:MOST]:
        yield (
            f"{one['client'] or 'address unknown'} ({one['format']}) of {one['labeler']}: cursor {one['cursor']:,},"
            f" {_behind(one['lag'])}, since {_time(one['since'])}"
        )
    if len(told.subscribers) > MOST:
        yield f"and {len(told.subscribers) - MOST:,} more, none further behind"


def _behind(lag: int) -> str:
    # Numbers of other labelers, and of labels that were replaced, lie between.
    return f"at most {lag:,} label{'s' * (lag != 1)} behind" if lag else "up to date"


def _time(micros: int) -> str:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).isoformat().replace("+00:00", "Z")
