"""What a takedown does: on the whole site, in a community, for a while; and that nothing else shows it again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from communities.community import Rule
from communities.mod_event import HOUR
from communities.review import State
from models.database import open_database, sql
from ozone.roles import Role
from service.cli import main
from tests.civic_posts import decide
from tests.civic_posts import done as decided
from tests.civic_reports import flags, report, taken
from tests.didnet import plc
from tests.feed_site import RULES
from tests.label_scene import LABELER
from tests.ozone_events import (
    ACK,
    ESCALATE,
    RESOLVE,
    REVERSE,
    TAG,
    TAKEDOWN,
    check_books,
    done,
    down,
    emit,
    events,
    hidden,
    log,
    stands,
    states,
)
from tests.ozone_site import Desk, unlimited

AUTHOR = plc(1)
BOTH = ("python", "rust")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with unlimited(tmp_path) as found:
        yield found
        check_books(sql(found.place.writer.database))


def shown(place: Desk) -> dict[str, list[str]]:
    """What the feeds show."""
    return {slug: place.place.site.all(slug) for slug in BOTH}


def test_the_team_takes_a_post_down_on_the_whole_site(place: Desk) -> None:
    town, who = place.place, place.member(Role.MODERATOR)
    uri, other = town.writer.post(1, tags=BOTH), town.writer.post(1, tags=BOTH)
    taken(report(town, town.person(), uri, to=LABELER))
    assert shown(place)["python"] == [other, uri]
    done(emit(place, who, uri, TAKEDOWN, comment="no"))
    assert states(place, uri) == {"python": State.CLOSED, "rust": State.CLOSED, "site": State.CLOSED}
    assert down(place, uri) == {"site"} and hidden(place, uri) == dict.fromkeys(BOTH, 16) and flags(town) == []
    assert shown(place) == {"python": [other], "rust": [other]}
    assert log(place, "python") == [] and log(place, "rust") == [], "no decision of theirs"
    done(emit(place, who, uri, REVERSE))
    assert hidden(place, uri) == dict.fromkeys(BOTH, 0) and shown(place)["rust"] == [other, uri]


def test_nothing_shows_again_what_the_site_has_taken_down(place: Desk) -> None:
    """An edit, changed rules, another community, deleting and writing it again, moderators who let it in."""
    town, moderator = place.place, place.place.moderator("python")
    uri = town.writer.post(1, rkey="p", tags=("python",))
    done(emit(place, place.member(Role.MODERATOR), uri, TAKEDOWN))
    town.writer.post(1, rkey="p", tags=BOTH, langs=("de", "en"))
    assert hidden(place, uri) == dict.fromkeys(BOTH, 16)
    town.writer.declare(RULES + '[[community]]\nslug = "third"\nname = "Third"\ninclude.hashtags = ["python"]\n')
    town.writer.post(1, rkey="p", tags=BOTH)
    assert hidden(place, uri) == dict.fromkeys((*BOTH, "third"), 16)
    decided(decide(town, moderator, "python", "approve", uri))
    decided(decide(town, moderator, "python", "remove", uri))
    assert hidden(place, uri)["python"] == 20
    decided(decide(town, moderator, "python", "restore", uri))
    assert hidden(place, uri)["python"] == 16
    assert decide(town, moderator, "python", "pin", uri).fault == (400, "NotInCommunity")
    town.writer.hide(1)
    town.writer.hide(1, active=True)
    town.writer.delete(uri)
    assert town.writer.post(1, rkey="p", tags=BOTH) == uri
    assert set(hidden(place, uri).values()) == {16} and shown(place) == {"python": [], "rust": []}


def test_a_post_that_comes_after_it_was_taken_down_is_hidden(place: Desk) -> None:
    uri = f"at://{plc(9)}/app.bsky.feed.post/late"
    done(emit(place, place.member(Role.MODERATOR), uri, TAKEDOWN, cid="bafkqaaa"))
    assert place.place.writer.post(9, rkey="late") == uri
    assert hidden(place, uri) == {"python": 16}


def test_a_pinned_post_is_pinned_and_not_shown(place: Desk) -> None:
    town, moderator = place.place, place.place.moderator("python")
    uri = town.writer.post(1)
    decided(decide(town, moderator, "python", "pin", uri))
    assert shown(place)["python"] == [uri]
    done(emit(place, place.staff(), uri, TAKEDOWN))
    assert shown(place)["python"] == []
    done(emit(place, place.staff(), uri, REVERSE))
    assert shown(place)["python"] == [uri]


def test_the_team_takes_an_account_down(place: Desk) -> None:
    town, who = place.place, place.member(Role.MODERATOR)
    uri = town.writer.post(1, tags=BOTH)
    done(emit(place, who, AUTHOR, TAKEDOWN))
    later = town.writer.post(1)
    assert shown(place) == {"python": [], "rust": []} and hidden(place, uri) == dict.fromkeys(BOTH, 1)
    done(emit(place, who, AUTHOR, REVERSE))
    assert shown(place)["python"] == [later, uri]


def test_what_two_have_taken_down_is_shown_when_both_have_given_it_back(
    place: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line, and the team."""
    for name, value in {"DATA": str(place.place.site.config.data), "HOSTNAME": "feeds.example.com"}.items():
        monkeypatch.setenv(f"COMMUNITIES_{name}", value)
    who, uri = place.member(Role.MODERATOR), place.place.writer.post(1)
    for _ in range(2):
        assert main(["takedown", AUTHOR]) == 0
    done(emit(place, who, AUTHOR, TAKEDOWN))
    assert down(place, AUTHOR) == {"service", "site"}
    assert main(["takedown", AUTHOR, "--undo"]) == 0
    assert down(place, AUTHOR) == set() and shown(place)["python"] == [uri], "who runs the site overrules its teams"
    done(emit(place, who, AUTHOR, TAKEDOWN))
    assert main(["takedown", AUTHOR]) == 0
    done(emit(place, who, AUTHOR, REVERSE))
    assert down(place, AUTHOR) == set() and shown(place)["python"] == [uri]
    told = [(event.scope, event.kind, event.actor) for event in events(place)]
    assert told.count(("service", TAKEDOWN, "cli")) == 2 and told.count(("site", REVERSE, "cli")) == 1
    with_nobody = len(told)
    assert main(["takedown", AUTHOR, "--undo"]) == 0
    assert len(events(place)) == with_nobody, "nothing to give back"


