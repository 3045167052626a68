"""A town for the benchmark of the layer: communities of records, their members and posts, as rows of the schema."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from communities.community import Community, Include
from communities.ranking import SORTS
from communities.records import COMMUNITY
from models import communities as community_rows
from models import meta
from models.database import open_database, writing
from tests.didnet import plc

ACCOUNTS = 200_000
OWNED = 20
"""Communities of one owner."""
_DAY = 86_400_000_000


class Size(NamedTuple):
    """How many of each."""

    communities: int
    memberships: int
    posts: int


def uri(number: int) -> str:
    """The at-uri of the record of a community."""
    return f"at://{owner(number)}/{COMMUNITY}/c{number}"


def owner(number: int) -> str:
    """Who owns a community."""
    return plc(1 + number // OWNED)


def community(number: int) -> Community:
    """One of the town: with two tags and a phrase; some with an account, some that only members post to, some that show
    whatever their members write, and some below the one before them.
    """
    return Community(
        f"c{number}",
        f"Community number {number}",
        description="One of many, for those who care about just this.",
        owner=owner(number),
        feeds=SORTS,
        account=owner(number) if number % OWNED == 0 else None,
        posting="members" if number % 4 == 0 else "anyone",
        parent=uri(number - 1) if number % OWNED == 1 else None,
        include=Include(
            hashtags=(f"c{number}", f"topic{number}"), keywords=(f"subject{number} matter",), joined=number % 10 == 9
        ),
    )


def write_town(path: Path, size: Size) -> None:
    """Fill a new database."""
    rng = random.Random(13)
    now = time.time_ns() // 1000
    database = open_database(path)
    with writing(database) as connection:
        accounts = range(1, ACCOUNTS + 1)
        connection.executemany("INSERT INTO actor (id, did) VALUES (?, ?)", ((one, plc(one)) for one in accounts))

        def rows() -> Iterator[tuple[object, ...]]:
            for number in range(1, size.communities + 1):
                one = community(number)
                yield number, one.slug, one.name, one.owner, json.dumps(one.to_json()), uri(number), now

        connection.executemany(
            "INSERT INTO community (id, slug, name, description, owner, rule, declared, uri, created_at)"
            " VALUES (?, ?, ?, '', ?, ?, 1, ?, ?)",
            rows(),
        )
        meta.put(connection, community_rows.REVISION, "1")
        meta.put(connection, "rules_noticed", str(community_rows.last_change(connection)))
        meta.secret(connection, "cursor_key")
        per_account = max(1, size.memberships // ACCOUNTS)
        connection.executemany(
            "INSERT INTO membership (community, actor, status, role, since, via, volume)"
            " VALUES (?, ?, 'member', ?, ?, 'xrpc', 3) ON CONFLICT DO NOTHING",
            (
                (1 + (member * 7919 + turn * 104_729) % size.communities, member, 2 if member % 1000 == 0 else 1, now)
                for member in accounts
                for turn in range(per_account)
            ),
        )
        # The repositories of those who are followed were read long ago.
        connection.execute(
            "INSERT INTO repo (actor, state) SELECT id, 'synced' FROM actor WHERE id IN"
            " (SELECT m.actor FROM membership m WHERE m.community % 10 = 9 OR m.role > 1) OR id <= ?",
            (1 + size.communities // OWNED,),
        )
        connection.executemany(
            "INSERT INTO post (id, actor, rkey, cid, record, sort_at, event_at, likes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (post, rng.randint(1, ACCOUNTS), f"3m{post:011d}", bytes(36), bytes(270), at, now,
                 int(rng.paretovariate(1)) - 1)
                for post in range(1, size.posts + 1)
                for at in (now - 30 * _DAY + post * (30 * _DAY // size.posts),)
            ),
        )  # fmt: skip
        # A few communities have most of the posts.
        connection.executemany(
            "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence, context)"
            " SELECT ?, 0, p.sort_at, p.id, 'at://' || a.did || '/app.bsky.feed.post/' || p.rkey, 'hashtag:tag',"
            " 'h:tag'"
            " FROM post p JOIN actor a ON a.id = p.actor WHERE p.id = ?",
            ((1 + int(size.communities * rng.random() ** 4), post) for post in range(1, size.posts + 1)),
        )
    database.close()
