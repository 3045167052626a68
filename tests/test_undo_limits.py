"""Undoing by moderators whose role is limited: what they may not do by hand they do not undo."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from communities.limits import ACCOUNT, Limits
from communities.refs import POST
from models.database import sql
from tests.didnet import Account
from tests.ozone_events import check_books, labels
from tests.ozone_site import Desk
from tests.undo_site import LABEL, REVERSE, TAG, TAKEDOWN, emit, site, undo, undone


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    """Takedowns issue `spam`."""
    with site(tmp_path) as found:
        yield found
        check_books(sql(found.place.writer.database))


def limited(place: Desk, **parts: str) -> Account:
    """Somebody new whose role is limited to one name in each of these."""
    return place.place.moderator("python", limits=Limits(**{name: frozenset([one]) for name, one in parts.items()}))


def test_the_label_of_a_takedown_is_undone_by_whose_role_covers_it(place: Desk) -> None:
    """Negated with the takedown, and issued again with what was given back."""
    town, uri = place.place, place.place.writer.post(1)
    who, other, spam = town.moderator("python"), limited(place, labels="spoiler"), limited(place, labels="spam")
    down = emit(place, who, uri, TAKEDOWN)
    assert undone(undo(town, other, event=down)) == {down: "NotPermitted"}
    assert labels(place, uri) == {("spam", ""): None}
    back = emit(place, who, uri, REVERSE)
    assert undone(undo(town, other, event=back)) == {back: "NotPermitted"} and labels(place, uri) == {}
    assert undone(undo(town, spam, event=back)) == {back: "undone"}
    assert labels(place, uri) == {("spam", ""): None}


def test_what_is_about_other_collections_is_not_there(place: Desk) -> None:
    town, uri = place.place, place.place.writer.post(1)
    who, member = town.moderator("python"), town.member("python").did
    about_posts = [
        emit(place, who, uri, TAG, add=["x"], remove=[]),
        emit(place, who, uri, "modEventMute", durationInHours=5),
    ]
    about_people = [
        emit(place, who, member, TAG, add=["x"], remove=[]),
        emit(place, who, member, "modEventMute", durationInHours=5),
        emit(place, who, member, "modEventPriorityScore", score=5),
        emit(place, who, member, LABEL, createLabelVals=["spoiler"], negateLabelVals=[]),
        emit(place, who, member, TAKEDOWN),
    ]
    posts, people = limited(place, collections=POST), limited(place, collections=ACCOUNT)
    for event in about_people:
        assert undo(town, posts, event=event).fault == (400, "EventNotFound")
    for event in about_posts:
        assert undo(town, people, event=event).fault == (400, "EventNotFound")
    for one, mine in ((posts, about_posts), (people, about_people)):
        assert undone(undo(town, one, actor=who.did, dryRun=True)) == dict.fromkeys(mine, "undone")
        assert undone(undo(town, one, actor=who.did)) == dict.fromkeys(mine, "undone")
