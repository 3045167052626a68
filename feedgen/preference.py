"""What a viewer would rather not see first in a ranked feed: posts in languages that they do not read, and posts that
they have seen. Neither is left out; first comes what is new and can be read, in the feed's order, then what is new in
other languages, then what was seen.

Both stay as they were when page one was asked for, or a post could come twice: the languages of a generation's posts
are kept with it, the viewer's travel in the cursor, and so does the moment before which things were seen.
"""

import json
import re
from collections.abc import Sequence
from functools import lru_cache

from cbrrr import StrictCID, decode_dag_cbor

from communities.post import primary_subtags
from feedgen.cursor import LANGUAGE_LETTERS, MOST_LANGUAGES
from models.database import Connection, Cursor

SETTLED_MICROS = 15_000_000
"""What was seen in the last moments before page one does not count: some of it may still be on its way."""
_HOUR = 3_600_000_000
_SEEN_EVENT = "app.bsky.feed.defs#interactionSeen"
SEEN = "SELECT item FROM interaction WHERE viewer = ? AND event = ? AND at >= ? AND at < ?"
_RECORDS = "SELECT p.id, p.record FROM json_each(?) j CROSS JOIN post p ON p.id = j.value"
_RANGE = re.compile(r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([0-9.]{1,5})\s*)?")
_MOST_MARKS = 255
_LONGEST_HEADER = 500


@lru_cache(1000)
def accepted(header: str) -> tuple[str, ...]:
    """The languages of an Accept-Language header, primary subtags in lower case; none: any will do.

    Source: RFC 9110, section 12.5.4. Which of them is liked best makes no difference here.
    """
    found: dict[str, None] = {}
    for part in header[:_LONGEST_HEADER].split(","):
        language = _RANGE.fullmatch(part)
        if language is None or (language[2] is not None and not language[2].strip("0.")):
            continue
        if language[1] == "*":
            return ()
        if len(language[1]) <= LANGUAGE_LETTERS:
            found[language[1].lower()] = None
    return tuple(found)[:MOST_LANGUAGES]


def mark_languages(connection: Connection, posts: Sequence[int]) -> tuple[str, bytes]:
    """The languages of posts, as a generation keeps them: a JSON array of the different ones, and for each post one
    byte, its place in there. The first one is of posts that declare none.
    """
    places = {"": 0}
    marks = dict.fromkeys(posts, 0)
    for post, record in connection.execute(_RECORDS, (json.dumps(posts),)):
        languages = " ".join(sorted(_languages(record)))
        if languages in places or len(places) <= _MOST_MARKS:
            marks[post] = places.setdefault(languages, len(places))
    return json.dumps(list(places)), bytes(marks.values())


def _languages(record: bytes) -> frozenset[str]:
    try:
        found = decode_dag_cbor(record, cid_ctor=StrictCID)
    except (ValueError, RecursionError):
        return frozenset()
    return primary_subtags(found.get("langs")) if isinstance(found, dict) else frozenset()


def in_order(posts: Sequence[int], languages: str, marks: bytes | None, first: Sequence[str]) -> Sequence[int]:
    """The posts of a generation, those that declare other languages than `first` behind all others."""
    if not first or not marks:
        return posts
    others = bytes(bool(told) and not set(told.split()) & set(first) for told in json.loads(languages)).ljust(
        256, b"\0"
    )
    behind = marks.translate(others)
    if not any(behind):
        return posts
    rest = [post for post, other in zip(posts, behind, strict=True) if other]
    return [post for post, other in zip(posts, behind, strict=True) if not other] + rest


def seen_items(cursor: Cursor, viewer: str | None, until: int, hours: int) -> frozenset[str]:
    """The URIs that a viewer (DID) saw in the `hours` before `until` (microseconds)."""
    if viewer is None or not until or not hours:
        return frozenset()
    rows = cursor.execute(SEEN, (viewer, _SEEN_EVENT, until - hours * _HOUR, until)).fetchall()
    return frozenset(item for (item,) in rows)
