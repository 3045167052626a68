"""What the rules need to know of one `app.bsky.feed.post` record.

The record comes from anybody: every value may have any type. What cannot be understood is left out (a facet with absurd
offsets, a link that is no web link); a record that is no valid post at all is None. Nothing here raises.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from communities.text import fold_tag, words
from xrpc.graphemes import graphemes

NSID = "app.bsky.feed.post"

MAX_TEXT_BYTES = 3000  # app.bsky.feed.post#text maxLength
MAX_TEXT_GRAPHEMES = 300  # app.bsky.feed.post#text maxGraphemes
MAX_TAGS = 8  # app.bsky.feed.post#tags maxLength
MAX_TAG_BYTES = 640  # app.bsky.richtext.facet#tag maxLength
MAX_LANGS = 3  # app.bsky.feed.post#langs maxLength
MAX_FACETS = 300  # ours: more facets than graphemes cannot be meant
MOST_OF_A_KIND = 300  # ours, for the same reason: tags, mentions and links that are looked at
MAX_HOST = 253  # RFC 1035
MOST_WIDE = 600  # ours: letters of all hosts that are not in ASCII; a hundred take a millisecond to read
MEDIA = ("gallery", "gif", "image", "link", "quote", "video")
_ATTACHED = frozenset(f"app.bsky.embed.{name}" for name in ("images", "gallery", "video", "external"))
"""What app.bsky.embed.recordWithMedia may hold in `media`."""
_RECORD, _WITH_MEDIA = "app.bsky.embed.record", "app.bsky.embed.recordWithMedia"
GIF_HOSTS = ("media.tenor.com", "tenor.com", "giphy.com", "media.giphy.com")

_NONE: frozenset[str] = frozenset()
_DID = re.compile(r"did:[a-z]+:[A-Za-z0-9._:%-]{1,2000}")
_AUTHORITY = re.compile(r"[/\\]*[^/\\?#]*")
_LANG = re.compile(r"[A-Za-z]{2,8}(?=-|$)")


def primary_subtags(langs: Any) -> frozenset[str]:
    """Of a record's `langs` the primary subtags (BCP 47), in lower case."""
    found = [_LANG.match(lang) for lang in langs[:MAX_LANGS] if type(lang) is str] if type(langs) is list else []
    return frozenset(match.group().lower() for match in found if match)


@dataclass(slots=True)
class Post:
    """The facts of one post that rules look at.

    Selectors look at every post of the network, so what they ask for stands ready; the rest is read from the record
    when it is asked for.
    """

    text: str
    created_at: str
    tags: frozenset[str]
    mentions: frozenset[str]
    links: tuple[str, ...]
    parent: str | None
    quote: str | None
    record: dict[str, Any] = field(compare=False, repr=False)

    def words(self) -> list[str]:
        """The folded words of the text, in order."""
        return words(self.text)

    @property
    def langs(self) -> frozenset[str]:
        """The primary subtags of its languages, in lower case."""
        return primary_subtags(self.record.get("langs"))

    @property
    def media(self) -> frozenset[str]:
        """Which of MEDIA it shows."""
        return frozenset(kind for embed in self._embeds() for kind in _media(embed))

    @property
    def is_video(self) -> bool:
        """Whether it shows a video of its own, which is not meant as a GIF."""
        embeds = self._embeds()
        return any(_media(embed) == ("video",) and type(embed.get("video")) is dict for embed in embeds)

    @property
    def domains(self) -> frozenset[str] | None:
        """The hosts of its web links; None where more of them are in other letters than ASCII than anybody can mean."""
        links = [*self.links, *(uri for embed in self._embeds() if (uri := _external(embed)) is not None)]
        if sum(map(_wide, links)) > MOST_WIDE:
            return None
        return frozenset(filter(None, map(link_host, links)))

    @property
    def root(self) -> str | None:
        """The first post of the thread that it answers in."""
        reply = self.record.get("reply")
        return _reference(reply.get("root")) if type(reply) is dict else None

    def _embeds(self) -> list[dict[str, Any]]:
        """Its embed, and what is attached to a quote."""
        embed = self.record.get("embed")
        if type(embed) is not dict:
            return []
        attached = embed.get("media") if embed.get("$type") == _WITH_MEDIA else None
        kind = attached.get("$type") if type(attached) is dict else None
        return [embed, attached] if type(attached) is dict and type(kind) is str and kind in _ATTACHED else [embed]


def read_post(record: Any) -> Post | None:
    """The facts of `record`, or None when it is no valid post (lexicon app.bsky.feed.post)."""
    if type(record) is not dict or record.get("$type") != NSID:
        return None
    text, created_at = record.get("text"), record.get("createdAt")
    if type(text) is not str or type(created_at) is not str or len(created_at) > 64:
        return None
    if len(text) > MAX_TEXT_GRAPHEMES:
        if len(text) > MAX_TEXT_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
            return None
        if graphemes(text) > MAX_TEXT_GRAPHEMES:
            return None
    tags: list[str] = []
    mentions: list[str] = []
    links: list[str] = []
    facets = record.get("facets")
    if type(facets) is list and facets:
        _read_facets(facets, text, tags, mentions, links)
    outline = record.get("tags")
    if type(outline) is list:
        tags.extend(tag for tag in outline[:MAX_TAGS] if type(tag) is str and _fits(tag))
    embed, reply = record.get("embed"), record.get("reply")
    return Post(
        text=text,
        created_at=created_at,
        tags=frozenset(filter(None, map(fold_tag, dict.fromkeys(tags)))) if tags else _NONE,
        mentions=frozenset(mentions),
        links=tuple(dict.fromkeys(links)) if links else (),
        parent=_reference(reply.get("parent")) if type(reply) is dict else None,
        quote=_quoted(embed) if type(embed) is dict else None,
        record=record,
    )


