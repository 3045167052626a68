"""The tags that come of reports tell nobody of reports that are not theirs to see: whatever they call, the answer is to
the last byte what it was before anything was tagged.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role as Member
from communities.limits import ACCOUNT, Limits
from communities.refs import POST
from tests.civic_reports import SPAM, TROLL, report, taken
from tests.didnet import Account, plc
from tests.ozone_events import TAG, done, emit
from tests.ozone_reports import ACTIVITIES, LATEST, LIVE
from tests.ozone_reports import QUERY as REPORTS
from tests.ozone_site import Desk, unlimited
from tests.test_tagging import by_itself, tagged, tags
from tests.undo_site import undo, undone

EVENTS, STATUSES, EVENT = (f"moderation.{name}" for name in ("queryEvents", "queryStatuses", "getEvent"))
TIMELINE, STATS = "moderation.getAccountTimeline", "moderation.getReporterStats"
AUTHOR = plc(1)
DEFS = "tools.ozone.moderation.defs#"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with unlimited(tmp_path) as found:
        yield found


def limited(place: Desk, slug: str = "python", **parts: set[str]) -> Account:
    """Somebody new who moderates there, limited to this."""
    who = place.place.person()
    limits = Limits(**{name: frozenset(names) for name, names in parts.items()})
    place.place.put(slug, who, role=Member.MODERATOR, limits=limits)
    return who


def answers(place: Desk, who: Account, uri: str) -> list[tuple[int, bytes]]:
    """All that somebody can call in which an event could show."""
    calls: list[tuple[str, dict[str, Any]]] = [
        *((EVENTS, more) for more in (
            {}, {"limit": 1}, {"sortDirection": "asc", "limit": 2}, {"types": [DEFS + TAG]}, {"modTool": ["tagger"]},
            {"subject": uri}, {"subject": AUTHOR, "includeAllUserRecords": True}, {"addedTags": ["report:spam"]},
            {"addedTags": ["lang:de"]}, {"createdBy": AUTHOR}, {"createdBy": plc(900)}, {"collections": [POST]},
        )),
        *((STATUSES, more) for more in ({}, {"subject": uri}, {"tags": ["report:spam"]}, {"tags": ["lang:de"]})),
        *((EVENT, {"id": number}) for number in range(1, 12)),
        (TIMELINE, {"did": AUTHOR}), (STATS, {"dids": [AUTHOR]}), (REPORTS, {"status": "open"}), (LATEST, {}),
        (ACTIVITIES, {}), (LIVE, {}),
    ]  # fmt: skip
    found = [place.ask(method, who, **params) for method, params in calls]
    selections: list[dict[str, Any]] = [
        {"actor": "tagger"}, {"actor": "tagger", "limit": 1}, {"actor": who.did}, {"rule": "rule:tagger"},
        *({"event": number} for number in range(1, 12)),
    ]  # fmt: skip
    found += [undo(place.place, who, dryRun=True, **one) for one in selections]
    return [(reply.status, reply.body) for reply in found]


@pytest.mark.parametrize(
    ("slug", "parts"),
    [
        ("python", {"reasons": {SPAM}}),
        ("python", {"reasons": {SPAM}, "collections": {POST}}),
        ("python", {"reasons": set[str]()}),
        ("python", {"reasons": {"", "tagger"}}),
        ("python", {"collections": {ACCOUNT}}),
        ("rust", {}),
    ],
    ids=str,
)
def test_to_whom_not_all_reports_are_shown_no_answer_is_another(
    place: Desk, slug: str, parts: dict[str, set[str]]
) -> None:
    town, who, every = place.place, limited(place, slug, **parts), limited(place)
    uri, quiet = town.writer.post(1), town.writer.post(1)
    taken(report(town, town.person(), quiet, TROLL))
    taken(report(town, town.person(), uri, SPAM))
    taken(report(town, town.person(), uri, TROLL))
    before, of_every = answers(place, who, uri), answers(place, every, uri)
    assert tagged(place) == 3 and len(by_itself(place)) == 2
    assert answers(place, who, uri) == before
    changed = [old != new for old, new in zip(of_every, answers(place, every, uri), strict=True)]
    assert sum(changed) > 10, "who sees all reports sees the tags"


def test_to_whom_all_reports_of_posts_are_shown_the_tags_are(place: Desk) -> None:
    town, who, uri = place.place, limited(place, collections={POST}), place.place.writer.post(1)
    taken(report(town, town.person(), uri, TROLL))
    tagged(place)
    (event,) = place.ask(EVENTS, who, types=[DEFS + TAG]).json["events"]
    assert event["event"]["add"] == ["report:harassment-troll", "lang:de"]
    (status,) = place.ask(STATUSES, who).json["subjectStatuses"]
    assert "report:harassment-troll" in status["tags"]


def test_a_subject_that_is_known_by_its_tags_alone_is_not_there(place: Desk) -> None:
    """Nothing can be emitted about it, as about what was never reported."""
    town, who = place.place, limited(place, reasons={SPAM})
    member = town.member("python")
    taken(report(town, town.person(), member.did, TROLL))
    town.writer.sql("DELETE FROM membership WHERE actor = (SELECT id FROM actor WHERE did = ?)", member.did)
    unknown = emit(place, who, plc(3), TAG)
    assert unknown.status == 400 and tagged(place) == 2
    assert emit(place, who, member.did, TAG).body == unknown.body


@pytest.mark.parametrize("first", [True, False], ids=["tagged before", "tagged between"])
@pytest.mark.parametrize("reported", [True, False])
def test_undoing_does_not_tell_whether_such_a_tag_was_there(place: Desk, reported: bool, first: bool) -> None:
    town, who, uri = place.place, limited(place, reasons={SPAM}), place.place.writer.post(1)
    taken(report(town, town.person(), uri, SPAM))
    if reported:
        taken(report(town, town.person(), uri, TROLL))
    if first:
        tagged(place)
    add, remove = (
        done(emit(place, who, uri, TAG, add=[tag], remove=[other]))["id"]
        for tag, other in (("report:harassment-troll", "seen"), ("mine", "report:harassment-troll"))
    )
    tagged(place)
    assert undone(undo(town, who, event=remove)) == {remove: "undone"}
    assert undone(undo(town, who, event=add)) == {add: "NoChange"}
    assert "mine" not in tags(place, uri)


def test_undoing_leaves_what_came_by_itself_and_brings_back_the_rest(place: Desk) -> None:
    town, who, uri = place.place, limited(place), place.place.writer.post(1)
    taken(report(town, town.person(), uri))
    tagged(place)
    (event,) = town.writer.sql("SELECT id FROM mod_event WHERE actor = 'tagger'")[0]
    for said in ({"event": event}, {"event": 999}):
        assert undo(town, who, **said).fault == (400, "EventNotFound")
    assert undone(undo(town, who, actor="tagger")) == {}
    number = done(emit(place, who, uri, TAG, add=["wave"], remove=["lang:de"]))["id"]
    only = done(emit(place, who, uri, TAG, add=["lang:en"], remove=[]))["id"]
    assert undone(undo(town, who, event=only)) == {only: "NothingToUndo"}
    assert undone(undo(town, who, event=number)) == {number: "undone"}
    assert tags(place, uri) == ["lang:en", "report:spam"]
