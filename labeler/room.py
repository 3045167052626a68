"""How many connections there may be, in total and for each client."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from xrpc.errors import RateLimitExceeded
from xrpc.ratelimit import Quota

RETRY_SECONDS = 30.0


class Room:
    """`total` and `each`: connections at most. Its length is how many there are; `refused`: how many there were not."""

    def __init__(self, total: int, each: int) -> None:
        self.total = total
        self.each = each
        self.refused = 0
        self._taken = 0
        self._by_client: Counter[str | None] = Counter()

    def __len__(self) -> int:
        return self._taken

    @contextmanager
    def taken(self, client: str | None) -> Iterator[None]:
        """A place for as long as the block runs; clients that cannot be told apart (None) have the total only. Raises
        RateLimitExceeded (S73).
        """
        full = self._taken >= self.total
        if full or (client is not None and self._by_client[client] >= self.each):
            self.refused += 1
            who = "of all" if full else "of yours"
            # Nobody knows when somebody leaves: the time until it is worth a try stands for a window.
            quota = Quota(self.total if full else self.each, RETRY_SECONDS)
            message = f"Too many subscriptions {who}; try again later"
            raise RateLimitExceeded(message, quota=quota, retry_after=RETRY_SECONDS)
        self._taken += 1
        self._by_client[client] += 1
        try:
            yield
        finally:
            self._taken -= 1
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
