"""Labels that moderators issue by events; and the one that a takedown issues, if the labeler declares one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from communities.access import Role as Member
from communities.endings import SCHEDULE
from communities.mod_event import HOUR
from models.database import sql
from ozone.roles import Role
from service.ending import end_once
from tests.civic_posts import a_cid, decide, version
from tests.civic_posts import done as decided
from tests.civic_reports import APPEAL, about, report, taken
from tests.didnet import plc
from tests.label_scene import LABELER, LABELS, OTHER, SECOND
from tests.ozone_events import (
    LABEL,
    REVERSE,
    TAKEDOWN,
    check_books,
    done,
    down,
    emit,
    events,
    hidden,
    labels,
)
from tests.ozone_site import Desk, desk, unlimited

AUTHOR = plc(1)
BOTH = ("python", "rust")
PREFIXED = """
[[labeler.label]]
value = "python-offtopic"
severity = "inform"
blurs = "none"
locales.en = {name = "Off topic", description = "Not about it."}
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with unlimited(tmp_path) as found:
        yield found
        check_books(sql(found.place.writer.database))


@pytest.fixture
def taking(tmp_path: Path) -> Iterator[Desk]:
    """The site, where takedowns of the first labeler issue `spam`."""
    path = tmp_path / "other.toml"
    path.write_text(
        LABELS.replace("system =", 'takedown = "spam"\nsystem =', 1) + PREFIXED + SECOND.replace('"birds"', '"rust"')
    )
    with desk(tmp_path, labels=str(path)) as found:
        yield found
        check_books(sql(found.place.writer.database))


def test_created_and_negated(place: Desk) -> None:
    who, uri = place.member(Role.MODERATOR), place.place.writer.post(1)
    cid = version(place.place, uri)
    done(emit(place, who, uri, LABEL, createLabelVals=["spam", "spoiler", "spam"], negateLabelVals=[]))
    assert labels(place, uri) == {("spam", cid): None, ("spoiler", cid): None}
    done(emit(place, who, uri, LABEL, createLabelVals=[], negateLabelVals=["spam"], cid=a_cid("another version")))
    assert labels(place, uri) == {("spoiler", cid): None}, "negated for every version"
    done(emit(place, who, AUTHOR, LABEL))
    assert labels(place, AUTHOR) == {("spam", ""): None}


def test_what_holds_is_no_label_again_and_an_event_again(place: Desk) -> None:
    who, uri = place.member(Role.MODERATOR), place.place.writer.post(1)
    for _ in range(3):
        told = done(emit(place, who, uri, LABEL))
        assert told["event"]["createLabelVals"] == ["spam"]
    assert len(place.rows("label_event")) == 1 and len(events(place, uri)) == 3
    done(emit(place, who, uri, LABEL, createLabelVals=[], negateLabelVals=["spoiler"]))
    assert len(place.rows("label_event")) == 1
    assert place.place.writer.sql("SELECT label_event FROM mod_event ORDER BY id") == [(1,), (None,), (None,), (None,)]


