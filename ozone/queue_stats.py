"""tools.ozone.queue.defs#queueStats: how much is in queues, counted anew every few seconds at most."""

from collections.abc import Iterable
from typing import Any

from models import queued_cases
from models.database import Connection
from models.queued_cases import Counts

KEPT_MICROS = 5_000_000
"""How long numbers are kept (ours): the web app asks every 5 seconds, in each of its tabs."""
DAY = 24 * 3_600_000_000


class QueueStats:
    """What was counted, by queue, and when. Readers in several threads may count the same twice, and do no harm."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[int, Counts]] = {}

    def of(self, connection: Connection, queues: Iterable[int], now: int) -> dict[int, tuple[int, Counts]]:
        """Of each of these queues when it was counted (microseconds), and what was found."""
        asked, found = list(queues), dict[int, tuple[int, Counts]]()
        for queue in asked:
            kept = self._kept.get(queue)
            if kept is not None and 0 <= now - kept[0] < KEPT_MICROS:
                found[queue] = kept
        old = [queue for queue in asked if queue not in found]
        if old:
            new = {queue: (now, counts) for queue, counts in queued_cases.counts(connection, old, now - DAY).items()}
            self._kept.update(new)
            found.update(new)
        return found


def view(counts: Counts) -> dict[str, Any]:
    """As the lexicon has it. What waits is all that nobody has closed or escalated; what was done and how long it took
    is that of the last 24 hours, as what came is.
    """
    found = {
        "pendingCount": counts.waiting,
        "actionedCount": counts.closed,
        "escalatedCount": counts.escalated,
        "inboundCount": counts.came,
    }
    if counts.came:
        found["actionRate"] = (200 * counts.closed + counts.came) // (2 * counts.came)
    if counts.closed:
        found["avgHandlingTimeSec"] = counts.took // counts.closed // 1_000_000
    return found
