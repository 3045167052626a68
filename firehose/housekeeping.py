"""What leaves the index, and what moves in it, in small steps between batches: retention, purged accounts, changed
rules.

Every step is one short transaction, so the stream never waits for long, and a stop loses nothing: the next start goes
on.
"""

from collections.abc import Callable

from playhouse.apsw_ext import APSWDatabase

from communities.matching import Matcher
from communities.shown import COUNTERS
from firehose.accounts import CONFIRMED
from firehose.index import Index
from firehose.reapply import STEP_ROWS, Reapply
from firehose.times import now_micros, tid
from models.database import Connection, sql, writing
from models.repos import PENDING

DAY = 86_400_000_000
INTERACTION_DAYS = 2
MOST_INTERACTIONS = 1_000_000
"""Kept of all viewers together; the oldest go first. Anybody with a domain can be any number of viewers."""
MOST_LATE = 1_000_000
"""Kept of all that was said of posts which are not here; the oldest go first. Anybody can be any number of accounts."""
REPORT_DAYS, MOST_REPORTS = 400, 1_000_000
"""How long reports are kept behind the last time that they were made, and how many; the oldest go first."""
COMMAND_DAYS = 400
"""How long it is kept what moderators commanded by posts, and what became of that."""
FLOOR_MICROS = 10_000_000
COUNT_EVERY = 10_000_000
"""Microseconds between two accounts whose share in counts is so large that it takes a moment."""
REPLAY_DAYS = 7
"""An account nothing points to is kept this long, as a fence against replays; relays hold events for three days. And
so is what was said of posts that are not here: what has not come in all that time will not come.
"""
_NEWEST_INTERACTIONS = "SELECT at FROM interaction ORDER BY at DESC"
_NEWEST_LATE = "SELECT noted_at FROM late ORDER BY noted_at DESC"
_NEWEST_REPORTS = "SELECT last_at FROM report ORDER BY last_at DESC"