def test_a_label_ends_and_another_end_is_another_label(place: Desk) -> None:
    who, uri = place.member(Role.MODERATOR), place.place.writer.post(1)
    now = place.place.clock.micros() // 1000
    done(emit(place, who, uri, LABEL, durationInHours=2))
    assert list(labels(place, uri).values()) == [now + 2 * HOUR // 1000]
    done(emit(place, who, uri, LABEL))
    assert list(labels(place, uri).values()) == [None]
    rows = place.place.writer.sql("SELECT until FROM mod_event ORDER BY id")
    assert rows == [((now + 2 * HOUR // 1000) * 1000,), (None,)]


def test_what_every_app_obeys_is_for_admins(place: Desk) -> None:
    uri = place.place.writer.post(1)
    warn = {"createLabelVals": ["!warn"], "negateLabelVals": []}
    assert emit(place, place.member(Role.MODERATOR), uri, LABEL, **warn).fault == (401, "AuthenticationRequired")
    assert emit(place, place.place.moderator("python"), uri, LABEL, **warn).fault == (403, "NotPermitted")
    done(emit(place, place.member(Role.ADMIN), uri, LABEL, **warn))
    hide = {"createLabelVals": ["!takedown"], "negateLabelVals": []}
    assert emit(place, place.staff(), uri, LABEL, **hide).fault == (400, "InvalidRequest")


def test_labels_belong_to_the_community_that_issued_them(place: Desk) -> None:
    town, uri = place.place, place.place.writer.post(1, tags=BOTH)
    python, rust = town.moderator("python"), town.moderator("rust")
    done(emit(place, python, uri, LABEL))
    gone = {"createLabelVals": [], "negateLabelVals": ["spam"]}
    assert emit(place, rust, uri, LABEL, **gone).fault == (403, "NotPermitted")
    assert emit(place, rust, uri, LABEL, durationInHours=1).fault == (403, "NotPermitted"), "nor ended"
    done(emit(place, python, uri, LABEL, **gone))
    done(emit(place, place.staff(), uri, LABEL))
    assert emit(place, python, uri, LABEL, **gone).fault == (403, "NotPermitted"), "it is the site's"
    assert place.place.writer.sql("SELECT community FROM label_event ORDER BY id") == [
        (town.id("python"),), (town.id("python"),), (0,),
    ]  # fmt: skip
    assert hidden(place, uri) == dict.fromkeys(BOTH, 0)


def test_a_prefix_says_for_which_community(taking: Desk) -> None:
    town, uri = taking.place, taking.place.writer.post(1, tags=BOTH)
    of_both = town.moderator("python")
    town.put("rust", of_both, role=Member.MODERATOR)
    one = {"createLabelVals": ["python-offtopic"], "negateLabelVals": []}
    for who in (of_both, taking.member(Role.MODERATOR)):
        done(emit(taking, who, uri, LABEL, **one))
    assert {event.scope for event in events(taking, uri)} == {"python"}
    mixed = town.writer.post(1, tags=BOTH)
    done(emit(taking, of_both, mixed, LABEL, createLabelVals=["python-offtopic", "spoiler"], negateLabelVals=[]))
    assert {event.scope for event in events(taking, mixed)} == set(BOTH)
    elsewhere = town.writer.post(2, tags=("rust",))
    done(emit(taking, taking.staff(), elsewhere, LABEL, **one))
    assert [event.scope for event in events(taking, elsewhere)] == ["site"], "python has no such post"


def test_a_takedown_issues_its_label_and_takes_it_back_from_every_version(taking: Desk) -> None:
    town, who = taking.place, taking.member(Role.MODERATOR)
    uri = town.writer.post(1, tags=BOTH)
    exp = town.clock.micros() // 1000 + 5 * HOUR // 1000
    done(emit(taking, who, uri, TAKEDOWN, durationInHours=5))
    assert labels(taking, uri) == {("spam", ""): exp}, "for whatever version comes"
    assert [event.kind for event in events(taking, uri)] == [TAKEDOWN], "one event"
    done(emit(taking, who, uri, LABEL))
    assert len(labels(taking, uri)) == 2
    done(emit(taking, who, uri, REVERSE))
    assert labels(taking, uri) == {}
    numbers = town.writer.sql("SELECT type, label_event FROM mod_event ORDER BY id")
    assert numbers == [(TAKEDOWN, 1), (LABEL, 2), (REVERSE, 3)]
    done(emit(taking, who, AUTHOR, TAKEDOWN))
    assert labels(taking, AUTHOR) == {("spam", ""): None}
    done(emit(taking, who, AUTHOR, REVERSE))
    assert labels(taking, AUTHOR) == {}


def test_the_label_stays_until_the_last_takedown_ends(taking: Desk) -> None:
    town, uri = taking.place, taking.place.writer.post(1, tags=BOTH)
    python, rust, team = town.moderator("python"), town.moderator("rust"), taking.member(Role.MODERATOR)
    done(emit(taking, python, uri, TAKEDOWN))
    done(emit(taking, rust, uri, TAKEDOWN))
    done(emit(taking, team, uri, TAKEDOWN, durationInHours=1))
    assert labels(taking, uri) == {("spam", ""): None}, "the shorter one does not end it"
    done(emit(taking, team, uri, REVERSE))
    done(emit(taking, python, uri, REVERSE))
    assert labels(taking, uri) == {("spam", ""): None}
    decided(decide(town, rust, "rust", "restore", uri))  # by another door
    assert labels(taking, uri) == {} and hidden(taking, uri) == dict.fromkeys(BOTH, 0)


@pytest.mark.parametrize("door", ["moderation API", "label"])
def test_nobody_takes_the_label_of_takedowns_away_while_another_stands(taking: Desk, door: str) -> None:
    """Who was the first to take it down has issued it, and it holds because of the site as well."""
    town, uri = taking.place, taking.place.writer.post(1)
    moderator, team = town.moderator("python"), taking.member(Role.MODERATOR)

    def negated() -> tuple[int, str] | None:
        if door == "label":
            body = {"community": "python", "subject": about(town, uri), "remove": ["spam"], "labeler": LABELER}
            reply = town.act("label", moderator, body)
        else:
            reply = emit(taking, moderator, uri, LABEL, createLabelVals=[], negateLabelVals=["spam"])
        return None if reply.status == 200 else reply.fault

    done(emit(taking, moderator, uri, TAKEDOWN))
    done(emit(taking, team, uri, TAKEDOWN))
    assert negated() == (403, "NotPermitted") and labels(taking, uri) == {("spam", ""): None}
    done(emit(taking, team, uri, REVERSE))
    assert negated() is None and labels(taking, uri) == {}


def test_the_label_goes_when_the_last_takedown_is_over(taking: Desk) -> None:
    """It holds for longer than that, because of another one that was given back meanwhile."""
    town, uri = taking.place, taking.place.writer.post(1, tags=BOTH)
    python, team = town.moderator("python"), taking.member(Role.MODERATOR)
    hours = {python.did: 1, team.did: 2}
    for what in (uri, town.member("python").did):
        for forever, awhile in ((python, team), (team, python)):
            done(emit(taking, forever, what, TAKEDOWN))
            done(emit(taking, awhile, what, TAKEDOWN, durationInHours=hours[awhile.did]))
            done(emit(taking, forever, what, REVERSE))
            assert labels(taking, what) == {("spam", ""): None} and len(down(taking, what)) == 1
            town.clock.now += hours[awhile.did] * 3600
            assert end_once(town.writer.database, town.clock.micros()) == 1
            assert labels(taking, what) == {} and down(taking, what) == set()
            query = "SELECT actor, added, removed, id FROM label_event ORDER BY id DESC LIMIT 1"
            (last,) = town.writer.sql(query)
            assert tuple(last[:3]) == (SCHEDULE, "", "spam")
            query = "SELECT type, label_event FROM mod_event WHERE actor = ? ORDER BY id DESC LIMIT 1"
            assert town.writer.sql(query, SCHEDULE) == [(REVERSE, last[3])]


def test_an_unban_by_another_door_takes_the_label_back(taking: Desk) -> None:
    town = taking.place
    moderator, member = town.moderator("python"), town.member("python")
    done(emit(taking, moderator, member.did, TAKEDOWN))
    assert labels(taking, member.did) == {("spam", ""): None}
    assert town.decide(town.member("python"), "python", "unban", member).fault == (403, "NotPermitted")
    assert labels(taking, member.did) == {("spam", ""): None}
    decided(town.decide(moderator, "python", "unban", member))
    assert labels(taking, member.did) == {}


def test_another_labelers_takedown_issues_nothing_of_the_first(taking: Desk) -> None:
    uri = taking.place.writer.post(1, tags=BOTH)
    done(emit(taking, taking.staff(), uri, TAKEDOWN, aud=OTHER))
    assert labels(taking, uri) == {}
    done(emit(taking, taking.staff(), uri, REVERSE, aud=OTHER))
    done(emit(taking, taking.place.moderator("rust"), uri, TAKEDOWN))
    assert labels(taking, uri) == {("spam", ""): None}
    done(emit(taking, taking.staff(), uri, REVERSE, aud=OTHER))
    assert labels(taking, uri) == {}, "whichever labeler gives it back"


@pytest.mark.parametrize("to", ["", LABELER])
@pytest.mark.parametrize("given_back_first", [True, False])
def test_a_granted_appeal_ends_the_label_of_takedowns_with_the_last_of_them(
    taking: Desk, to: str, *, given_back_first: bool
) -> None:
    """Also an appeal to the labeler, which is against its label as well."""
    town = taking.place
    one, other, judge = town.moderator("python"), town.moderator("rust"), town.moderator("rust")
    uri = town.writer.post(2, tags=("python", "rust"))
    for who in (other, one):
        assert emit(taking, who, uri, TAKEDOWN).status == 200
    if given_back_first:
        assert emit(taking, one, uri, REVERSE).status == 200
    assert {value for value, _ in labels(taking, uri)} == {"spam"}, "the other has it taken down still"
    taken(report(town, town.person(2), uri, APPEAL, to=to))
    body = {"community": "rust", "subject": uri, "action": "grant", "reason": "It is kind."}
    assert town.act("resolveAppeal", judge, body).status == 200
    assert {value for value, _ in labels(taking, uri)} == (set() if given_back_first else {"spam"})
    assert down(taking, uri) == (set() if given_back_first else {"python"})
