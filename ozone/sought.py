"""What the lists of events and of statuses ask for in the same words: subjects, times, keywords, and where a page
begins. Pure.
"""

from collections.abc import Mapping
from typing import Any

from models.looking import LAST
from models.mod_events import SubjectKey
from ozone.visit import Visit
from xrpc import cursor
from xrpc.errors import InvalidRequest
from xrpc.params import ListParam, StringParam
from xrpc.syntax import MAX_AT_URI, MAX_DATETIME, is_did, parse_at_uri, parse_datetime

KINDS = ("account", "record", "conversation")
"""What `subjectType` may be; anything else matches nothing."""
MOST_VALUES = 100
"""Of a parameter that may be repeated, where the lexicon sets no limit (ours)."""
TIME = StringParam(max_length=MAX_DATETIME)
SUBJECT = StringParam(max_length=MAX_AT_URI)
TEXT = StringParam(max_length=1024)
TEXTS = ListParam(TEXT, MOST_VALUES)
COLLECTIONS = ListParam(TEXT, 20)


def subject(text: str, name: str = "subject") -> SubjectKey:
    """What a DID, or the at-uri of an account or a record means. Subjects are kept by DID: a handle is nobody's.

    Raises InvalidRequest for anything else.
    """
    if is_did(text):
        return SubjectKey(text)
    uri = parse_at_uri(text)
    if uri is None or (uri.collection and not uri.rkey):
        raise InvalidRequest(f'"{name}" must be a DID, or the at-uri of a record')
    return SubjectKey(uri.authority, f"{uri.collection}/{uri.rkey}" if uri.collection else "")


def between(params: Mapping[str, Any], name: str) -> tuple[int, int] | None:
    """The microseconds between `nameAfter` and `nameBefore`, neither included; None: nothing is said of them."""
    after, before = params.get(f"{name}After"), params.get(f"{name}Before")
    if after is None and before is None:
        return None
    return -1 if after is None else _micros(after), LAST if before is None else _micros(before)


def words(params: Mapping[str, Any]) -> tuple[str, ...]:
    """What `comment` looks for: any of what stands between `||`, in whatever case."""
    said = params.get("comment", "").split("||")
    return tuple(word.strip().casefold() for word in said if word.strip())


def behind(visit: Visit, params: Mapping[str, Any], name: str, count: int) -> tuple[str, tuple[int, ...] | None]:
    """The name of the list of these parameters, and the numbers of its cursor. Raises Refused (InvalidCursor)."""
    asked = sorted((key, value) for key, value in params.items() if key not in ("limit", "cursor"))
    scope = visit.scope(name, asked)
    said = params.get("cursor")
    return scope, None if said is None else cursor.decode(visit.key, scope, said, count)


def _micros(text: str) -> int:
    """A time that the lexicon has judged already; what lies before 1970 lies before everything here."""
    at = parse_datetime(text)
    return -1 if at is None else at
