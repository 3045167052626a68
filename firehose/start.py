"""Where in a stream a connection begins: at the stored cursor, unless that leads nowhere or lies far behind what was
read of other sources.
"""

import logging
from collections.abc import Sequence

from firehose.dialect import REWIND, Dialect, SubscribeRepos
from firehose.jetstream import TIMES_FROM
from firehose.pipeline import Pipeline
from firehose.source import Source
from firehose.sources import OVERLAP, Place, find_start, first_event
from firehose.times import now_micros
from firehose.websocket import OPEN_SECONDS

log = logging.getLogger(__name__)

TOO_BIG_TRIES = 3
TOO_BIG_STEPS = 16


class Start:
    """The beginning of the next connection to the source that is read. `gap`: why events before it are missing, if they
    are; empty if not.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.gap = ""
        self._pipeline = pipeline
        self._at: int | None = None
        self._since = 0
        self._too_big = 0
        self._skip = 0
        self._tip = False

    @property
    def elsewhere(self) -> bool:
        """Whether it is not the stored cursor."""
        return self._at is not None

    @property
    def unknown(self) -> bool:
        """Whether it has to be looked for first."""
        return self._since > 0

    def cursor(self) -> int | None:
        """What to ask the source for (None: the live end)."""
        pipeline = self._pipeline
        kind = pipeline.dialect.kind
        if kind == "none" or self._tip:
            return None
        if self._at is not None:
            return self._at
        if pipeline.committed is None and not pipeline.received:
            return None
        if kind == "time_us":
            return min(pipeline.received, now_micros()) + self._skip - REWIND  # a future one means the live end
        return pipeline.received + self._skip

    def turn(self, urls: Sequence[str]) -> None:
        """Another source is read now: begin where what is stored of all of them ends."""
        pipeline, dialect = self._pipeline, self._pipeline.dialect
        self._at, self.gap = None, ""
        self.good()
        last = pipeline.last_event_at(urls)
        # Its own cursor will do, unless that lies far behind what was read of others.
        near = pipeline.committed is not None and pipeline.event_at >= last - OVERLAP
        self._since = 0 if near or dialect.kind == "none" else max(0, last - OVERLAP)
        if self._since and dialect.takes_times:
            own = pipeline.received - REWIND if dialect.kind == "time_us" else 0
            self._at, self._since = max(own, self._since), 0

    def good(self) -> None:
        """The last connection was good: what was tried to get past a message is forgotten."""
        self._too_big = self._skip = 0
        self._tip = False

    def forward(self) -> None:
        """The last connection brought something: the next one goes on behind it."""
        self._at, self.gap = None, ""

    async def find(self, source: Source, dialect: Dialect, user_agent: str, silence: float) -> None:
        """Find the place in this stream that corresponds to what was read of another one.

        Raises what `first_event` does. `silence`: seconds within which something must happen in it.
        """
        if not isinstance(dialect, SubscribeRepos):
            return  # all others are asked for by time
        repos = dialect

        async def ask(cursor: int | None) -> Place:
            return await first_event(source, repos, cursor, user_agent, silence if cursor is None else OPEN_SECONDS)

        committed = self._pipeline.committed
        at, complete = await find_start(ask, self._since, committed)
        self._at = None if at == committed else at
        self._since = 0
        if not complete:
            self.gap = "the source does not reach back to where the last one was left"

    def too_old(self) -> None:
        """The source has lost the cursor: it takes a time instead, and begins with the oldest event that it has."""
        self.gap = "the source no longer has them"
        self._at = max(self._pipeline.event_at, TIMES_FROM)

    def too_large(self) -> None:
        """A message over MAX_MESSAGE cannot be received: step over it by its number, then give up on the backlog."""
        received = self._pipeline.received
        self._too_big += 1
        if self._too_big >= TOO_BIG_TRIES:
            self._skip += 1
            log.error("a message behind %d is too large; asking behind %d", received, self._skip)
        if self._skip > TOO_BIG_STEPS:
            self._tip = True
            self.gap = "a message in between could not be received"
            log.error("no way past %d: going on at the live tip; events in between are lost", received)
