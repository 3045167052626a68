"""Ranked feeds as they stand at a moment: a *generation* is the order of a feed then, at most DEPTH posts deep.

What ranks a post changes while people read, so a page is no question to the index: pages go on within the generation
that page one was taken from. Generations are made when somebody asks for page one, on the thread that writes, and at
most once a minute. While one is made its forerunner is given out; only who finds none, or a very old one, waits.
"""

import asyncio
import json
import logging
import struct
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple

import apsw
import peewee
from playhouse.apsw_ext import APSWDatabase

from communities.ranking import DEPTH, VIDEO, WINDOWS, Candidate, rank
from feedgen.feeds import Feed
from feedgen.merge import NOT_REMOVED
from feedgen.preference import mark_languages
from models.database import Connection, sql, writing
from xrpc.errors import NotEnoughResources

log = logging.getLogger(__name__)

FRESH_SECONDS = 60.0
OLD_SECONDS = 600.0
"""One that was not looked at for so long is given out to nobody who can wait for a new one."""
REST = 10.0
"""Making generations of a feed takes at most one part in so many of the thread's time."""
KEPT_MICROS = 2 * 3_600_000_000
"""How long pages go on within a generation after it has a successor."""
_DAY = 86_400_000_000
CANDIDATES = (
    "SELECT p.id, p.actor, i.sort_at, p.active_at, p.likes, p.reposts, p.replies, p.quotes FROM json_each(?1) j"
    " CROSS JOIN feed_item i ON i.community = j.value CROSS JOIN post p ON p.id = i.post WHERE i.hidden = 0"
    " AND i.sort_at >= ?2"
)
_VIDEOS = f" AND p.video = 1 ORDER BY i.sort_at DESC, i.post DESC LIMIT {DEPTH}"
_LAST = "SELECT id, posts, languages, marks FROM generation WHERE community = ? AND sort = ? ORDER BY id DESC LIMIT 1"
_OLD = (
    "DELETE FROM generation WHERE id < ?1 AND EXISTS (SELECT 1 FROM generation n WHERE n.community ="
    " generation.community AND n.sort = generation.sort AND n.id > generation.id AND n.id < ?1)"
)


class Standing(NamedTuple):
    """A feed's last generation; when it was last found to be right (seconds), and how long finding out took."""

    id: int
    checked: float
    took: float = 0.0
    new: bool = False


class Generations:
    """Says which generation a reader who begins now gets, and has new ones made."""

    def __init__(
        self,
        database: APSWDatabase,
        writer: Executor,
        counts: Counter[str],
        clock: Callable[[], float],
        *,
        languages: bool = True,
    ) -> None:
        """`writer` runs one piece of work at a time; `clock` gives seconds. `languages`: whether those of the posts are
        kept, too.
        """
        self._database = database
        self._writer = writer
        self._counts = counts
        self._clock = clock
        self._languages = languages
        self._standing: dict[tuple[int, str], Standing] = {}
        self._making: dict[tuple[int, str], asyncio.Future[Standing]] = {}

    async def current(self, feed: Feed) -> int:
        """The id of the generation to begin with. Raises NotEnoughResources when there is none and none can be made."""
        key = feed.community, feed.sort
        standing = self._standing.get(key)
        age = self._clock() - standing.checked if standing else -1.0
        if standing and 0 <= age < max(FRESH_SECONDS, REST * standing.took):
            return standing.id
        making = self._making.get(key) or self._begin(feed)
        if standing and 0 <= age < OLD_SECONDS:
            return standing.id
        try:
            # A reader who goes away must not end what others wait for.
            return (await asyncio.shield(making)).id
        except NotEnoughResources:
            if standing is None:
                raise
            return standing.id

    def _begin(self, feed: Feed) -> asyncio.Future[Standing]:
        key = feed.community, feed.sort
        making = asyncio.get_running_loop().run_in_executor(self._writer, self._make, feed)
        self._making[key] = making
        making.add_done_callback(lambda _: self._made(key))
        return making

    def _made(self, key: tuple[int, str]) -> None:
        making = self._making.pop(key)
        if making.cancelled():
            return
        error = making.exception()
        if error is None:
            standing = self._standing[key] = making.result()
            self._counts["generations made" if standing.new else "generations unchanged"] += 1
            return
        self._counts["generations failed"] += 1
        if not isinstance(error, NotEnoughResources):
            log.error("generation %s of community %d failed", key[1], key[0], exc_info=error)
        if known := self._standing.get(key):
            self._standing[key] = known._replace(checked=self._clock())  # tried again in a minute

    def _make(self, feed: Feed) -> Standing:
        """Runs in the writer's thread, on that thread's own connection."""
        try:
            return make(self._database, feed, self._clock(), languages=self._languages)
        except (apsw.BusyError, apsw.FullError, apsw.IOError, apsw.ReadOnlyError, peewee.OperationalError) as error:
            log.error("%s: its order could not be stored: %s", feed.uri, error)
            raise NotEnoughResources("This feed cannot be put in order now; try again later.") from error


def make(database: APSWDatabase, feed: Feed, now: float, *, languages: bool = True) -> Standing:
    """The generation of a feed now (seconds): made, unless there is one of the last minute or the order is the same."""
    at = int(now * 1_000_000)
    connection = sql(database)
    last = connection.execute(_LAST, (feed.community, feed.sort)).fetchone()
    if last and 0 <= at - last[0] < FRESH_SECONDS * 1_000_000:
        return Standing(last[0], last[0] / 1_000_000)  # by another process, or before a restart
    began = time.perf_counter()
    posts = _order(connection, feed, at)
    told, marks = mark_languages(connection, posts) if languages else ("", None)
    kept = struct.pack(f"<{len(posts)}q", *posts), told, marks
    took = time.perf_counter() - began
    with writing(database) as connection:
        last = connection.execute(_LAST, (feed.community, feed.sort)).fetchone()
        if last and last[1:] == kept:
            return Standing(last[0], now, took)
        (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM generation").fetchall()[0]
        made = max(at, newest + 1)
        connection.execute(
            "INSERT INTO generation (id, community, sort, posts, languages, marks) VALUES (?, ?, ?, ?, ?, ?)",
            (made, feed.community, feed.sort, *kept),
        )
        # One whose successor is old enough goes: until then readers could begin with it.
        connection.execute(_OLD, (at - KEPT_MICROS,))
    return Standing(made, now, took, new=True)


def _order(connection: Connection, feed: Feed, at: int) -> list[int]:
    since = at - WINDOWS[feed.sort] * _DAY if feed.sort in WINDOWS else 0
    query, bindings = CANDIDATES, [json.dumps(feed.union), since]
    if len(feed.union) > 1:  # a post may be in several of them
        query = CANDIDATES.replace("SELECT", "SELECT DISTINCT", 1) + NOT_REMOVED.format(3)
        bindings.append(feed.community)
    rows = connection.execute(query + _VIDEOS if feed.sort == VIDEO else query, bindings)
    return rank(feed.sort, feed.ranking, map(Candidate._make, rows))