def test_an_account_is_banned_where_moderators_take_it_down(place: Desk) -> None:
    town = place.place
    who, member = town.moderator("python"), town.member("python")
    done(emit(place, who, member.did, TAKEDOWN, durationInHours=2, comment="rest"))
    assert town.status("python", member) == ("banned", 1) and log(place, "python") == [("ban", who.did, "moderator")]
    status = stands(place, member.did)["python"]
    assert status.suspend_until == town.clock.micros() + 2 * HOUR
    rows = town.writer.sql("SELECT until FROM membership WHERE status = 'banned'")
    assert rows == [(status.suspend_until,)] and "site" not in states(place, member.did)
    done(emit(place, who, member.did, REVERSE))
    assert town.status("python", member) == ("member", 1)


def test_a_stranger_who_posts_is_banned_and_is_a_stranger_again(place: Desk) -> None:
    town, who = place.place, place.place.moderator("python")
    uri = town.writer.post(1, tags=BOTH)
    done(emit(place, who, AUTHOR, TAKEDOWN))
    assert town.status("python", AUTHOR) == ("banned", 1) and hidden(place, uri) == {"python": 8, "rust": 0}
    new = town.writer.post(1, tags=BOTH)
    assert shown(place) == {"python": [], "rust": [new, uri]}
    done(emit(place, who, AUTHOR, REVERSE))
    assert town.status("python", AUTHOR) is None and hidden(place, uri) == dict.fromkeys(BOTH, 0)
    assert decided(town.decide(who, "python", "ban", AUTHOR))["action"] == "ban"
    decided(town.decide(who, "python", "unban", AUTHOR))
    assert town.decide(who, "python", "ban", plc(99)).fault == (400, "NotFound"), "who has nothing there"


