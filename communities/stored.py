"""Posts, and what is in force on them, as rows. Plain functions over a connection."""

from typing import NamedTuple

from cbrrr import StrictCID, decode_dag_cbor

from communities.admission import Decided, Verdict
from communities.post import Post, read_post
from communities.refs import PostRef
from communities.short_code import code_of
from models.database import Connection

_POST = (
    "SELECT p.id, p.actor, p.cid, p.record, p.sort_at, p.active_at, p.likes, p.reposts, p.replies, p.quotes, a.shown"
    " FROM post p JOIN actor a ON a.id = p.actor WHERE a.did = ? AND p.rkey = ?"
)
_DECIDED = "SELECT verdict, cid, decision FROM decided WHERE community = ? AND actor = ? AND rkey = ?"
_DECIDE = (
    "INSERT INTO decided (community, actor, rkey, cid, verdict, decision, at) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (community, actor, rkey) DO UPDATE SET cid = excluded.cid, verdict = excluded.verdict,"
    " decision = excluded.decision, at = excluded.at"
)


class StoredPost(NamedTuple):
    """An indexed post. Times are microseconds. `shown`: whether its author's account is."""

    id: int
    actor: int
    cid: bytes
    record: bytes
    sort_at: int
    active_at: int
    likes: int
    reposts: int
    replies: int
    quotes: int
    shown: bool

    def facts(self) -> Post | None:
        """What rules look at; None where the record is no valid post."""
        try:
            return read_post(decode_dag_cbor(self.record, cid_ctor=StrictCID))
        except (ValueError, RecursionError):
            return None


class Item(NamedTuple):
    """A post in a community. `hidden`: bits of `communities.admission`."""

    hidden: int
    evidences: tuple[str, ...]


def find_post(connection: Connection, ref: PostRef) -> StoredPost | None:
    """The post, if it is indexed."""
    row = connection.execute(_POST, ref).fetchone()
    return StoredPost._make((*row[:-1], bool(row[-1]))) if row else None


def find_item(connection: Connection, community: int, post: int) -> Item | None:
    """How an indexed post stands in a community; None: it is not in it."""
    query = "SELECT hidden, evidence FROM feed_item WHERE post = ? AND community = ?"
    row = connection.execute(query, (post, community)).fetchone()
    return Item(row[0], tuple(filter(None, row[1].split("\n")))) if row else None


def count_shown(connection: Connection, community: int, actor: int | None, most: int) -> int:
    """How many of the last `most` indexed posts of an account (by its number) a community shows."""
    query = (
        "SELECT count(*) FROM (SELECT id FROM post WHERE actor = ? ORDER BY rkey DESC LIMIT ?) p"
        " CROSS JOIN feed_item i INDEXED BY feed_item_post ON i.post = p.id WHERE i.community = ? AND i.hidden = 0"
    )
    return int(connection.execute(query, (actor, most, community)).fetchone()[0])


def find_decided(connection: Connection, community: int, actor: int | None, rkey: str) -> Decided | None:
    """The decision in force on a post of an account (by its number)."""
    if actor is None:
        return None
    row = connection.execute(_DECIDED, (community, actor, rkey)).fetchone()
    return Decided(Verdict(row[0]), row[1], row[2]) if row else None


def put_decided(connection: Connection, community: int, actor: int, rkey: str, decided: Decided, now: int) -> None:
    """Let a decision be in force. Call inside a write. `now`: microseconds."""
    values = (decided.cid, decided.verdict.value, decided.decision, now)
    connection.execute(_DECIDE, (community, actor, rkey, *values))


def put_item(connection: Connection, community: int, ref: PostRef, post: StoredPost, item: Item) -> None:
    """Let an indexed post stand so in a community. Call inside a write."""
    evidence = "\n".join(item.evidences)
    changed = connection.execute(
        "UPDATE feed_item SET hidden = ?, evidence = ?, context = ? WHERE post = ? AND community = ? RETURNING 1",
        (item.hidden, evidence, code_of(evidence), post.id, community),
    ).fetchall()
    if not changed:
        connection.execute(
            "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence, context)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (community, item.hidden, post.sort_at, post.id, ref.uri, evidence, code_of(evidence)),
        )
