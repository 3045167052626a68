"""What a labeler has published, page by page in the order of `seq`: each page is read and rendered once and shared by
all who stand at the same place.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sized
from typing import Generic, NamedTuple, TypeVar

from labeler.frames import Rows, on_the_wire, texts
from models import meta
from models.database import Connection

PAGE = 500
"""Labels of a page at most."""
KEPT_PAGES = 64
"""Rendered pages that are kept: about 165 kB each when full."""

R = TypeVar("R", bound=Sized)


class Page(NamedTuple, Generic[R]):
    """Some labels in a row. `last`: the `seq` of the last of them; `first`: of the first."""

    data: R
    first: int
    last: int
    labels: int


class Pages(Generic[R]):
    """The pages of one labeler, rendered one way."""

    def __init__(self, connection: Connection, labeler: int, render: Callable[[Rows], R]) -> None:
        self._connection = connection
        self._labeler = labeler
        self._render = render
        self._kept: OrderedDict[int, Page[R]] = OrderedDict()

    def after(self, seq: int) -> Page[R] | None:
        """The labels behind `seq`, PAGE at most; None when there are none."""
        page = self._kept.get(seq)
        if page is None:
            rows = self._connection.execute(
                "SELECT seq, signed FROM label WHERE labeler = ? AND seq > ? ORDER BY seq LIMIT ?",
                (self._labeler, seq, PAGE),
            ).fetchall()
            if not rows:
                return None
            page = self._kept[seq] = Page(self._render(rows), rows[0][0], rows[-1][0], len(rows))
            if len(self._kept) > KEPT_PAGES:
                self._kept.popitem(last=False)
        return page

    def forget(self) -> None:
        """Something was committed: a page may have grown, or a label of it may have been replaced."""
        self._kept.clear()


class Published:
    """What one labeler has published, and when there is more.

    `head`: the highest `seq` that was seen; `more`: set when it has risen since this very event was taken.
    """

    def __init__(self, connection: Connection, labeler: int) -> None:
        self.labeler = labeler
        self.frames = Pages(connection, labeler, on_the_wire)
        self.texts = Pages(connection, labeler, texts)
        self.head = 0
        self.more = asyncio.Event()
        self._connection = connection

    def look(self) -> None:
        """Call when anything may have been committed."""
        self.frames.forget()
        self.texts.forget()
        row = self._connection.execute(
            "SELECT seq FROM label WHERE labeler = ? ORDER BY seq DESC LIMIT 1", (self.labeler,)
        ).fetchone()
        head = row[0] if row else 0
        if head != self.head:
            self.head = head
            self.more.set()
            self.more = asyncio.Event()

    def latest(self) -> int:
        """The highest `seq` that was ever given out here, to whichever labeler: no cursor is above it."""
        row = self._connection.execute("SELECT next - 1 FROM label_head").fetchone()
        return max(self.head, row[0] if row else 0)

    def floor(self) -> int:
        """Up to which `seq` the history is not complete any more; 0: it is whole."""
        return int(meta.get(self._connection, floor_key(self.labeler)) or 0)


def floor_key(labeler: int) -> str:
    """Under which name `meta` keeps what `floor` tells; whoever deletes labels from the beginning sets it in the same
    transaction.
    """
    return f"label_floor:{labeler}"
