"""What the rules need to know of one `app.bsky.feed.post` record.

The record comes from anybody: every value may have any type. What cannot be understood is left out (a facet with absurd
offsets, a link that is no web link); a record that is no valid post at all is None. Nothing here raises.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import regex

from communities.text import fold_tag, words

NSID = "app.bsky.feed.post"

MAX_TEXT_BYTES = 3000  # app.bsky.feed.post#text maxLength
MAX_TEXT_GRAPHEMES = 300  # app.bsky.feed.post#text maxGraphemes
MAX_TAGS = 8  # app.bsky.feed.post#tags maxLength
MAX_TAG_BYTES = 640  # app.bsky.richtext.facet#tag maxLength
MAX_LANGS = 3  # app.bsky.feed.post#langs maxLength
MAX_FACETS = 300  # ours: more facets than graphemes cannot be meant
MOST_OF_A_KIND = 300  # ours, for the same reason: tags, mentions and links that are looked at
MAX_HOST = 253  # RFC 1035
MEDIA = ("gallery", "gif", "image", "link", "quote", "video")
_ATTACHED = frozenset(f"app.bsky.embed.{name}" for name in ("images", "gallery", "video", "external"))
"""What app.bsky.embed.recordWithMedia may hold in `media`."""
GIF_HOSTS = ("media.tenor.com", "tenor.com", "giphy.com", "media.giphy.com")

_NONE: frozenset[str] = frozenset()
_GRAPHEME = regex.compile(r"\X")
_DID = re.compile(r"did:[a-z]+:[A-Za-z0-9._:%-]{1,2000}")
_LANG = re.compile(r"[A-Za-z]{2,8}(?=-|$)")


def graphemes(text: str) -> int:
    """The number of user-perceived characters (Unicode extended grapheme clusters)."""
    return len(text) if text.isascii() and "\r" not in text else len(_GRAPHEME.findall(text))


@dataclass(slots=True)
class Post:
    """The facts of one post that rules look at; all text folded."""

    text: str
    created_at: str
    tags: frozenset[str]
    mentions: frozenset[str]
    langs: frozenset[str]
    media: frozenset[str]
    links: tuple[str, ...]
    parent: str | None
    root: str | None
    quote: str | None

    def words(self) -> list[str]:
        """The folded words of the text, in order."""
        return words(self.text)

    @property
    def domains(self) -> frozenset[str]:
        """The hosts of its web links. Read when they are asked for: reading wide letters in hosts is slow."""
        return frozenset(filter(None, map(link_host, self.links)))


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
    media: set[str] = set()
    embed = record.get("embed")
    quote = _read_embed(embed, media, links) if type(embed) is dict else None
    reply = record.get("reply")
    langs = record.get("langs")
    return Post(
        text=text,
        created_at=created_at,
        tags=frozenset(filter(None, map(fold_tag, dict.fromkeys(tags)))) if tags else _NONE,
        mentions=frozenset(mentions),
        langs=_read_langs(langs) if type(langs) is list else frozenset(),
        media=frozenset(media),
        links=tuple(dict.fromkeys(links)) if links else (),
        parent=_reference(reply.get("parent")) if type(reply) is dict else None,
        root=_reference(reply.get("root")) if type(reply) is dict else None,
        quote=quote,
    )


def _read_facets(facets: list[Any], text: str, tags: list[str], mentions: list[str], links: list[str]) -> None:
    data = b""
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
        if not 0 <= start < end <= len(data) or _inside(data, start) or _inside(data, end):
            continue
        for feature in features[:8]:
            if type(feature) is not dict:
                continue
            kind = feature.get("$type")
            if kind == "app.bsky.richtext.facet#tag":
                if type(tag := feature.get("tag")) is str and len(tags) < MOST_OF_A_KIND and _fits(tag):
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


def _inside(data: bytes, index: int) -> bool:
    """Whether `index` falls inside a character of UTF-8 `data`."""
    return index < len(data) and data[index] & 0xC0 == 0x80


def _read_embed(embed: dict[str, Any], media: set[str], links: list[str]) -> str | None:
    """Adds what the embed shows to `media` and `links`; returns the quoted URI."""
    kind = embed.get("$type")
    if kind == "app.bsky.embed.images":
        media.add("image")
    elif kind == "app.bsky.embed.gallery":
        media.update(("image", "gallery"))
    elif kind == "app.bsky.embed.video":
        media.add("gif" if embed.get("presentation") == "gif" else "video")
    elif kind == "app.bsky.embed.external":
        external = embed.get("external")
        uri = external.get("uri") if type(external) is dict else None
        if type(uri) is str:
            links.append(uri)
            media.add("gif" if link_host(uri) in GIF_HOSTS else "link")
    elif kind == "app.bsky.embed.record":
        media.add("quote")
        return _reference(embed.get("record"))
    elif kind == "app.bsky.embed.recordWithMedia":
        media.add("quote")
        attached, record = embed.get("media"), embed.get("record")
        # Only these kinds stand in `media`, so this recursion ends.
        if type(attached) is dict and type(within := attached.get("$type")) is str and within in _ATTACHED:
            _read_embed(attached, media, links)
        return _reference(record.get("record")) if type(record) is dict else None
    return None


def _read_langs(langs: list[Any]) -> frozenset[str]:
    found = [_LANG.match(lang) for lang in langs[:MAX_LANGS] if type(lang) is str]
    return frozenset(match.group().lower() for match in found if match)


def _reference(value: Any) -> str | None:
    """The `uri` of a strongRef."""
    uri = value.get("uri") if type(value) is dict else None
    return uri if type(uri) is str and uri.startswith("at://") and len(uri) <= 8192 else None


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