class Housekeeping:
    """Call `step` when there is time. `retention` is in microseconds."""

    def __init__(
        self,
        database: APSWDatabase,
        index: Index,
        retention: int,
        *,
        clock: Callable[[], int] = now_micros,
    ) -> None:
        self._database = database
        self._index = index
        self._retention = retention
        self._clock = clock
        self._actors_after = 0
        self._counted_at = 0
        self._floors: dict[str, tuple[int, int]] = {}
        self._reapply = Reapply(index, clock)

    def step(self, matcher: Matcher) -> bool:
        """Do one small piece of what is to be done; returns whether more is waiting."""
        connection = sql(self._database)
        work = (
            self._count(connection)
            or self._purge(connection)
            or self._end_bans(connection)
            or self._expire_posts(connection)
            or self._expire_small(connection)
            # Last, for it begins anew with every change of a list: whoever changes one must not hold the others up.
            or self._reapply.step(connection, matcher)
        )
        if work is None:
            return False
        with writing(self._database):
            work()
        return True

    def _count(self, connection: Connection) -> Callable[[], None] | None:
        """An account that did very much is gone, or back. Now and then only: of all steps this one is not small."""
        now = self._clock()
        if 0 <= now - self._counted_at < COUNT_EVERY:
            return None
        row = connection.execute("SELECT id, shown FROM actor WHERE counted != shown LIMIT 1").fetchone()
        if row is None:
            return None
        actor, shown = row

        def work() -> None:
            self._counted_at = now
            self._index.count(actor, bool(shown))
            self._index.forget_accounts()

        return work

    def _purge(self, connection: Connection) -> Callable[[], None] | None:
        """Rows of deleted accounts. The account's own row stays, as a tombstone."""
        query = f"SELECT id FROM actor WHERE purge = {CONFIRMED} AND counted = shown LIMIT 1"
        row = connection.execute(query).fetchone()
        if row is None:
            return None
        actor = row[0]

        def work() -> None:
            if self._index.forget_records(actor, STEP_ROWS, self._clock()):
                return
            posts = connection.execute("SELECT id FROM post WHERE actor = ? LIMIT ?", (actor, STEP_ROWS)).fetchall()
            for (post,) in posts:
                self._remove_post(connection, post)
            # An inactive account's engagement is not counted any more, so no count changes here.
            edges = connection.execute(
                "DELETE FROM engagement WHERE (actor, kind, rkey) IN (SELECT actor, kind, rkey FROM engagement"
                " WHERE actor = ? LIMIT ?) RETURNING 1",
                (actor, STEP_ROWS),
            ).fetchall()
            if not posts and not edges:
                # Should it come back, nothing of before counts: its repository is read.
                connection.execute("UPDATE actor SET purge = 0, rev = '', split = 0 WHERE id = ?", (actor,))
                connection.execute("DELETE FROM late WHERE actor = ?", (actor,))
                connection.execute(
                    "INSERT INTO repo (actor, state, why) VALUES (?, ?, 'purged') ON CONFLICT (actor) DO UPDATE"
                    " SET state = excluded.state, why = excluded.why, data = NULL",
                    (actor, PENDING),
                )
                self._index.forget_account(actor)
                self._index.counts["accounts purged"] += 1

        return work

    def _end_bans(self, connection: Connection) -> Callable[[], None] | None:
        """Bans that have run out: what their authors had in the community is shown again."""
        now = self._clock()
        row = connection.execute(
            "SELECT community, actor FROM membership WHERE until <= ? AND status = 'banned' LIMIT 1", (now,)
        ).fetchone()
        if row is None:
            return None

        def work() -> None:
            self._index.end_ban(row[0], row[1], now)

        return work

    def _expire_posts(self, connection: Connection) -> Callable[[], None] | None:
        oldest = self._clock() - self._retention
        rows = connection.execute(
            "SELECT id FROM post WHERE event_at < ? ORDER BY event_at LIMIT ?", (oldest, STEP_ROWS)
        ).fetchall()
        if not rows:
            return None

        def work() -> None:
            for (post,) in rows:
                if self._remove_post(connection, post):
                    self._index.counts["posts expired"] += 1

        return work

    def _remove_post(self, connection: Connection, post: int) -> bool:
        """Take a post out of its feeds at once, and then its engagement in pieces; returns whether it is gone."""
        connection.execute("DELETE FROM feed_item WHERE post = ?", (post,))
        edges = connection.execute(
            "DELETE FROM engagement WHERE (actor, kind, rkey) IN (SELECT actor, kind, rkey FROM engagement"
            " WHERE post = ? LIMIT ?) RETURNING 1",
            (post, STEP_ROWS),
        ).fetchall()
        if len(edges) < STEP_ROWS:
            self._index.remove_post(post)
            return True
        return False

    def _expire_small(self, connection: Connection) -> Callable[[], None] | None:
        """Interactions, used tokens, reports, commands, what was said of posts that never came, and accounts that
        nothing points to.
        """
        now = self._clock()
        oldest = max(now - INTERACTION_DAYS * DAY, self._floor(connection, _NEWEST_INTERACTIONS, MOST_INTERACTIONS))
        oldest_late = max(now - REPLAY_DAYS * DAY, self._floor(connection, _NEWEST_LATE, MOST_LATE))
        oldest_report = max(now - REPORT_DAYS * DAY, self._floor(connection, _NEWEST_REPORTS, MOST_REPORTS))
        oldest_command = now - COMMAND_DAYS * DAY
        expired = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM interaction WHERE at < ?),"
            " EXISTS (SELECT 1 FROM used_token WHERE expires < ?), EXISTS (SELECT 1 FROM late WHERE noted_at < ?),"
            " EXISTS (SELECT 1 FROM report WHERE last_at < ?), EXISTS (SELECT 1 FROM command WHERE at < ?)",
            (oldest, now // 1_000_000, oldest_late, oldest_report, oldest_command),
        ).fetchone()
        last = connection.execute("SELECT max(id) FROM actor").fetchone()
        after = self._actors_after
        unused = last is not None and last[0] is not None and after < last[0]
        if not unused and not any(expired or ()):
            return None

        def work() -> None:
            connection.execute(
                "DELETE FROM interaction WHERE at IN (SELECT at FROM interaction WHERE at < ? ORDER BY at LIMIT ?)",
                (oldest, STEP_ROWS),
            )
            connection.execute(
                "DELETE FROM used_token WHERE (iss, jti) IN"
                " (SELECT iss, jti FROM used_token WHERE expires < ? LIMIT ?)",
                (now // 1_000_000, STEP_ROWS),
            )
            connection.execute(
                "DELETE FROM late WHERE (actor, kind, rkey) IN"
                " (SELECT actor, kind, rkey FROM late WHERE noted_at < ? ORDER BY noted_at LIMIT ?)",
                (oldest_late, STEP_ROWS),
            )
            connection.execute(
                "DELETE FROM report WHERE id IN (SELECT id FROM report WHERE last_at < ? ORDER BY last_at LIMIT ?)",
                (oldest_report, STEP_ROWS),
            )
            connection.execute(
                "DELETE FROM command WHERE id IN (SELECT id FROM command WHERE at < ? ORDER BY at LIMIT ?)",
                (oldest_command, STEP_ROWS),
            )
            gone = connection.execute(
                "DELETE FROM actor WHERE id > ? AND id <= ? AND shown = 1 AND rev < ?"
                " AND NOT EXISTS (SELECT 1 FROM post WHERE post.actor = actor.id)"
                " AND NOT EXISTS (SELECT 1 FROM engagement WHERE engagement.actor = actor.id)"
                " AND NOT EXISTS (SELECT 1 FROM repo WHERE repo.actor = actor.id)"
                " AND NOT EXISTS (SELECT 1 FROM pin WHERE pin.actor = actor.id)"
                " AND NOT EXISTS (SELECT 1 FROM late WHERE late.actor = actor.id)"
                " AND NOT EXISTS (SELECT 1 FROM declaration d WHERE d.actor = actor.id)"
                " AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.actor = actor.id)"
                " AND NOT EXISTS (SELECT 1 FROM membership_event m WHERE m.actor = actor.id)"
                " AND NOT EXISTS (SELECT 1 FROM decided d WHERE d.actor = actor.id) RETURNING 1",
                (after, after + STEP_ROWS, tid(now - REPLAY_DAYS * DAY)),
            ).fetchall()
            if gone:
                self._index.forget()
            self._actors_after = after + STEP_ROWS

        return work

    def _floor(self, connection: Connection, newest: str, most: int) -> int:
        """The time below which there are too many, looked up every ten seconds. `newest`: the query of times."""
        now = self._clock()
        floor, looked_at = self._floors.get(newest, (0, 0))
        if not 0 <= now - looked_at < FLOOR_MICROS:
            row = connection.execute(f"{newest} LIMIT 1 OFFSET ?", (most,)).fetchone()
            floor = row[0] + 1 if row else 0
            self._floors[newest] = floor, now
        return floor

    def begin_round(self) -> None:
        """Look through all accounts again from the first; call this about once a day."""
        self._actors_after = 0


def recount_communities(connection: Connection) -> int:
    """Set the counts of communities to what the rows say; returns how many were wrong. For repair and for tests."""
    members = (
        "(SELECT count(*) FROM membership m WHERE m.community = community_count.community AND m.status = 'member')"
    )
    shown = "FROM feed_item i WHERE i.community = community_count.community AND i.hidden = 0"
    truth = f"({members}, (SELECT count(*) {shown}), (SELECT coalesce(max(i.sort_at), 0) {shown}))"
    rows = connection.execute(
        f"UPDATE community_count SET (members, posts, last_post_at) = {truth}"
        f" WHERE (members, posts, last_post_at) != {truth} RETURNING 1"
    ).fetchall()
    return len(rows)


def recount(connection: Connection) -> int:
    """Set every count to what the engagement rows say; returns how many posts were wrong. For repair and for tests."""
    wrong = 0
    for kind, column in COUNTERS.items():
        truth = (
            "(SELECT count(DISTINCT e.actor) FROM engagement e JOIN actor a ON a.id = e.actor"
            f" WHERE e.post = post.id AND e.kind = {kind} AND a.counted = 1)"
        )
        rows = connection.execute(
            f"UPDATE post SET {column} = {truth} WHERE {column} != {truth} RETURNING 1"
        ).fetchall()
        wrong += len(rows)
    return wrong
