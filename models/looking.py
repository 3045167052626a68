"""Pages of long lists that are ordered by several indexes and filtered by what no index has.

Candidates come in their order, one scan of an index for each part of the list, merged as they are read; they are judged
by the batch. Whoever asks for what is rare gets a short page, or an empty one, and a place to go on from: a page looks
at LOOKED_AT candidates at most. Candidates are only what the caller sees, so that pages end where they would if there
were nothing else. Plain functions over a connection.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from models.database import Connection
from models.scopes import Scopes

K = TypeVar("K")

LOOKED_AT = 10_000
"""Candidates that one page looks at."""
LAST = (1 << 63) - 1
"""No number is higher."""
MOST_SCANS = 200
"""Of an index for one list, where another way is left."""


class Scan(NamedTuple):
    """One scan of an index: a query whose rows are keys in the order of the list, and its bindings."""

    sql: str
    bindings: tuple[Any, ...]


def each(scopes: Scopes) -> tuple[int, ...] | None:
    """The scopes, if a list is made of a scan for each; None: of scans of everything, without what is not seen."""
    few = scopes.few
    return None if few is None or len(few) > MOST_SCANS else few


def merged(connection: Connection, scans: Iterable[Scan], *, descending: bool) -> Iterator[tuple[Any, ...]]:
    """The rows of all scans in one order. Each is read only as far as it is needed, so what the list holds behind a
    page costs nothing. While it is read nothing may be written.
    """
    rows: list[Iterator[tuple[Any, ...]]] = [iter(connection.execute(*scan)) for scan in scans]
    return rows[0] if len(rows) == 1 else heapq.merge(*rows, reverse=descending)


def look(candidates: Iterable[K], fitting: Callable[[list[K]], list[K]], limit: int) -> tuple[list[K], K | None]:
    """At most `limit` of the candidates that fit, in their order, and behind which one the list goes on; None: that is
    all. `fitting` gives those of a batch that fit, in their order.
    """
    left = iter(candidates)
    found: list[K] = []
    looked, size = 0, limit + limit // 4 + 1  # of most lists nearly all fit
    while True:
        batch = list(islice(left, min(size, LOOKED_AT - looked)))
        found += fitting(batch) if batch else []
        if len(found) > limit:
            return found[:limit], found[limit - 1]
        looked += len(batch)
        if looked == LOOKED_AT and next(left, None) is not None:
            return found, batch[-1]
        if len(batch) < size:
            return found, None
        size *= 2
