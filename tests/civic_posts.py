"""Decisions about posts through HTTP, on the site of tests/civic_site.py."""

from hashlib import sha256
from typing import Any

from communities.refs import PostRef, cid_text, read_post_uri
from tests.civic_site import Town
from tests.didnet import Account
from tests.feed_site import Reply

POST = "app.bsky.feed.post"


def a_cid(text: str) -> str:
    """The CID of some record."""
    return cid_text(b"\x01\x71\x12\x20" + sha256(text.encode()).digest())


def ref(uri: str) -> PostRef:
    """The post of a URI."""
    found = read_post_uri(uri)
    assert found is not None
    return found


def version(town: Town, uri: str) -> str:
    """The CID of an indexed post."""
    rows = town.writer.sql(
        "SELECT p.cid FROM post p JOIN actor a ON a.id = p.actor WHERE a.did = ? AND p.rkey = ?", *ref(uri)
    )
    return cid_text(rows[0][0])


def decide(town: Town, who: Account, slug: str, action: str, uri: str, cid: str = "", **more: Any) -> Reply:
    """Decide about a post, in the version that is indexed unless another is named."""
    subject = {"$type": "com.atproto.repo.strongRef", "uri": uri, "cid": cid or version(town, uri)}
    return town.act("decide", who, {"community": slug, "action": action, "subject": subject, **more})


def done(reply: Reply) -> dict[str, Any]:
    """The entry of the log that a decision made."""
    assert reply.status == 200, reply.body
    entry: dict[str, Any] = reply.json["decision"]
    return entry


def hidden(town: Town, slug: str, uri: str) -> int | None:
    """The bits of a post's item in a community; None where it is not in it."""
    rows = town.writer.sql("SELECT hidden FROM feed_item WHERE community = ? AND uri = ?", town.id(slug), uri)
    return int(rows[0][0]) if rows else None


def wait_for_approval(town: Town, slug: str, uri: str) -> None:
    """Let an item be pending, as ingest leaves a post where all posts are approved."""
    town.writer.sql("UPDATE feed_item SET hidden = hidden | 2 WHERE community = ? AND uri = ?", town.id(slug), uri)


def declare(town: Town, did: str, collection: str, rkey: str, about: str, subject: str, gone: int = 0) -> None:
    """A record of somebody's as ingest keeps it."""
    town.writer.sql("INSERT INTO actor (did) VALUES (?) ON CONFLICT DO NOTHING", did)
    town.writer.sql(
        "INSERT INTO declaration (actor, collection, rkey, cid, about, subject, record, at, gone)"
        " SELECT id, ?2, ?3, x'00', ?4, ?5, '{}', 1, ?6 FROM actor WHERE did = ?1",
        did, collection, rkey, about, subject, gone,
    )  # fmt: skip
