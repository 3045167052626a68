"""From a report to its end: the author is told and appeals, somebody else decides, the reporter hears of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from communities.access import Scope
from tests.civic_posts import decide, done, hidden, version
from tests.civic_reports import report, taken
from tests.civic_site import AUDIENCE, Town
from tests.due_site import (
    DAY,
    appeal,
    banned,
    due,
    everything,
    label,
    outcomes,
    own_decisions,
    own_reports,
    publish,
    removed,
    resolve,
    stream,
)
from tests.feed_site import iso
from tests.label_scene import LABELER


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with due(tmp_path) as found:
        yield found


def test_the_whole_way(place: Town) -> None:
    """Reported, labelled in two versions, removed, appealed against; whoever decided is refused, another one grants."""
    author, reporter, moderator, other = place.person(1), place.person(), *(place.moderator("python") for _ in "ab")
    uri = place.writer.post(1, rkey="p")
    first = version(place, uri)
    taken(report(place, reporter, uri))
    assert outcomes(place, reporter) == [[("python", "received", None)]]
    label(place, moderator, uri, first, "spam")
    uri = place.writer.post(1, rkey="p", tags=("python", "snakes"))
    second = version(place, uri)
    assert second != first
    label(place, moderator, uri, second, "spam", "spoiler")
    assert outcomes(place, reporter) == [[("python", "received", None)]], "a label alone closes nothing"
    done(decide(place, moderator, "python", "remove", uri, reason="Not about snakes."))
    assert outcomes(place, reporter) == [[("python", "closed", "removed")]]
    publish(place)
    assert {(val, cid) for val, cid, neg in stream(place, uri) if not neg} == {
        ("spam", first), ("spam", second), ("spoiler", second),
    }  # fmt: skip
    told = own_decisions(place, author)
    assert [(one["kind"], one.get("labels"), one.get("reason"), one["appeal"]["state"]) for one in told] == [
        ("label", ["spam", "spoiler"], None, "none"),
        ("label", ["spam"], None, "none"),
        ("removal", None, "Not about snakes.", "none"),
    ]
    # The call to appeal is told as it is to be made.
    way = told[0]["appeal"]
    assert way["method"] == "com.atproto.moderation.createReport" and way["audience"] == f"{LABELER}#atproto_labeler"
    number = taken(report(place, author, told[0]["subject"], way["reasonType"], to=way["audience"], reason="It is."))
    assert {one["appeal"]["state"] for one in own_decisions(place, author)} == {"open"}
    assert own_decisions(place, author)[0]["appeal"]["dueAt"] == iso(place.clock.micros() + 7 * DAY)
    before = everything(place)
    assert resolve(place, moderator, uri, "grant").fault == (403, "NotPermitted")
    assert resolve(place, moderator, uri, "deny").fault == (403, "NotPermitted")
    assert everything(place) == before
    assert uri not in place.site.page("python").posts
    reply = resolve(place, other, uri, "grant", reason="It is about snakes.")
    assert [one["state"] for one in reply.json["appeals"]] == ["granted"]
    assert uri in place.site.page("python").posts
    publish(place)
    assert stream(place, uri) == [(val, cid, 1) for val, cid, _ in stream(place, uri)]
    assert {cid for _, cid, _ in stream(place, uri)} == {first, second}
    assert own_decisions(place, author) == []
    assert outcomes(place, reporter) == [[("python", "closed", "reversed")]]
    assert "note" not in own_reports(place, reporter)[0]["places"][0], "what is said to the author is the author's"
    (mine,) = own_reports(place, author)
    assert mine["id"] == number
    assert mine["places"] == [
        {"community": "python", "state": "closed", "outcome": "granted", "note": "It is about snakes.",
         "closedAt": iso(place.clock.micros())}
    ]  # fmt: skip
    kinds = [kind for (kind,) in place.writer.sql("SELECT type FROM mod_event ORDER BY id DESC LIMIT 4")]
    assert kinds[::-1] == [
        "modEventReverseTakedown", "modEventLabel", "modEventResolveAppeal", "modEventAcknowledge",
    ]  # fmt: skip
    status = "SELECT state, takendown, appealed FROM subject_status WHERE scope > 0"
    assert place.writer.sql(status) == [(3, 0, 0)]
    assert {state for (state,) in place.writer.sql("SELECT state FROM report_case")} == {"closed"}
    assert resolve(place, other, uri, "grant").fault == (400, "AppealNotFound")


def test_to_deny_leaves_all_as_it_is_and_tells_the_author(place: Town) -> None:
    author, reporter, uri = place.person(1), place.person(), place.writer.post(1)
    taken(report(place, reporter, uri))
    removed(place, uri)
    appeal(place, author, uri)
    assert resolve(place, place.moderator("python"), uri, "deny", reason="It stays out.").status == 200
    assert hidden(place, "python", uri) == 4
    (told,) = own_decisions(place, author)
    assert (told["appeal"]["state"], told["appeal"]["note"]) == ("denied", "It stays out.")
    assert "audience" in told["appeal"], "one may appeal again"
    assert outcomes(place, reporter) == [[("python", "closed", "removed")]]
    assert own_reports(place, author)[0]["places"][0]["outcome"] == "denied"
    assert place.writer.sql("SELECT action FROM decision") == [("remove",)], "the log has no word of it"
    assert place.writer.sql("SELECT appealed, state FROM subject_status WHERE scope > 0") == [(0, 3)]
    appeal(place, author, uri)
    assert own_decisions(place, author)[0]["appeal"]["state"] == "open"


def test_a_ban_is_appealed_against_and_lifted(place: Town) -> None:
    author = place.person(1)
    place.put("python", author)
    uri = place.writer.post(1)
    moderator = banned(place, author, reason="noise")
    assert place.site.page("python").posts == []
    (told,) = own_decisions(place, author)
    assert (told["kind"], told["community"], told["subject"]) == ("ban", "python", author.did)
    assert told["appeal"]["audience"] == AUDIENCE
    appeal(place, author, author.did)
    assert resolve(place, moderator, author.did, "grant").fault == (403, "NotPermitted")
    only_posts = place.moderator("python", scope=frozenset((Scope.POSTS,)))
    assert resolve(place, only_posts, author.did, "grant").fault == (403, "NotPermitted")
    assert resolve(place, place.moderator("python"), author.did, "grant").status == 200
    assert place.status("python", author) == ("member", 1) and place.site.page("python").posts == [uri]
    assert own_decisions(place, author) == []


def test_a_post_that_a_ban_hides_comes_back_by_lifting_the_ban(place: Town) -> None:
    author = place.person(1)
    place.put("python", author)
    uri = place.writer.post(1)
    removed(place, uri)
    banned(place, author)
    appeal(place, author, uri)
    assert resolve(place, place.moderator("python"), uri, "grant").status == 200
    assert place.site.page("python").posts == [uri], "both are taken back that kept it out"
