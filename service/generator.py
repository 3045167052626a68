"""The `app.bsky.feed.generator` records of a community, one a feed: limits, content, what a new one would change.

Pure functions over declarations, bytes and JSON-shaped dicts; nothing here reads a file or speaks to a
server. Shapes and limits are those of the lexicon. Lengths are counted here because model libraries count
code points, while the lexicon counts grapheme clusters and UTF-8 bytes.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import regex

from communities.community import Community
from communities.ranking import EVERYTHING, NEWEST, QUEUE, VIDEO, record_key
from xrpc.graphemes import graphemes

COLLECTION = "app.bsky.feed.generator"
NAME_GRAPHEMES, NAME_BYTES = 24, 240
DESCRIPTION_GRAPHEMES, DESCRIPTION_BYTES = 300, 3000
AVATAR_BYTES = 1_000_000
_LABELS = {
    "active": "Active",
    "recent": "Recent",
    "hot": "Hot",
    "top-day": "Top day",
    "top-week": "Top week",
    "top-month": "Top month",
    "top": "Top",
    VIDEO: "Videos",
    QUEUE: "Queue",
}

_MAGIC = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))


class AvatarError(ValueError):
    """An avatar that no feed record may carry; the message says why."""


@dataclass(frozen=True)
class Avatar:
    """An image as it would be uploaded: its bytes, media type and blob CID."""

    content: bytes
    mime: str
    cid: str

    def blob(self) -> dict[str, Any]:
        """The blob object under which a record names this image."""
        size = len(self.content)
        return {"$type": "blob", "ref": {"$link": self.cid}, "mimeType": self.mime, "size": size}


class DeclaredFeed(NamedTuple):
    """One feed of a community: the community in one order."""

    community: Community
    sort: str = NEWEST

    @property
    def rkey(self) -> str:
        """The key of its record."""
        return record_key(self.community.slug, self.sort)

    @property
    def name(self) -> str:
        """The community's name, and in which order it is; the name is cut where both are too long."""
        if self.sort == NEWEST:
            return self.community.name
        label = f" · {_LABELS[self.sort]}"
        kept = regex.findall(r"\X", self.community.name)
        while len(kept) + len(label) > NAME_GRAPHEMES or len("".join((*kept, label)).encode()) > NAME_BYTES:
            kept.pop()
        return "".join(kept).rstrip() + label

    @property
    def content_mode(self) -> str:
        """What clients are told of its posts."""
        return "video" if self.sort == VIDEO else self.community.content_mode


OWN = DeclaredFeed(Community(EVERYTHING, "Everything", "The newest posts of all communities that you are a member of."))
"""The service's own feed. It is published by name only: without members it shows nobody anything."""


def declared_feeds(communities: Iterable[Community]) -> list[DeclaredFeed]:
    """Every feed of the communities, in their order."""
    return [
        DeclaredFeed(community, sort)
        for community in communities
        for sort in (*community.feeds, *((QUEUE,) if community.queue_feed else ()))
    ]


def feed_uri(publisher: str, rkey: str) -> str:
    """The at-uri of a feed record."""
    return f"at://{publisher}/{COLLECTION}/{rkey}"


def blob_cid(content: bytes) -> str:
    """The CID of a blob: version 1, codec raw, SHA-256, in base32 (atproto data model, section Blob Type)."""
    multihash = b"\x12\x20" + hashlib.sha256(content).digest()
    return "b" + base64.b32encode(b"\x01\x55" + multihash).decode("ascii").rstrip("=").lower()


def avatar_of(content: bytes) -> Avatar:
    """Recognise an avatar by its first bytes, since a file's name proves nothing. Raises AvatarError."""
    if len(content) > AVATAR_BYTES:
        raise AvatarError(f"more than {AVATAR_BYTES:,} bytes")
    for magic, mime in _MAGIC:
        if content.startswith(magic):
            return Avatar(content, mime, blob_cid(content))
    raise AvatarError("neither a PNG nor a JPEG image by its first bytes")


def faults(community: Community) -> list[str]:
    """Every limit of the record that the community's name and description break, a sentence each."""
    found = []
    for key, text, most_graphemes, most_bytes in (
        ("name", community.name, NAME_GRAPHEMES, NAME_BYTES),
        ("description", community.description, DESCRIPTION_GRAPHEMES, DESCRIPTION_BYTES),
    ):
        for count, most, unit in (
            (graphemes(text), most_graphemes, "characters"),
            (len(text.encode("utf-8")), most_bytes, "bytes"),
        ):
            if count > most:
                found.append(f"{community.slug}: {key} has {count} {unit}, at most {most} may be")
    return found


def has_avatar(record: Mapping[str, Any] | None, avatar: Avatar) -> bool:
    """Whether the record already carries exactly this image, so that it need not be uploaded again."""
    blob = record.get("avatar") if record else None
    ref = blob.get("ref") if isinstance(blob, Mapping) else None
    return isinstance(ref, Mapping) and ref.get("$link") == avatar.cid


def generator_record(
    feed: DeclaredFeed,
    did: str,
    avatar: Mapping[str, Any] | None,
    existing: Mapping[str, Any] | None,
    now: str,
) -> dict[str, Any]:
    """The record to stand at `feed.rkey`.

    `avatar` is the blob object (None: no avatar), `existing` the record that stands there, `now` an RFC 3339
    time. What the declaration can say comes from the declaration; createdAt and fields unknown to us stay
    as they are. Facets of the description hold byte positions in it, so they go when the text changes.
    """
    community = feed.community
    record = dict(existing or {})
    if record.get("description", "") != community.description:
        record.pop("descriptionFacets", None)
    record |= {
        "$type": COLLECTION,
        "did": did,
        "displayName": feed.name,
        "description": community.description,
        "avatar": avatar,
        # Moderators decide by them.
        "acceptsInteractions": community.accepts_interactions or feed.sort == QUEUE,
        "contentMode": f"app.bsky.feed.defs#contentMode{feed.content_mode.capitalize()}",
    }
    for key in ("description", "avatar"):
        if not record[key]:
            del record[key]
    if not isinstance(record.get("createdAt"), str):
        record["createdAt"] = now
    return record


def changed_fields(existing: Mapping[str, Any], record: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the fields in which two records differ, sorted; empty when they are equal."""
    keys = sorted(existing.keys() | record.keys())
    return tuple(key for key in keys if existing.get(key) != record.get(key))