def _read_facets(facets: list[Any], text: str, tags: list[str], mentions: list[str], links: list[str]) -> None:
    data = b""
    letters = MAX_TEXT_BYTES  # of all tags together, as they stand in the text
    for facet in facets[:MAX_FACETS]:
        if type(facet) is not dict:
            continue
        index, features = facet.get("index"), facet.get("features")
        if type(index) is not dict or type(features) is not list:
            continue
        start, end = index.get("byteStart"), index.get("byteEnd")
        if type(start) is not int or type(end) is not int:
            continue
        data = data or text.encode("utf-8", "surrogatepass")
        if not 0 <= start < end <= len(data) or not (is_boundary(data, start) and is_boundary(data, end)):
            continue
        for feature in features[:8]:
            if type(feature) is not dict:
                continue
            kind = feature.get("$type")
            if kind == "app.bsky.richtext.facet#tag":
                if type(tag := feature.get("tag")) is str and len(tags) < MOST_OF_A_KIND and _fits(tag):
                    letters -= len(tag)
                    if letters >= 0:
                        tags.append(tag)
            elif kind == "app.bsky.richtext.facet#mention":
                did = feature.get("did")
                if type(did) is str and len(mentions) < MOST_OF_A_KIND and _DID.fullmatch(did):
                    mentions.append(did)
            elif kind == "app.bsky.richtext.facet#link":
                uri = feature.get("uri")
                if type(uri) is str and len(links) < MOST_OF_A_KIND:
                    links.append(uri)


def _fits(tag: str) -> bool:
    """Whether a tag has at most MAX_TAG_BYTES: folding may make it eighteen times as long."""
    return len(tag) <= MAX_TAG_BYTES and (tag.isascii() or len(tag.encode("utf-8", "surrogatepass")) <= MAX_TAG_BYTES)


def is_boundary(data: bytes, index: int) -> bool:
    """Whether `index` falls between two characters of UTF-8 `data`, and not inside one."""
    return index >= len(data) or data[index] & 0xC0 != 0x80


def _media(embed: dict[str, Any]) -> tuple[str, ...]:
    kind = embed.get("$type")
    if kind == "app.bsky.embed.images":
        return ("image",)
    if kind == "app.bsky.embed.gallery":
        return ("image", "gallery")
    if kind == "app.bsky.embed.video":
        return ("gif" if embed.get("presentation") == "gif" else "video",)
    if kind in (_RECORD, _WITH_MEDIA):
        return ("quote",)
    uri = _external(embed)
    return () if uri is None else ("gif" if link_host(uri) in GIF_HOSTS else "link",)


def _external(embed: dict[str, Any]) -> str | None:
    """The URI of a link card."""
    external = embed.get("external") if embed.get("$type") == "app.bsky.embed.external" else None
    uri = external.get("uri") if type(external) is dict else None
    return uri if type(uri) is str else None


def _quoted(embed: dict[str, Any]) -> str | None:
    kind, record = embed.get("$type"), embed.get("record")
    if kind == _WITH_MEDIA:
        return _reference(record.get("record")) if type(record) is dict else None
    return _reference(record) if kind == _RECORD else None


def _reference(value: Any) -> str | None:
    """The `uri` of a strongRef."""
    uri = value.get("uri") if type(value) is dict else None
    return uri if type(uri) is str and uri.startswith("at://") and len(uri) <= 8192 else None


def _wide(uri: str) -> int:
    """How many letters the host of a link has, if it may have others than ASCII, as such or escaped; else 0."""
    found = _AUTHORITY.match(uri.partition("//")[2])
    host = found[0] if found else ""
    return len(host) if not host.isascii() or "%" in host else 0


def link_host(uri: str) -> str | None:
    """The host of an http(s) link as browsers read it (lower case, in ASCII), or None when it is no web link that a
    person would follow.
    """
    if len(uri) > 8192 or not uri[:8].lower().startswith(("http://", "https://")):
        return None
    try:
        # A backslash is a slash to browsers, and escapes and wide letters in a host are read before it is looked up:
        # no spelling may lead to an excluded domain unseen (https://url.spec.whatwg.org/#host-parsing).
        parts = urlsplit(uri.replace("\\", "/"))
        host = unquote(parts.hostname or "").rstrip(".")[: MAX_HOST + 1]
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:
        return None
    if not host or len(host) > MAX_HOST or "@" in parts.netloc:
        return None
    return host.lower().rstrip(".")
