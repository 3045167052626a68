"""Labels and takedowns that take two people, and posts that a tag takes out of a feed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role as Member
from communities.access import Scope
from communities.limits import Limits
from labeler.second import HOURS
from ozone.roles import Role
from service.ending import end_once
from tests.civic_reports import about
from tests.civic_site import Town
from tests.feed_site import Reply
from tests.label_scene import LABELER
from tests.ozone_site import Desk, desk

SECOND = "needs-second:"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """`spam` and takedowns, which issue `spoiler`, take two people."""
    monkeypatch.setattr("service.ending.LOOK_SECONDS", 1e6)
    monkeypatch.setattr("tests.ozone_site.LABELS", two_person())
    with desk(tmp_path) as found:
        yield found


def two_person() -> str:
    from tests.label_scene import LABELS

    text = LABELS.replace('value = "spam"', 'value = "spam"\ntwo_person = true')
    return text.replace('system = ["!warn"]', 'system = ["!warn"]\ntwo_person = true\ntakedown = "spoiler"')


def emit(place: Desk, who: Any, what: str, kind: str, **said: Any) -> Reply:
    event = {"$type": f"tools.ozone.moderation.defs#{kind}", **said}
    body = {"event": event, "subject": about(place.place, what), "createdBy": who.did}
    return place.act("moderation.emitEvent", who, body)


def label(place: Desk, who: Any, uri: str, *add: str, remove: tuple[str, ...] = ()) -> Reply:
    return emit(place, who, uri, "modEventLabel", createLabelVals=list(add), negateLabelVals=list(remove))


def decide_about(town: Town, who: Any, action: str, uri: str) -> Reply:
    return town.act("decide", who, {"community": "python", "action": action, "subject": about(town, uri)})


def tags(place: Desk, uri: str) -> list[str]:
    view = place.ask("moderation.getSubjects", place.staff(), subjects=[uri]).json["subjects"][0]
    return [tag for tag in view.get("status", {}).get("tags", ()) if not tag.startswith("community:")]


def labels(place: Desk, uri: str) -> set[str]:
    """What holds, also if it is only about to be published."""
    rows = place.place.writer.sql("SELECT val FROM label_outbox WHERE uri = ? AND neg = 0", uri)
    rows += place.place.writer.sql("SELECT val FROM label WHERE uri = ? AND neg = 0", uri)
    return {val for (val,) in rows}


def test_a_label_is_issued_when_the_second_wants_it(place: Desk) -> None:
    uri, one, two = place.place.writer.post(1), place.place.moderator("python"), place.place.moderator("python")
    asked = label(place, one, uri, "spam")
    assert asked.status == 200 and asked.json["event"] == {
        "$type": "tools.ozone.moderation.defs#modEventTag",
        "add": [SECOND + "spam"],
        "remove": [],
        "durationInHours": HOURS,
    }
    assert labels(place, uri) == set() and tags(place, uri) == [SECOND + "spam"]
    assert label(place, one, uri, "spam").fault == (400, "SecondNeeded"), "nobody is their own second"
    done = label(place, two, uri, "spam")
    assert done.status == 200 and done.json["event"]["createLabelVals"] == ["spam"]
    assert labels(place, uri) == {"spam"} and tags(place, uri) == []
    assert label(place, one, uri, "spam").status == 200, "what holds already needs nobody more"
    assert tags(place, uri) == []


def test_what_two_wanted_for_an_hour_one_does_not_make_last(place: Desk) -> None:
    """Nor for all versions; to let it end earlier takes one."""
    town = place.place
    uri, one, two = town.writer.post(1), town.moderator("python"), town.moderator("python")
    said = {"createLabelVals": ["spam"], "negateLabelVals": []}
    for who in (one, two):
        assert emit(place, who, uri, "modEventLabel", durationInHours=2, **said).status == 200
    ends = "SELECT exp FROM label_outbox WHERE uri = ? AND neg = 0"
    (first,) = town.writer.sql(ends, uri)
    asked = emit(place, one, uri, "modEventLabel", durationInHours=3, **said)
    assert asked.json["event"]["add"] == [SECOND + "spam:3h"]
    assert emit(place, one, uri, "modEventLabel", durationInHours=3, **said).fault == (400, "SecondNeeded")
    assert emit(place, one, uri, "modEventLabel", **said).json["event"]["add"] == [SECOND + "spam"]
    assert town.writer.sql(ends, uri) == [first]
    subject = about(town, uri)
    wish = {"community": "python", "subject": subject, "add": ["spam"], "labeler": LABELER}
    assert town.act("label", two, wish).status == 200
    assert town.writer.sql(ends, uri) == [(None,)], "now two want it"
    assert emit(place, one, uri, "modEventLabel", durationInHours=1, **said).status == 200
    ((last,),) = town.writer.sql(ends, uri)
    assert last is not None and last < first[0]


@pytest.mark.parametrize(
    ("first", "other", "does"),
    [(None, None, True), (None, 24, True), (24, 24, True), (24, 1, True), (24, 25, False), (24, None, False)],
)
@pytest.mark.parametrize("kind", ["modEventLabel", "modEventTakedown"])
def test_two_do_no_more_than_both_have_asked_for(
    place: Desk, kind: str, first: int | None, other: int | None, *, does: bool
) -> None:
    town = place.place
    uri, one, two = town.writer.post(1), town.moderator("python"), town.moderator("python")
    said = {"createLabelVals": ["spam"], "negateLabelVals": []} if kind == "modEventLabel" else {}

    def ask(who: Any, hours: int | None) -> Reply:
        return emit(place, who, uri, kind, **said, **({} if hours is None else {"durationInHours": hours}))

    name = SECOND + ("spam" if said else "takedown")
    wished = name + (f":{first}h" if first else "")
    assert ask(one, first).json["event"]["add"] == [wished] and tags(place, uri) == [wished]
    answer = ask(two, other).json["event"]
    assert (answer["$type"].endswith(kind), bool(labels(place, uri))) == (does, does)
    if does:
        assert tags(place, uri) == []
    else:
        assert set(tags(place, uri)) == {wished, name + (f":{other}h" if other else "")}
        assert ask(one, other).json["event"]["$type"].endswith(kind) and labels(place, uri)
        assert tags(place, uri) == [], "what waited is no more to be waited for"


def test_who_has_seen_one_version_has_not_asked_for_another(place: Desk) -> None:
    town = place.place
    uri = town.writer.post(1, rkey="one")
    one, two, three = (town.moderator("python") for _ in range(3))
    assert label(place, one, uri, "spam").json["event"]["add"] == [SECOND + "spam"]
    town.writer.post(1, rkey="one", text="edited")
    assert label(place, two, uri, "spam").json["event"]["add"] == [SECOND + "spam"]
    assert labels(place, uri) == set()
    assert label(place, two, uri, "spam").fault == (400, "SecondNeeded")
    assert label(place, three, uri, "spam").json["event"]["$type"].endswith("modEventLabel")
    assert labels(place, uri) == {"spam"} and tags(place, uri) == []


def test_others_go_at_once_and_taking_back_takes_one(place: Desk) -> None:
    uri, one = place.place.writer.post(1), place.place.moderator("python")
    done = label(place, one, uri, "spam", "spoiler")
    assert done.json["event"]["createLabelVals"] == ["spoiler"]
    assert labels(place, uri) == {"spoiler"} and tags(place, uri) == [SECOND + "spam"]
    assert label(place, place.place.moderator("python"), uri, "spam").status == 200
    assert label(place, one, uri, remove=("spam", "spoiler")).status == 200
    assert labels(place, uri) == set()


def test_the_same_by_the_method_of_communities(place: Desk) -> None:
    town = place.place
    uri, one, two = town.writer.post(1), town.moderator("python"), town.moderator("python")

    def call(who: Any) -> Reply:
        subject = about(town, uri)
        return town.act("label", who, {"community": "python", "subject": subject, "add": ["spam"], "labeler": LABELER})

    assert call(one).json == {"waiting": ["spam"]} and labels(place, uri) == set()
    assert call(one).fault == (400, "NoChange")
    assert label(place, two, uri, "spam").status == 200 and labels(place, uri) == {"spam"}


def test_nobody_is_a_second_by_a_tag_and_a_wish_ends(place: Desk) -> None:
    town = place.place
    uri, one, two = town.writer.post(1), town.moderator("python"), town.moderator("python")
    forged = emit(place, two, uri, "modEventTag", add=[SECOND + "spam"], remove=[])
    assert forged.fault == (400, "InvalidRequest")
    assert label(place, one, uri, "spam").status == 200
    assert emit(place, two, uri, "modEventTag", add=[], remove=[SECOND + "spam"]).status == 200
    assert label(place, two, uri, "spam").json["event"]["$type"].endswith("modEventTag"), "it is the first again"
    town.clock.now += HOURS * 3600
    assert end_once(town.writer.database, town.clock.micros()) == 1 and tags(place, uri) == []
    assert label(place, one, uri, "spam").json["event"]["$type"].endswith("modEventTag")
    assert labels(place, uri) == set()


def test_a_takedown_takes_two(place: Desk) -> None:
    town = place.place
    uri, one, two = town.writer.post(1), place.member(Role.MODERATOR), place.member(Role.MODERATOR)
    asked = emit(place, one, uri, "modEventTakedown")
    assert asked.json["event"]["add"] == [SECOND + "takedown"] and town.writer.sql("SELECT hidden FROM feed_item") == [
        (0,)
    ]
    assert emit(place, one, uri, "modEventTakedown").fault == (400, "SecondNeeded")
    assert emit(place, two, uri, "modEventTakedown").json["event"]["$type"].endswith("modEventTakedown")
    assert town.writer.sql("SELECT hidden FROM feed_item") == [(16,)] and tags(place, uri) == []
    assert emit(place, one, uri, "modEventReverseTakedown").status == 200


def test_only_who_could_do_it_alone_is_one_of_two(place: Desk) -> None:
    """Nobody asks for a ban who may not ban, for one of an admin, nor for a label that the role does not cover."""
    town = place.place
    uri, member, admin = town.writer.post(1), town.member("python"), town.admin("python")
    posts = town.moderator("python", scope=frozenset((Scope.POSTS,)))
    assert emit(place, posts, member.did, "modEventTakedown").fault == (403, "NotPermitted")
    assert emit(place, town.moderator("python"), admin.did, "modEventTakedown").fault == (400, "InvalidRequest")
    unlabelled = town.moderator("python", limits=Limits(labels=frozenset(("spam",))))
    assert emit(place, unlabelled, uri, "modEventTakedown").fault == (403, "NotPermitted")
    for what in (member.did, admin.did, uri):
        assert tags(place, what) == [] and labels(place, what) == set()
    assert town.writer.sql("SELECT count(*) FROM mod_event") == [(0,)]
    assert emit(place, posts, uri, "modEventTakedown").status == 200
    assert emit(place, town.moderator("python"), uri, "modEventTakedown").status == 200
    assert labels(place, uri) == {"spoiler"}


@pytest.mark.parametrize("lost", ["role", "label", "collection"])
def test_who_may_not_any_more_is_not_one_of_two(place: Desk, lost: str) -> None:
    """S139: of a role that was taken away nothing is left, not even what it has asked for."""
    town = place.place
    uri, one, two, three = town.writer.post(1), *(town.moderator("python") for _ in range(3))
    assert label(place, one, uri, "spam").json["event"]["add"] == [SECOND + "spam"]
    limits = {"label": Limits(labels=frozenset(("spoiler",))), "collection": Limits(collections=frozenset(("x.y.z",)))}
    if lost == "role":
        town.put("python", one)
    else:
        town.put("python", one, role=Member.MODERATOR, limits=limits[lost])
    assert label(place, two, uri, "spam").json["event"]["add"] == [SECOND + "spam"]
    assert labels(place, uri) == set()
    assert label(place, three, uri, "spam").json["event"]["$type"].endswith("modEventLabel")
    assert labels(place, uri) == {"spam"} and tags(place, uri) == []


@pytest.mark.parametrize("door", ["label", "emitEvent"])
def test_who_has_left_the_team_is_not_one_of_two_by_either_door(place: Desk, door: str) -> None:
    town = place.place
    one, two = place.member(Role.MODERATOR), town.moderator("python")
    for uri, stays in ((town.writer.post(1), True), (town.writer.post(1), False)):
        event = {
            "$type": "tools.ozone.moderation.defs#modEventLabel",
            "createLabelVals": ["spam"],
            "negateLabelVals": [],
        }
        body = {"event": event, "subject": about(town, uri), "createdBy": one.did}
        tool = {"modTool": {"name": "desk", "meta": {"community": "python"}}}
        assert place.act("moderation.emitEvent", one, body | tool).status == 200
        if not stays:
            assert place.act("team.updateMember", place.staff(), {"did": one.did, "disabled": True}).status == 200
        if door == "label":
            wish = {"community": "python", "subject": about(town, uri), "add": ["spam"], "labeler": LABELER}
            assert town.act("label", two, wish).status == 200
        else:
            assert label(place, two, uri, "spam").status == 200
        assert labels(place, uri) == ({"spam"} if stays else set())


def test_a_tag_takes_a_post_out_of_a_feed_and_labels_nothing(place: Desk) -> None:
    town = place.place
    uri, who, tag = town.writer.post(1), town.moderator("python"), "feed-removed:python"
    assert emit(place, who, uri, "modEventTag", add=[tag], remove=[]).status == 200
    assert town.writer.sql("SELECT hidden FROM feed_item") == [(4,)] and labels(place, uri) == set()
    assert tags(place, uri) == [tag]
    assert town.writer.sql("SELECT takendown, state FROM subject_status") == [(0, 0)]
    assert emit(place, who, uri, "modEventTag", add=[], remove=[tag]).status == 200
    assert town.writer.sql("SELECT hidden FROM feed_item") == [(0,)] and tags(place, uri) == []
    # Let in again by another door, it has the tag no more.
    assert emit(place, who, uri, "modEventTag", add=[tag], remove=[]).status == 200
    assert decide_about(town, who, "restore", uri).status == 200 and tags(place, uri) == []
    assert town.writer.sql("SELECT action FROM decision ORDER BY seq") == [("remove",), ("restore",)] * 2


@pytest.mark.parametrize("tag", ["feed-removed:rust", "feed-removed:nowhere", "feed-removed:"])
def test_a_tag_takes_no_post_out_of_another_feed(place: Desk, tag: str) -> None:
    uri, who = place.place.writer.post(1), place.place.moderator("python")
    assert emit(place, who, uri, "modEventTag", add=[tag], remove=[]).fault == (400, "InvalidRequest")
    assert emit(place, who, uri, "modEventTag", add=["feed-removed:python", "x"], remove=[]).status == 400
    triage = place.member(Role.TRIAGE)
    assert emit(place, triage, uri, "modEventTag", add=["feed-removed:python"], remove=[]).status == 401
    assert place.place.writer.sql("SELECT hidden FROM feed_item") == [(0,)]


def test_tags_that_say_what_is_so_are_not_set_by_anybody(place: Desk) -> None:
    town = place.place
    uri, triage, who = town.writer.post(1), place.member(Role.TRIAGE), town.moderator("python")
    assert emit(place, who, uri, "modEventTag", add=["pinned"], remove=[]).fault == (400, "InvalidRequest")
    assert emit(place, triage, uri, "modEventTag", add=["withheld"], remove=[]).status == 401
    assert emit(place, who, uri, "modEventTag", add=["withheld"], remove=[]).status == 200
    assert emit(place, triage, uri, "modEventTag", add=[], remove=["withheld"]).status == 401
