"""social.communities.resolveAppeal: who may, how far it goes, and that it is all or nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role, Scope, Status
from communities.appeals import Course
from communities.places import KeptPlaces
from communities.relatives import Relatives
from labeler import redress
from labeler.redress import Court, Ruling, look, rule
from models import appeals
from models.database import writing
from models.mod_events import key_of
from tests.civic_posts import decide, declare, done, hidden, version
from tests.civic_reports import NEW_APPEAL, known, report, take_down, taken
from tests.civic_site import Town
from tests.didnet import plc
from tests.due_site import (
    ADMIN,
    DAY,
    STAFF,
    appeal,
    due,
    everything,
    label,
    own_decisions,
    own_reports,
    put_in,
    removed,
    resolve,
)
from tests.feed_site import iso
from tests.label_scene import LABELER


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with due(tmp_path) as found:
        yield found


def test_what_was_decided_after_the_appeal_stays(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    moderator = removed(place, uri)
    appeal(place, author, uri)
    done(decide(place, moderator, "python", "restore", uri))
    removed(place, uri)
    assert resolve(place, place.moderator("python"), uri, "grant").status == 200
    assert hidden(place, "python", uri) == 4
    assert own_decisions(place, author)[0]["appeal"]["state"] == "none"


def test_who_took_their_own_decision_back_still_marks_no_appeal(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    moderator = removed(place, uri)
    appeal(place, author, uri)
    done(decide(place, moderator, "python", "restore", uri))
    assert resolve(place, moderator, uri, "grant").fault == (403, "NotPermitted")
    assert resolve(place, place.moderator("python"), uri, "grant").status == 200
    assert place.writer.sql("SELECT state FROM appeal") == [("granted",)]


def test_an_author_who_moderates_does_not_decide_about_the_own_appeal(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    place.put("python", author, role=Role.MODERATOR)
    removed(place, uri)
    appeal(place, author, uri)
    for action in ("grant", "deny"):
        assert resolve(place, author, uri, action).fault == (403, "NotPermitted")
    assert hidden(place, "python", uri) == 4


def test_who_may_decide(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, uri)
    appeal(place, author, uri)
    nobodies = [author, place.person(), place.member("python"), place.moderator("rust"), place.person(STAFF),
                place.moderator("python", scope=frozenset((Scope.MEMBERS,)))]  # fmt: skip
    for who in nobodies:
        assert resolve(place, who, uri, "grant").fault == (403, "NotPermitted")
        assert resolve(place, who, f"at://{plc(1)}/app.bsky.feed.post/none", "deny").fault[1] in (
            "NotPermitted", "AppealNotFound",
        )  # fmt: skip
    assert resolve(place, place.person(), "at://x/y", "deny").fault == (400, "InvalidRequest")
    assert resolve(place, place.person(), uri, "deny", reason="a\0").fault == (400, "InvalidRequest")
    for who in (place.person(), place.moderator("python")):
        assert resolve(place, who, uri, "grant", None).fault == (403, "NotPermitted")
    assert resolve(place, place.person(ADMIN), uri, "grant", None).fault == (400, "AppealNotFound")
    assert resolve(place, place.person(ADMIN), uri, "grant", labeler=LABELER).fault == (400, "AppealNotFound")
    assert resolve(place, place.person(ADMIN), uri, "grant").status == 200, "where nobody else is, the site's admins"


def test_who_may_not_know_whether_there_is_an_appeal_is_told_the_same_without_one(place: Town) -> None:
    author, uri, other = place.person(1), place.writer.post(1), place.writer.post(1)
    removed(place, uri)
    removed(place, other)
    appeal(place, author, uri)
    stranger = place.person()
    one, two = (resolve(place, stranger, what, "grant") for what in (uri, other))
    assert one.body == two.body and one.status == two.status == 403


def test_the_site_decides_about_its_takedowns(place: Town) -> None:
    author = known(place, place.person(1))
    uri = place.writer.post(1)
    take_down(place, author)
    place.writer.sql("UPDATE feed_item SET hidden = hidden | 1")
    (told,) = own_decisions(place, author)
    assert (told["kind"], told["role"]) == ("takedown", "site") and "community" not in told
    appeal(place, author, author.did)
    assert own_decisions(place, author)[0]["appeal"]["state"] == "open"
    assert resolve(place, place.person(STAFF), author.did, "grant", None).status == 200
    assert place.writer.sql("SELECT allowed FROM actor WHERE did = ?", author.did) == [(1,)]
    assert place.site.page("python").posts == [uri] and own_decisions(place, author) == []


def test_labels_of_others_stay(place: Town) -> None:
    """An appeal about one community's labels takes back no other's, nor what came behind the appeal."""
    author, uri = place.person(1), place.writer.post(1, tags=["python", "rust"])
    cid = version(place, uri)
    label(place, place.moderator("python"), uri, cid, "spam")
    label(place, place.moderator("rust"), uri, cid, "spoiler", slug="rust")
    appeal(place, author, uri, to=LABELER)
    late = place.moderator("python")
    place.writer.post(1, tags=["python", "rust"], rkey="z")
    assert resolve(place, late, uri, "grant").status == 200
    told = own_decisions(place, author)
    assert [(one["community"], one["labels"], one["appeal"]["state"]) for one in told] == [
        ("rust", ["spoiler"], "open")
    ]


def test_whose_label_holds_does_not_decide_about_it(place: Town) -> None:
    """Not only who labelled last."""
    author, uri = place.person(1), place.writer.post(1)
    cid, first, second = version(place, uri), place.moderator("python"), place.moderator("python")
    label(place, first, uri, cid, "spam")
    label(place, second, uri, cid, "spoiler")
    appeal(place, author, uri, to=LABELER)
    for who in (first, second):
        assert resolve(place, who, uri, "grant").fault == (403, "NotPermitted")
    assert resolve(place, place.moderator("python"), uri, "grant").status == 200
    assert own_decisions(place, author) == []


def test_two_who_decide_at_once_do_not_both(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, uri)
    appeal(place, author, uri)
    people = [place.moderator("python") for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        jobs = zip(people, ("grant", "deny") * 3, strict=True)
        replies = list(threads.map(lambda job: resolve(place, job[0], uri, job[1]), jobs))
    (good,) = (reply for reply in replies if reply.status == 200)
    assert {reply.fault for reply in replies if reply.status != 200} == {(400, "AppealNotFound")}
    granted = good.json["appeals"][0]["state"] == "granted"
    assert hidden(place, "python", uri) == (0 if granted else 4)
    resolved = "SELECT count(*) FROM mod_event WHERE type = 'modEventResolveAppeal'"
    assert place.writer.sql(resolved) == [(1,)]


@pytest.mark.parametrize("at", ["take_back", "append", "tell"])
def test_what_breaks_in_the_middle_has_done_nothing(place: Town, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    author, uri = place.person(1), place.writer.post(1)
    moderator = removed(place, uri)
    label(place, moderator, uri, version(place, uri), "spam")
    appeal(place, author, uri, to=LABELER)
    now, actor = place.clock.micros(), place.moderator("python").did
    places = KeptPlaces(Relatives(place.writer.connection), place.clock.micros)

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the machine is gone")

    def grant() -> None:
        with writing(place.writer.database) as connection:
            matter = look(connection, place.id("python"), key_of(author.did, uri), None, now)
            assert matter is not None
            ruling = Ruling(True, "because", actor, "moderator")
            rule(connection, Court(places, places.find("python")), matter, ruling, now)

    before = everything(place)
    with monkeypatch.context() as breaking:
        breaking.setattr(redress, at, broken)
        with pytest.raises(OSError, match="the machine"):
            grant()
    assert everything(place) == before
    grant()
    assert hidden(place, "python", uri) == 0 and own_decisions(place, author) == []


def test_a_post_whose_author_keeps_it_out_cannot_be_given_back(place: Town) -> None:
    author = place.person(1)
    birds, uri = place.found("birds"), place.writer.post(1)
    put_in(place, "birds", uri)
    removed(place, uri, "birds")
    appeal(place, author, uri)
    declare(place, author.did, "social.communities.submission", "k", birds, uri, gone=1)
    other = place.moderator("birds")
    assert resolve(place, other, uri, "grant", "birds").fault == (400, "AuthorOptedOut")
    assert place.writer.sql("SELECT state FROM appeal") == [("open",)]
    assert resolve(place, other, uri, "deny", "birds").status == 200


def test_both_kinds_of_appeals_and_of_addressees_are_decided_together(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, uri)
    appeal(place, author, uri)
    taken(report(place, author, uri, NEW_APPEAL))
    appeal(place, author, uri, to=LABELER)
    reply = resolve(place, place.moderator("python"), uri, "deny")
    assert [one.get("labeler") for one in reply.json["appeals"]] == [None, LABELER]
    assert [one["places"][0]["outcome"] for one in own_reports(place, author)] == ["denied"] * 3


def test_a_decision_of_nobody_is_resolved_by_any_moderator(place: Town) -> None:
    """An appeal about what nobody has decided goes where a report would go."""
    author, uri = place.person(1), place.writer.post(1)
    appeal(place, author, uri)
    assert resolve(place, place.moderator("python"), uri, "deny").status == 200
    assert own_reports(place, author)[0]["places"][0]["outcome"] == "denied"


def test_until_when_it_should_be_decided_is_a_setting(tmp_path: Path) -> None:
    with due(tmp_path, appeal_days="30") as place:
        author, uri = place.person(1), place.writer.post(1)
        removed(place, uri)
        appeal(place, author, uri)
        place.clock.now += 86_400
        appeal(place, author, uri)
        (told,) = own_decisions(place, author)
        assert told["appeal"]["dueAt"] == iso(place.clock.micros() + 29 * DAY), "from when it was first made"
    assert Course().within == 7 * DAY


def test_a_moderator_of_the_parent_decides_for_a_lone_one(place: Town) -> None:
    top = place.found("top", place.person(900).did)
    place.found("below", place.person(900).did, parent=top)
    admin = place.admin("top")
    author = place.person(1)
    place.put("below", author)
    lone = place.moderator("below")
    assert place.decide(lone, "below", "ban", author).status == 200
    appeal(place, author, author.did)
    assert resolve(place, lone, author.did, "deny", "below").fault == (403, "NotPermitted")
    assert resolve(place, admin, author.did, "grant", "below").status == 200
    assert place.status("below", author) == (Status.MEMBER.value, Role.MEMBER.value)
    assert [row.state for row in appeals.newest_about(place.writer.connection, author.did, "", place.id("below"))] == [
        "granted"
    ]
