"""The feeds that are served now: URI -> community and order. Read anew when the declared communities change."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from communities.ranking import NEWEST, VIDEO, Ranking, record_key
from models import communities as community_rows
from models import meta
from models.commits import CommitWatch
from models.database import Connection

GENERATOR = "app.bsky.feed.generator"
SNAPSHOT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed. `language`: the one language of its posts, if there is only one. `pinned`: whether pinned posts come
    first; `sort`: its order, as `ranking` says.
    """

    uri: str
    community: int
    slug: str
    name: str
    language: str | None
    pinned: bool
    sort: str = NEWEST
    ranking: Ranking = Ranking()


class Feeds:
    """The registry, and the moment of the database that requests see. `refresh` is cheap enough for every request."""

    def __init__(
        self,
        connection: Connection,
        publisher: str,
        commits: CommitWatch | None = None,
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        """`publisher`: the DID in whose repository the generator records stand. With `commits` and `later` (the event
        loop's `call_later`), one read transaction serves all requests until somebody commits, or for SNAPSHOT_SECONDS.
        """
        self.version = -1
        self._commits = commits
        self._later = later
        self._reading = False
        self._connection = connection
        self._prefix = f"at://{publisher}/{GENERATOR}/"
        self._revision: str | None = "none yet"
        self._feeds: dict[str, Feed] = {}

    def refresh(self) -> int:
        """See what other processes have committed; returns a number that changes whenever they did."""
        if self._commits is not None and self._later is not None:
            if not self._commits.any() and self._reading:
                return self.version
            # Opening a read transaction costs system calls, which are dearer than a page.
            if self._reading:
                self._connection.execute("COMMIT")
            else:
                self._later(SNAPSHOT_SECONDS, self._end)
            self._connection.execute("BEGIN")
            self._reading = True
        version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        if version != self.version:
            revision = meta.get(self._connection, community_rows.REVISION)
            if revision != self._revision:
                rows = community_rows.declared(self._connection)
                self._feeds = {feed.uri: feed for row in rows for feed in self._of(row)}
                self._revision = revision
            self.version = version
        return version

    def close(self) -> None:
        """End the moment, before the connection is closed."""
        self._end()

    def _end(self) -> None:
        """A moment that nobody asks for any more must not keep the WAL from being emptied."""
        if self._reading:
            self._reading = False
            self._connection.execute("COMMIT")

    def _of(self, row: community_rows.CommunityRow) -> Iterator[Feed]:
        languages = row.rule["require"]["languages"]
        language = languages[0] if len(languages) == 1 and languages[0] != "undeclared" else None
        # What an older version stored has neither; the ingest process is about to read the file again.
        ranking = Ranking(**row.rule.get("ranking", {}))
        for sort in row.rule.get("feeds", (NEWEST,)):
            uri = self._prefix + record_key(row.slug, sort)
            # A pin need not be a video. Which there are is for the rows to say: moderators pin posts at any time.
            yield Feed(uri, row.id, row.slug, row.name, language, sort != VIDEO, sort, ranking)

    def find(self, uri: str) -> Feed | None:
        """The feed with exactly this URI."""
        return self._feeds.get(uri)

    def all(self) -> list[Feed]:
        """Every feed, in order of the communities' ids."""
        return list(self._feeds.values())
