"""What single events of moderation have done to a subject, and which of that is still so because of them. Pure.

What an event has done are its effects: the subject is taken down or not, muted or not, has one tag or not, and so on;
labels are followed in their own list (`labeler.label_undo`). An effect is in force as long as nothing else was decided
of it since; what was decided and undone again does not count.
"""

from collections.abc import Sequence, Set
from typing import NamedTuple

from communities.deeds import EMBED, FORWARD, FORWARD_FAILED, FORWARDED, LANG, REMOVED, REPORTED
from communities.mod_event import Kind, ModEvent
from communities.review import Status, fold

DOWN, MUTE, REPORTER, COMMENT, PRIORITY, TAG = "down", "mute", "reporter", "comment", "priority", "tag:"
_SINGLE = {
    Kind.TAKEDOWN: DOWN,
    Kind.REVERSE_TAKEDOWN: DOWN,
    Kind.MUTE: MUTE,
    Kind.UNMUTE: MUTE,
    Kind.MUTE_REPORTER: REPORTER,
    Kind.UNMUTE_REPORTER: REPORTER,
    Kind.PRIORITY_SCORE: PRIORITY,
}


class Past(NamedTuple):
    """An event of a subject in a scope, with its number."""

    id: int
    event: ModEvent


def effects(event: ModEvent) -> tuple[str, ...]:
    """What an event may have changed that can be undone. None: somebody has looked, written or answered."""
    if event.kind is Kind.TAG:
        tags = (*event.said["add"], *event.said["remove"])
        if any(tag.startswith(REMOVED) for tag in tags):
            # Such a tag says what was decided; without a decision it only follows another event.
            return (DOWN,) if event.decision is not None else ()
        if any(tag.startswith((FORWARD, FORWARDED, FORWARD_FAILED)) for tag in tags):
            # What was sent stays sent, and what was taken back is asked for anew; what only waits is taken back.
            return tuple(TAG + tag for tag in event.said["add"] if tag.startswith(FORWARD))
        # Whether one was there before that comes by itself would tell of reports that not everybody sees.
        return tuple(TAG + tag for tag in tags if not tag.startswith((REPORTED, LANG, EMBED)))
    if event.kind is Kind.COMMENT:
        return (COMMENT,) if event.said.get("sticky") else ()
    single = _SINGLE.get(event.kind)
    return () if single is None else (single,)


def value(status: Status, effect: str) -> object:
    """How an effect stands; None: not at all."""
    if effect.startswith(TAG):
        tag = effect.removeprefix(TAG)
        return (status.tags[tag],) if tag in status.tags else None
    return {
        MUTE: status.mute_until,
        REPORTER: status.mute_reporting_until,
        COMMENT: status.comment,
        PRIORITY: status.priority,
    }.get(effect)


def before(past: Sequence[Past], number: int, touched: Set[str]) -> Status:
    """How some effects stood before an event."""
    status = Status()
    for one in past:
        if one.id >= number:
            break
        if _matters(one.event, touched):
            status = fold(status, one.event)
    return status


def _matters(event: ModEvent, touched: Set[str]) -> bool:
    """Whether an event has to do with any of some effects, also by only following what has."""
    if not touched.isdisjoint(effects(event)):
        return True
    return DOWN in touched and event.kind is Kind.TAG and any(tag.startswith(REMOVED) for tag in event.said["remove"])


def in_force(past: Sequence[Past], number: int, effect: str) -> bool:
    """Whether an effect is so because of the event with that number."""
    mine = next(one.event.actor for one in past if one.id == number)
    line: list[tuple[int, int | None]] = []
    status = Status()
    for id, event in past:
        # What a moderator of the community approves is let in, whatever was decided before.
        approval = effect == DOWN and event.kind is Kind.ACKNOWLEDGE and event.decision is not None
        touches = approval or effect in effects(event)
        if not touches:
            continue
        after = fold(status, event)
        # To say once more what is so already is a decision of others, but none of one's own.
        said_again = effect != DOWN and event.actor == mine and value(after, effect) == value(status, effect)
        if id == number or not said_again:
            line.append((id, event.undoes))
        status = after
    return stands(line, number)


def stands(line: Sequence[tuple[int, int | None]], number: int) -> bool:
    """Whether an event is the last one of a line (numbers, each with that of what it undoes) in which what was undone
    since, and what has undone that, do not count.
    """
    skipped: set[int] = set()
    for id, undoes in reversed(line):
        if id == number:
            return True
        if id in skipped:
            continue
        if undoes is None or undoes <= number:
            return False
        skipped.add(undoes)
    return False


def kept_tags(now: Status, wanted: Status, tags: Set[str], at: int) -> tuple[dict[str, int | None], list[str]]:
    """What is to be added, each with its end, and removed, so that `tags` are as in `wanted`. `at`: microseconds."""
    add: dict[str, int | None] = {}
    remove: list[str] = []
    for tag in sorted(tags):
        until = wanted.tags.get(tag)
        if tag in wanted.tags and (until is None or until > at):
            if tag not in now.tags or now.tags[tag] != until:
                add[tag] = until
        elif tag in now.tags:
            remove.append(tag)
    return add, remove
