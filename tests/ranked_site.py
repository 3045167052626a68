"""The web app with feeds in every order, a clock that only the test moves, and what each order is by the rows."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import log2
from pathlib import Path
from typing import Any

from cbrrr import CID

from communities.ranking import SORTS
from tests.feed_site import DAY, NOW, Reply, Site, Writer, site
from tests.service_process import until

FEEDS = ", ".join(f'"{sort}"' for sort in SORTS)
RULES = f"""
[[community]]
slug = "python"
name = "Python"
include.hashtags = ["python"]
feeds = [{FEEDS}]

[[community]]
slug = "rust"
name = "Rust"
include.hashtags = ["rust"]
feeds = ["hot"]
"""
MINUTE = 61
LONG = 700
HOUR = 3_600_000_000
_COUNT = re.compile(r'^communities_requests_total\{kind="generations (?:made|unchanged)"\} (\d+)', re.MULTILINE)


def slug(sort: str, community: str = "python") -> str:
    """The record key of a feed."""
    return community if sort == "newest" else f"{community}.{sort}"


def video(**more: object) -> dict[str, Any]:
    """The embed of a video."""
    blob = {"$type": "blob", "ref": CID.cidv1_raw_sha256_32_from(b"v"), "mimeType": "video/mp4", "size": 1}
    return {"$type": "app.bsky.embed.video", "video": blob, **more}


class Ranked:
    """`site` may be another one after `restart`. The writer and the clock stay."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW / 1_000_000
        self._folder = folder
        self._stack = ExitStack()
        self.site = self._start()
        self.writer = Writer(self.site.config, RULES)

    def _start(self) -> Site:
        return self._stack.enter_context(site(self._folder, lambda: self.now))

    def restart(self) -> None:
        """The web process ends, and another one starts."""
        self._stack.close()
        self.site = self._start()

    def close(self) -> None:
        """End both."""
        self.writer.close()
        self._stack.close()

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def made(self) -> int:
        """How often an order was made or found unchanged since the web process started."""
        return sum(map(int, _COUNT.findall(self.site.metrics())))

    def fresh(self, sort: str, **params: Any) -> Reply:
        """Page one of the feed as it is now."""
        self.pass_(LONG)
        return self.site.page(slug(sort), **params)

    def page_and_next(self, sort: str, **params: Any) -> Reply:
        """Page one of the standing generation; when this returns, the next one has been made."""
        before = self.made()
        reply = self.site.page(slug(sort), **params)
        until("a generation", lambda: self.made() > before)
        return reply

    def order(self, sort: str, community: str = "python") -> list[str]:
        """The posts that are shown, as the order has them by its definition."""
        rows = self.writer.sql(
            "SELECT i.uri, p.id, p.sort_at, p.active_at, p.likes + p.reposts + p.replies + p.quotes, p.video"
            " FROM feed_item i JOIN post p ON p.id = i.post JOIN community c ON c.id = i.community"
            " WHERE i.hidden = 0 AND c.slug = ?",
            community,
        )
        days = {"top-day": 1, "top-week": 7, "top-month": 30}.get(sort, 100_000)
        rows = [row for row in rows if row[2] >= int(self.now * 1_000_000) - days * DAY]
        keys: dict[str, Callable[..., tuple[float, ...]]] = {
            "newest": lambda _, post, created, *more: (created, post),
            "active": lambda _, post, created, active, e, video: (1 + e, active, created, post),
            "recent": lambda _, post, created, active, *more: (active, created, post),
            "hot": lambda _, post, created, active, e, video: (log2(e + 1) + created / (12 * HOUR), created, post),
        }
        top: Callable[..., tuple[float, ...]] = lambda _, post, created, active, e, video: (e, created, post)  # noqa: E731
        if sort == "video":
            rows, sort = [row for row in rows if row[5]], "newest"
        return [row[0] for row in sorted(rows, key=lambda row: keys.get(sort, top)(*row), reverse=True)]


@contextmanager
def ranked(folder: Path) -> Iterator[Ranked]:
    """A site with ranked feeds."""
    found = Ranked(folder)
    try:
        yield found
    finally:
        found.close()