def test_a_rule_of_the_community_stands_in_its_log(place: Desk) -> None:
    town = place.place
    town.found("birds", rules=(Rule("Birds only"),))
    who, uri = town.moderator("birds"), town.writer.post(1)
    town.writer.sql("INSERT INTO feed_item SELECT ?, hidden, sort_at, post, uri, evidence, context FROM feed_item",
                    town.id("birds"))  # fmt: skip
    done(emit(place, who, uri, TAKEDOWN, policies=["other", "Birds only"], comment="A plane."))
    rows = town.writer.sql("SELECT rule, reason FROM decision")
    assert rows == [("Birds only", "A plane.")]


def test_all_that_waits_of_an_account_is_acknowledged_with_it(place: Desk) -> None:
    town = place.place
    one, two, other = town.writer.post(1), town.writer.post(1, tags=BOTH), town.writer.post(2)
    for uri in (one, two, other, AUTHOR):
        taken(report(town, town.person(), uri, to=LABELER))
    done(emit(place, place.staff(), one, ESCALATE))
    done(emit(place, town.moderator("python"), AUTHOR, ACK, acknowledgeAccountSubjects=True))
    assert states(place, one)["python"] is State.CLOSED
    assert states(place, two) == {"python": State.CLOSED, "rust": State.OPEN}, "rust is not theirs"
    assert states(place, other)["python"] is State.OPEN
    done(emit(place, place.member(Role.TRIAGE), AUTHOR, ACK, acknowledgeAccountSubjects=True))
    assert states(place, two)["rust"] is State.CLOSED and states(place, other)["python"] is State.OPEN
    kinds = [event.kind for event in events(place, two)]
    assert kinds.count(ACK) == 2 and RESOLVE not in kinds
    taken(report(town, town.person(), two, to=LABELER))
    done(emit(place, place.staff(), AUTHOR, ACK))
    assert states(place, two) == {"python": State.OPEN, "rust": State.OPEN}, "only if it is said"
    done(emit(place, place.staff(), AUTHOR, ACK, acknowledgeAccountSubjects=True, named="rust"))
    assert states(place, two) == {"python": State.OPEN, "rust": State.CLOSED}
    done(emit(place, place.staff(), AUTHOR, TAKEDOWN, acknowledgeAccountSubjects=True))
    assert set(states(place, two).values()) == {State.CLOSED}


def test_a_takedown_is_no_tag_and_is_not_given_back_by_one(place: Desk) -> None:
    """Else the post would be shown and be taken down at once, and nobody could give it back any more."""
    town, who = place.place, place.place.moderator("python")
    uri, tag = town.writer.post(1, tags=BOTH), "feed-removed:python"
    for event in ({"add": [], "remove": [tag]}, {"add": [tag], "remove": []}):
        done(emit(place, who, uri, TAKEDOWN))
        before = len(events(place))
        assert emit(place, who, uri, TAG, **event).fault == (400, "InvalidRequest")
        assert len(events(place)) == before and down(place, uri) == {"python"} and hidden(place, uri)["python"] == 4
        done(emit(place, who, uri, REVERSE))
        assert down(place, uri) == set() and hidden(place, uri)["python"] == 0
    decided(decide(town, who, "python", "remove", uri))
    assert emit(place, who, uri, TAG, add=[], remove=[tag]).fault == (400, "InvalidRequest")
    decided(decide(town, who, "python", "restore", uri))
    assert emit(place, who, uri, TAG, add=[], remove=[tag]).fault == (400, "InvalidRequest")
    assert log(place, "python")[-1] == ("restore", who.did, "moderator")


def test_events_are_never_changed(place: Desk) -> None:
    done(emit(place, place.staff(), AUTHOR, TAG))
    with open_database(place.place.site.config.database) as database:
        for statement in ("UPDATE mod_event SET comment = 'x'", "DELETE FROM mod_event"):
            with pytest.raises(Exception, match="never"):
                sql(database).execute(statement)
