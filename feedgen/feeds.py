"""The feeds that are served now: URI -> community and order. Each is made from the rows when somebody asks for it, and
kept until the declared communities change; however many there are, a change costs nothing but what is asked again.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from communities.access import Standing, readable
from communities.community import Community
from communities.directory import Directory
from communities.ranking import EVERYTHING, NEWEST, QUEUE, VIDEO, Ranking, record_key
from communities.relatives import Kin, Relatives
from models import communities as community_rows
from models import meta
from models.commits import CommitWatch
from models.database import Connection

GENERATOR = "app.bsky.feed.generator"
SNAPSHOT_SECONDS = 0.1
KEPT_SECONDS = 60.0
"""How long a feed is served as it was made. Who administers what, and with it which communities are part of which, can
change without any declaration.
"""
MOST_LISTED = 200
"""Communities declared by records that describeFeedGenerator lists, the biggest: it has no pages."""
_CACHED = 10_000
OF_FILE = "SELECT slug FROM community WHERE declared = 1 AND uri IS NULL ORDER BY id"
OF_RECORDS = (
    "SELECT c.slug FROM community_count n CROSS JOIN community c ON c.id = n.community WHERE c.declared = 1"
    " AND c.uri IS NOT NULL ORDER BY n.members DESC LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed. `language`: the one language of its posts, if there is only one. `sort`: its order, as `ranking` says.

    `union`: the communities whose posts it shows, its own first and then those that are part of it.
    """

    uri: str
    community: int
    slug: str
    name: str
    language: str | None
    sort: str = NEWEST
    ranking: Ranking = Ranking()
    union: tuple[int, ...] = ()

    @property
    def pinned(self) -> bool:
        """Whether pins are shown: a pin need not be a video."""
        return self.sort != VIDEO


class Feeds:
    """The registry, and the moment of the database that requests see. `refresh` is cheap enough for every request."""

    def __init__(
        self,
        connection: Connection,
        publisher: str,
        commits: CommitWatch | None = None,
        later: Callable[[float, Callable[[], None]], object] | None = None,
        soon: Callable[[Callable[[], None]], object] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`publisher`: the DID in whose repository the generator records of the file's communities stand; those of
        others stand in their owners'. With `commits`, `later` and `soon` (the event loop's `call_later` and
        `call_soon`), one read transaction serves all requests until somebody commits, or for SNAPSHOT_SECONDS. `clock`
        gives seconds.
        """
        self.version = -1
        self._commits = commits
        self._later = later
        self._soon = soon
        self._looked = False
        self._clock = clock
        self._reading = False
        self._connection = connection
        self._publisher = publisher
        self._relatives = Relatives(connection)
        self._revision: str | None = "none yet"
        self._made_at = 0.0
        self._feeds: dict[str, Feed] = {}
        self._listed: list[str] | None = None
        self._everything = Feed(
            f"at://{publisher}/{GENERATOR}/{EVERYTHING}", 0, EVERYTHING, "Everything", None, EVERYTHING
        )

    def refresh(self) -> int:
        """See what other processes have committed; returns a number that changes whenever they did."""
        if self._commits is not None and self._later is not None and self._soon is not None:
            if self._looked and self._reading:
                return self.version
            changed = self._commits.any()
            # All requests that are answered in one turn of the event loop came before its first one looked.
            self._looked = True
            self._soon(self._look_again)
            if not changed and self._reading:
                return self.version
            # Opening a read transaction costs system calls, which are dearer than a page.
            if self._reading:
                self._end()
            else:
                self._later(SNAPSHOT_SECONDS, self._end)
            self._connection.execute("BEGIN")
            self._reading = True
        version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        if version != self.version:
            revision = meta.get(self._connection, community_rows.REVISION)
            now = self._clock()
            if revision != self._revision or not 0 <= now - self._made_at < KEPT_SECONDS:
                self._feeds.clear()
                self._listed = None
                self._revision = revision
                self._made_at = now
            self.version = version
        return version

    def _look_again(self) -> None:
        self._looked = False

    def close(self) -> None:
        """End the moment, before the connection is closed."""
        self._end()

    def _end(self) -> None:
        """A moment that nobody asks for any more must not keep the WAL from being emptied."""
        if self._reading:
            self._reading = False
            self._connection.execute("COMMIT")

    def find(self, uri: str) -> Feed | None:
        """The feed with exactly this URI."""
        feed = self._feeds.get(uri)
        if feed is None:
            feed = self._make(uri)
            if feed is not None:
                if len(self._feeds) >= _CACHED:
                    self._feeds.clear()
                self._feeds[uri] = feed
        return feed

    def listed(self) -> list[str]:
        """The URIs of the feeds: all that are the service's own, and those of the biggest other communities."""
        if self._listed is None:
            slugs = self._connection.execute(OF_FILE).fetchall()
            slugs += self._connection.execute(OF_RECORDS, (MOST_LISTED,)).fetchall()
            kin = [self._relatives.find(slug) for (slug,) in slugs]
            self._listed = [self._everything.uri, *(uri for one in kin if one is not None for uri in self._uris(one))]
        return self._listed

    def _uris(self, one: Kin) -> Iterator[str]:
        for sort in _sorts(one.community):
            yield f"at://{self._authority(one)}/{GENERATOR}/{record_key(one.community.slug, sort)}"

    def _authority(self, one: Kin) -> str:
        return self._publisher if one.uri is None else one.uri.removeprefix("at://").partition("/")[0]

    def _make(self, uri: str) -> Feed | None:
        if uri == self._everything.uri:
            return self._everything
        authority, _, key = uri.removeprefix("at://").partition(f"/{GENERATOR}/")
        slug, _, sort = key.partition(".")
        sort = sort or NEWEST
        one = self._relatives.find(slug)
        if one is None or authority != self._authority(one) or record_key(slug, sort) != key:
            return None
        community = one.community
        if sort not in _sorts(community):
            return None
        if sort == QUEUE:
            union: tuple[int, ...] = (one.id,)
        else:
            union = _union(one.id, self._relatives.family(one, int(self._clock() * 1_000_000)), community, self._get)
        languages = community.require.languages
        alone = len(languages) == 1 and languages[0] != "undeclared" and len(union) == 1
        return Feed(
            uri, one.id, slug, community.name, languages[0] if alone else None, sort, community.ranking, union
        )  # fmt: skip

    def _get(self, number: int) -> Community | None:
        kin = self._relatives.get(number)
        return kin.community if kin else None


def _sorts(community: Community) -> tuple[str, ...]:
    return (*community.feeds, QUEUE) if community.queue_feed else community.feeds


def _union(number: int, family: Directory, own: Community, get: Callable[[int], Community | None]) -> tuple[int, ...]:
    """The community and those that are part of it which anybody may read: a feed is one for all its readers."""
    stranger = Standing()
    found = [number]
    for below in sorted(family.descendants(number)):
        community = get(below)
        # What a feed says of every item must hold for those of others too.
        videos = own.content_mode != "video" or (community is not None and community.content_mode == "video")
        if videos and readable(family.by_id[below].kind, stranger):
            found.append(below)
    return tuple(found)
