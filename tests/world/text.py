"""Rich text: the facets of a post's text, with UTF-8 byte offsets (app.bsky.richtext.facet)."""

import re
from collections.abc import Mapping
from typing import Any

HASHTAG = re.compile(r"(?<!\S)[#＃]([^\s#.,;:!?()\[\]\"']*[^\W\d_][^\s#.,;:!?()\[\]\"']*)")
MENTION = re.compile(r"(?<![\w@])@([a-z0-9-]+(?:\.[a-z0-9-]+)+)")
LINK = re.compile(r"https?://[^\s)]+")


def facets(text: str, handles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Facets of the hashtags, links and known handles of a text. `handles` maps a handle to its DID."""
    found: list[dict[str, Any]] = []

    def add(start: int, end: int, feature: dict[str, Any]) -> None:
        at = len(text[:start].encode())
        index = {"byteStart": at, "byteEnd": at + len(text[start:end].encode())}
        found.append({"index": index, "features": [feature]})

    for match in HASHTAG.finditer(text):
        add(match.start(), match.end(), {"$type": "app.bsky.richtext.facet#tag", "tag": match[1]})
    for match in MENTION.finditer(text):
        if did := handles.get(match[1]):
            add(match.start(), match.end(), {"$type": "app.bsky.richtext.facet#mention", "did": did})
    for match in LINK.finditer(text):
        add(match.start(), match.end(), {"$type": "app.bsky.richtext.facet#link", "uri": match[0]})
    return sorted(found, key=lambda facet: int(facet["index"]["byteStart"]))
