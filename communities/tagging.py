"""Tags that come by themselves: what was reported is tagged with why, and with what it is, so that moderators can
filter by that. As the reference server does it, but after the report, not with it; and no language is guessed.

    report:REASON    why it was reported, such as `report:spam`; of everything
    lang:CODE        the languages that a record declares; of an account (or its profile) those of its last posts that
                     are indexed; `lang:und` for none. Where no tag begins with `lang:` yet
    embed:KIND       image, video or external: what a post shows. Where no tag begins with `embed:` yet

What a record says waits until it is here (`communities.evidence`) or cannot be had, an hour at most.

What waits stands in table `report_tagging`, from the transaction of the report on, and goes in that of its tags: so a
restart forgets none, none comes twice, and what somebody takes off is not put back by the same report.
"""

import re
from collections.abc import Collection
from itertools import chain, groupby
from typing import Any

from communities import post
from communities.casebook import append, standing
from communities.deeds import EMBED, LANG, REPORTED
from communities.evidence import PROFILE, decoded
from communities.log import Acting
from communities.mod_event import Kind, ModEvent
from models import report_tagging
from models.database import Connection
from models.mod_events import SubjectKey
from models.report_tagging import Untagged
from models.scopes import TAGGER

AGAIN_MICROS = 10_000_000
"""After that time it is looked again whether a record is here, and then twice as late each time."""
LONGEST_MICROS = 3_600_000_000
"""So long after the report a record is not waited for any more."""
LAST_POSTS = 50
"""By so many posts the languages of an account are known: as many as the reference server looks at."""
MOST_LANGS = 10
"""Tags of languages that one subject gets: what an author calls one may be anything."""
UNKNOWN = "und"
"""The language of what declares none."""
_EMBEDS = {
    "app.bsky.embed.images": "image",
    "app.bsky.embed.video": "video",
    "app.bsky.embed.external": "external",
}
_WITH_MEDIA = "app.bsky.embed.recordWithMedia"


def report_tag(reason_type: str) -> str:
    """The tag of what was reported for a reason: `report:harassment-troll` of `...#reasonHarassmentTroll`."""
    name = reason_type.partition("#reason")[2]
    return REPORTED + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def embed_tags(record: Any) -> list[str]:
    """The tags of what a post shows. `record`: its value, as anybody may have written it."""
    embed = record.get("embed") if isinstance(record, dict) else None
    if isinstance(embed, dict) and embed.get("$type") == _WITH_MEDIA:
        embed = embed.get("media")
    kind = embed.get("$type") if isinstance(embed, dict) else None
    return [EMBED + _EMBEDS[kind]] if isinstance(kind, str) and kind in _EMBEDS else []


def lang_tags(records: Collection[Any]) -> list[str]:
    """The tags of the languages that some records declare between them; of many those of the first records."""
    said = (sorted(post.primary_subtags(record.get("langs"))) for record in records if isinstance(record, dict))
    found = list(dict.fromkeys(chain.from_iterable(said)))
    return [LANG + code for code in found[:MOST_LANGS] or [UNKNOWN]]


def tag_due(connection: Connection, now: int, limit: int) -> int:
    """Tag what is due, at most so many reports, by one event for each subject in each scope; of how many. Call inside a
    write. `now`: microseconds.
    """
    found = report_tagging.due(connection, now, limit)
    for (scope, key), reports in groupby(sorted(found, key=_where), _where):
        _tag(connection, scope, key, list(reports), now)
    return len(found)


def _where(one: Untagged) -> tuple[int, SubjectKey]:
    return one.scope, one.key


def _tag(connection: Connection, scope: int, key: SubjectKey, reports: list[Untagged], now: int) -> None:
    status = standing(connection, scope, key)
    had = frozenset(status.tags) if status else frozenset[str]()
    tags = dict.fromkeys(had)
    for one in reports:
        if not one.named:
            tags[report_tag(one.reason_type)] = None
        if not _is_known(one, now):
            again = min(now + max(AGAIN_MICROS, now - one.at), one.at + LONGEST_MICROS)
            report_tagging.wait(connection, one.id, again)
            continue
        report_tagging.drop(connection, one.id)
        tags |= dict.fromkeys(_of_subject(connection, one, tags))
    add = [tag for tag in tags if tag not in had]
    if add:
        # Of the version that stands: an older report that is tagged late does not put that of its own in its place.
        cid, said = status.cid if status else "", {"add": add, "remove": []}
        event = ModEvent(Kind.TAG, now, TAGGER, str(Acting.AUTOMATION), cid=cid, said=said)
        append(connection, scope, key, event)


def _is_account(key: SubjectKey) -> bool:
    """Whether it is an account, or what it says of itself."""
    return not key.convo and key.collection in ("", PROFILE)


def _is_known(one: Untagged, now: int) -> bool:
    """Whether all is here that its tags are made of, or will not come."""
    awaited = one.awaited and one.record is None and now < one.at + LONGEST_MICROS
    return bool(one.key.convo) or _is_account(one.key) or not awaited


def _of_subject(connection: Connection, one: Untagged, tags: Collection[str]) -> list[str]:
    """What a subject that has some tags is tagged with for what it is."""
    if one.key.convo:
        return []
    account = _is_account(one.key)
    record = decoded(one.record) if one.record is not None and not account else None
    found: list[str] = []
    if not any(tag.startswith(LANG) for tag in tags):
        last = report_tagging.last_posts(connection, one.key.did, LAST_POSTS) if account else []
        found += lang_tags([*map(decoded, last), record])
    if one.key.collection == post.NSID and not any(tag.startswith(EMBED) for tag in tags):
        found += embed_tags(record)
    return found
