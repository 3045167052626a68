"""What undoing makes of each kind of event: labels, posts that waited, pins, what was given back, tags, scores."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from communities.community import Include
from tests.civic_posts import decide, hidden
from tests.didnet import plc
from tests.ozone_site import Desk
from tests.undo_site import LABEL, REVERSE, TAG, TAKEDOWN, emit, site, state, undo, undone


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with site(tmp_path) as found:
        yield found


def test_what_was_negated_is_issued_again_only_if_nobody_said_anything_since(place: Desk) -> None:
    town = place.place
    who, uri, other = town.moderator("python"), town.writer.post(1), town.writer.post(1)
    for one in (uri, other):
        emit(place, who, one, LABEL, createLabelVals=["spoiler"], negateLabelVals=[], durationInHours=10)
    before = state(place)["labels"]
    first = emit(place, who, uri, LABEL, createLabelVals=[], negateLabelVals=["spoiler"], batch="b")
    second = emit(place, who, other, LABEL, createLabelVals=[], negateLabelVals=["spoiler"], batch="b")
    assert state(place)["labels"] == []
    emit(place, who, other, LABEL, createLabelVals=["spoiler"], negateLabelVals=[])
    assert undone(undo(town, who, batch="b")) == {second: "DecidedSince", first: "undone"}
    found = state(place)["labels"]
    assert [one for one in found if one[0] == uri] == [one for one in before if one[0] == uri], "with the same end"


def test_a_takedown_label_goes_from_every_version(place: Desk) -> None:
    town = place.place
    who, uri = town.moderator("python"), town.writer.post(1, rkey="one")
    number = emit(place, who, uri, TAKEDOWN)
    town.writer.post(1, rkey="one", langs=("en",))
    emit(place, place.staff(), uri, TAKEDOWN)
    assert undone(undo(town, who, event=number)) == {number: "undone"}
    assert [label[1] for label in state(place)["labels"]] == [""], "the site has it taken down, in every version"
    emit(place, place.staff(), uri, REVERSE)
    assert state(place)["labels"] == []


def test_a_post_waits_again_that_waited_and_a_version_that_nobody_let_in(place: Desk) -> None:
    town = place.place
    town.found("birds", posting="approval", include=Include(hashtags=("birds",)))
    town.put("birds", plc(5))
    town.writer.compile()
    waiting, approved = (town.writer.post(5, tags=["birds"], rkey=rkey) for rkey in ("waiting", "approved"))
    who, again = town.moderator("birds"), town.moderator("birds")
    assert decide(town, who, "birds", "approve", approved).status == 200
    assert (hidden(town, "birds", waiting), hidden(town, "birds", approved)) == (2, 0)
    before = state(place)
    for uri in (waiting, approved):
        assert decide(town, again, "birds", "remove", uri).status == 200
    assert set(undone(undo(town, who, "birds", actor=again.did)).values()) == {"undone"}
    assert state(place) == before
    assert decide(town, again, "birds", "remove", approved).status == 200
    town.writer.post(5, tags=["birds"], rkey="approved", langs=["en"])
    assert hidden(town, "birds", approved) == 4
    undo(town, who, "birds", actor=again.did)
    assert hidden(town, "birds", approved) == 2


def test_what_its_author_keeps_out_does_not_come_back(place: Desk) -> None:
    town = place.place
    who, uri = town.moderator("python"), town.writer.post(1)
    number = emit(place, who, uri, TAKEDOWN, batch="b")
    town.writer.sql("DELETE FROM feed_item")
    town.writer.sql("DELETE FROM post")
    assert undone(undo(town, who, batch="b")) == {number: "undone"}
    assert state(place)["hidden"] == [] and state(place)["decided"] == []


def test_pins_and_approvals(place: Desk) -> None:
    town = place.place
    who, first, second = town.moderator("python"), town.writer.post(1), town.writer.post(1)
    assert decide(town, who, "python", "pin", first).status == 200
    pinned = town.writer.sql("SELECT community, actor, rkey FROM pin")
    other = town.moderator("python")
    assert decide(town, other, "python", "unpin", first).status == 200
    assert decide(town, other, "python", "pin", second).status == 200
    assert decide(town, other, "python", "approve", second).status == 200
    assert sorted(undone(undo(town, who, actor=other.did)).values()) == ["NothingToUndo", "undone", "undone"]
    assert town.writer.sql("SELECT community, actor, rkey FROM pin") == pinned


def test_what_was_given_back_is_taken_down_again(place: Desk) -> None:
    town = place.place
    who, rogue, uri, member = (
        town.moderator("python"),
        town.moderator("python"),
        town.writer.post(1),
        town.member("python"),
    )
    emit(place, who, uri, TAKEDOWN)
    emit(place, who, member.did, TAKEDOWN, durationInHours=48)
    before = state(place)
    for what in (uri, member.did):
        emit(place, rogue, what, REVERSE)
    assert state(place)["hidden"][0][-1] == 0 and state(place)["labels"] == []
    assert set(undone(undo(town, who, actor=rogue.did)).values()) == {"undone"}
    after = state(place)
    assert after == before


def test_the_tag_that_takes_a_post_out_of_a_feed(place: Desk) -> None:
    town = place.place
    who, uri = town.moderator("python"), town.writer.post(1)
    before = state(place)
    number = emit(place, who, uri, TAG, add=["feed-removed:python"], remove=[])
    assert hidden(town, "python", uri) == 4
    assert undone(undo(town, who, event=number)) == {number: "undone"}
    assert state(place) == before


def test_scores_sticky_comments_strikes_and_mutes_of_reporters(place: Desk) -> None:
    town = place.place
    who, other, uri = town.moderator("python"), town.moderator("python"), town.writer.post(1)
    author = uri.split("/")[2]
    emit(place, who, uri, "modEventPriorityScore", score=10)
    emit(place, who, uri, "modEventComment", comment="mind him", sticky=True)
    emit(place, who, author, "modEventMuteReporter", durationInHours=5)
    before = state(place)
    emit(place, other, uri, "modEventPriorityScore", score=90)
    emit(place, other, uri, "modEventComment", comment="never mind", sticky=True)
    emit(place, other, uri, "modEventComment", comment="just so")
    emit(place, other, author, "modEventMuteReporter", durationInHours=500)
    emit(place, other, uri, TAKEDOWN, strikeCount=3)
    assert sorted(undone(undo(town, who, actor=other.did)).values()) == ["NothingToUndo", *["undone"] * 4]
    assert state(place) == before
    assert town.writer.sql("SELECT sum(count) FROM strike") == [(0,)]
