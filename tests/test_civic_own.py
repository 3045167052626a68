"""What authors and reporters are told of their own matters, and that it is nobody else's, and nothing more."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Status
from communities.community import Log, Rule
from communities.mod_event import Kind
from communities.own_reports import Outcome, outcome
from models.own_reports import Decided
from tests.civic_posts import decide, done, version
from tests.civic_reports import SPAM, TROLL, known, report, take_down, taken
from tests.civic_site import AUDIENCE, Town
from tests.didnet import Account, plc
from tests.due_site import (
    ADMIN,
    appeal,
    due,
    label,
    outcomes,
    own_decisions,
    own_reports,
    put_in,
    resolve,
)
from tests.feed_site import Reply, iso
from tests.label_scene import LABELER

OWN = ["listOwnReports", "listOwnDecisions"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with due(tmp_path) as found:
        yield found


def removed(place: Town, uri: str, slug: str = "python", **more: Any) -> Account:
    """A new moderator removes a post."""
    moderator = place.moderator(slug)
    done(decide(place, moderator, slug, "remove", uri, **more))
    return moderator


# Both


@pytest.mark.parametrize("method", OWN)
def test_they_are_for_who_signs_in(place: Town, method: str) -> None:
    assert place.ask(method).fault == (401, "AuthMissing")
    assert place.ask(method, place.person()).status == 200


@pytest.mark.parametrize("method", OWN)
def test_s51_a_cursor_is_of_one_list_and_one_caller(place: Town, method: str) -> None:
    one, two = place.person(1), place.person(2)
    for who, number in ((one, 1), (two, 2)):
        for _ in range(2):
            uri = place.writer.post(number)
            removed(place, uri)
            taken(report(place, who, uri))
    first = place.ask(method, one, limit=1)
    assert place.ask(method, one, limit=1, cursor=first.cursor).status == 200
    assert place.ask(method, two, limit=1, cursor=first.cursor).fault == (400, "InvalidCursor")
    other = OWN[method == OWN[0]]
    for bad in (place.ask(other, one, limit=1).cursor, "x", "00"):
        assert place.ask(method, one, cursor=bad).fault == (400, "InvalidCursor")


# Reporters


def test_a_reporter_is_told_of_each_place(place: Town) -> None:
    reporter, uri = place.person(), place.writer.post(1, tags=["python", "rust"])
    number = taken(report(place, reporter, uri, TROLL, reason="He trolls."))
    place.clock.now += 60
    removed(place, uri, "rust")
    (told,) = own_reports(place, reporter)
    assert told == {
        "id": number, "createdAt": iso(place.clock.micros() - 60_000_000),
        "lastAt": iso(place.clock.micros() - 60_000_000), "reasonType": TROLL, "reason": "He trolls.", "subject": uri,
        "cid": version(place, uri),
        "places": [{"community": "python", "state": "received"},
                   {"community": "rust", "state": "closed", "outcome": "removed",
                    "closedAt": iso(place.clock.micros())}],
    }  # fmt: skip
    done(decide(place, place.moderator("python"), "python", "approve", uri))
    assert outcomes(place, reporter) == [[("python", "closed", "noAction"), ("rust", "closed", "removed")]]


def test_what_was_decided_before_a_report_is_not_its_outcome(place: Town) -> None:
    uri, early, late = place.writer.post(1), place.person(), place.person()
    taken(report(place, early, uri))
    done(decide(place, place.moderator("python"), "python", "approve", uri))
    place.clock.now += 1
    taken(report(place, late, uri))
    assert outcomes(place, early) == [[("python", "closed", "noAction")]]
    assert outcomes(place, late) == [[("python", "received", None)]]
    taken(report(place, early, uri))
    assert outcomes(place, early) == [[("python", "received", None)]], "said again, it waits again"


def test_the_team_of_a_labeler_is_a_place(place: Town) -> None:
    reporter = place.person()
    taken(report(place, reporter, plc(5), to=LABELER))
    taken(report(place, reporter, plc(6)))
    assert outcomes(place, reporter) == [[("site", "received", None)], [(LABELER, "received", None)]]


def test_places_of_which_the_reporter_may_not_know_are_left_out(place: Town) -> None:
    top = place.found("top", posting="anyone")
    place.found("secret", kind="hidden", parent=top, posting="anyone")
    reporter, author = place.person(), place.person(1)
    for slug in ("top", "secret"):
        place.put(slug, author)
        place.put(slug, reporter)
    taken(report(place, reporter, author.did))
    assert outcomes(place, reporter) == [
        [("site", "received", None), ("top", "received", None), ("secret", "received", None)]
    ]
    place.writer.sql("DELETE FROM membership WHERE community = ?", place.id("secret"))
    place.put("top", reporter, Status.BANNED)
    reply = place.ask("listOwnReports", reporter)
    assert outcomes(place, reporter) == [[("site", "received", None)]]
    assert b"secret" not in reply.body and b"top" not in reply.body


def test_reports_are_paged_the_newest_first_and_nobody_sees_anothers(place: Town) -> None:
    one, two = place.person(), place.person()
    for number in range(7):
        for who in (one, two):
            taken(report(place, who, plc(40 + number)))
        place.clock.now += number % 2  # some in the same moment
    ids = [told["id"] for told in own_reports(place, one)]
    assert ids == sorted(ids, reverse=True) and len(ids) == 7
    for limit in (1, 2, 3, 7):
        assert [told["id"] for told in own_reports(place, one, limit)] == ids
    assert not {told["id"] for told in own_reports(place, two)} & set(ids)


def test_a_reporter_learns_nothing_of_others_nor_who_decided(place: Town) -> None:
    uri, one = place.writer.post(1), place.person()
    taken(report(place, one, uri))
    alone = place.ask("listOwnReports", one).json
    others = [place.person() for _ in range(3)]
    for who in others:
        taken(report(place, who, uri, reason=f"says {who.did}"))
    author = place.person(1)
    assert place.ask("listOwnReports", one).json == alone
    moderator = removed(place, uri, reason="between us")
    appeal(place, author, uri, reason="the author's words")
    assert resolve(place, place.moderator("python"), uri, "deny", reason="for the author").status == 200
    body = place.ask("listOwnReports", one).body.decode()
    for secret in (moderator.did, "between us", "author's words", "for the author", *(who.did for who in others)):
        assert secret not in body
    assert json.loads(body)["reports"][0]["places"][0]["outcome"] == "removed"


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([], Outcome.NO_ACTION),
        ([(Kind.ACKNOWLEDGE, {})], Outcome.NO_ACTION),
        ([(Kind.REVERSE_TAKEDOWN, {})], Outcome.NO_ACTION),
        ([(Kind.LABEL, {"createLabelVals": ["a"]}), (Kind.ACKNOWLEDGE, {})], Outcome.LABELLED),
        ([(Kind.LABEL, {"negateLabelVals": ["a"]})], Outcome.NO_ACTION),
        ([(Kind.LABEL, {"createLabelVals": ["a"]}), (Kind.LABEL, {"negateLabelVals": ["a"]})], Outcome.REVERSED),
        ([(Kind.TAKEDOWN, {}), (Kind.LABEL, {"createLabelVals": ["a"]})], Outcome.REMOVED),
        ([(Kind.TAKEDOWN, {}), (Kind.REVERSE_TAKEDOWN, {}), (Kind.ACKNOWLEDGE, {})], Outcome.REVERSED),
        ([(Kind.TAKEDOWN, {}), (Kind.REVERSE_TAKEDOWN, {}), (Kind.TAKEDOWN, {})], Outcome.REMOVED),
    ],
)
def test_what_decisions_come_to(events: list[tuple[Kind, Any]], found: Outcome) -> None:
    assert outcome(Decided(str(kind), 1, json.dumps(said)) for kind, said in events) is found


# Authors


def test_an_author_is_told_what_applies(place: Town) -> None:
    author = place.person(1)
    place.put("rust", author)
    uri = place.writer.post(1, tags=["python", "rust"])
    removed(place, uri, reason="Planes.")
    until = place.clock.micros() + 3_600_000_000
    ban = place.decide(place.moderator("rust"), "rust", "ban", author, reason="noise", expiresAt=iso(until))
    assert ban.status == 200
    label(place, place.moderator("python"), uri, version(place, uri), "spam", reason="for moderators")
    now = iso(place.clock.micros())
    way = {"method": "com.atproto.moderation.createReport", "reasonType": "com.atproto.moderation.defs#reasonAppeal"}
    assert own_decisions(place, author) == [
        {"kind": "ban", "subject": author.did, "community": "rust", "reason": "noise", "role": "moderator",
         "since": now, "until": iso(until), "withheld": False,
         "appeal": {"state": "none", "audience": AUDIENCE, **way}},
        {"kind": "label", "subject": uri, "cid": version(place, uri), "community": "python", "labeler": LABELER,
         "labels": ["spam"], "role": "moderator", "since": now[:-4] + "000Z", "withheld": False,
         "appeal": {"state": "none", "audience": f"{LABELER}#atproto_labeler", **way}},
        {"kind": "removal", "subject": uri, "cid": version(place, uri), "community": "python", "reason": "Planes.",
         "role": "moderator", "since": now, "withheld": False,
         "appeal": {"state": "none", "audience": AUDIENCE, **way}},
    ]  # fmt: skip
    assert own_decisions(place, place.person(2)) == []
    place.clock.now += 3600
    assert [one["kind"] for one in own_decisions(place, author)] == ["label", "removal"], "the ban is over"


@pytest.mark.parametrize(("log", "shown"), [("nobody", set()), ("role", {"role"}), ("actor", {"role", "actor"})])
def test_who_decided_is_told_as_the_log_tells_it(place: Town, log: str, shown: set[str]) -> None:
    place.found("birds", log=Log(log))
    author = place.member("birds")
    moderator = place.moderator("birds")
    assert place.decide(moderator, "birds", "ban", author, reason="noise").status == 200
    (told,) = own_decisions(place, author)
    assert {"role", "actor"} & told.keys() == shown and told["reason"] == "noise"
    assert (moderator.did in json.dumps(told)) is (log == "actor")


def test_an_author_does_not_learn_of_reports(place: Town) -> None:
    author, quiet = place.person(1), place.person(2)
    place.put("python", author)
    place.put("python", quiet)
    posts = {who.did: place.writer.post(number) for number, who in ((1, author), (2, quiet))}
    reporters = [place.person() for _ in range(3)]
    for who in reporters:
        taken(report(place, who, posts[author.did], reason="seen"))
        taken(report(place, who, author.did))
    moderator = place.moderator("python")
    for who in (author, quiet):
        assert own_decisions(place, who) == [] == own_reports(place, who)
        done(decide(place, moderator, "python", "remove", posts[who.did], reason="Planes."))
    one, two = ([_unnamed(told) for told in own_decisions(place, who)] for who in (author, quiet))
    assert one == two, "whether somebody has reported it or not"
    body = place.ask("listOwnDecisions", author).body.decode()
    assert not [who.did for who in reporters if who.did in body] and "eport" not in body.replace("createReport", "")
    assert "seen" not in body and SPAM not in body


def _unnamed(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in ("subject", "cid")}


def test_the_list_is_paged_over_all_that_applies(place: Town) -> None:
    author = place.person(1)
    moderators = {slug: place.moderator(slug) for slug in ("python", "rust")}
    uris = [place.writer.post(1, tags=["python", "rust"]) for _ in range(4)]
    for uri in uris:
        label(place, moderators["python"], uri, version(place, uri), "spam")
        for slug, who in moderators.items():
            done(decide(place, who, slug, "remove", uri))
    for slug in ("b1", "b2"):
        place.found(slug)
        place.put(slug, author)
        assert place.decide(place.moderator(slug), slug, "ban", author).status == 200
    take_down(place, author)
    every = own_decisions(place, author)
    assert [one["kind"] for one in every] == ["takedown", "ban", "ban", *["label"] * 4, *["removal"] * 8]
    for limit in (1, 2, 3, 5):
        assert own_decisions(place, author, limit) == every


@pytest.mark.parametrize("how", ["takendown here", "takendown", "deactivated", "deleted"])
def test_who_is_taken_down_or_not_active_is_told_as_well(place: Town, how: str) -> None:
    author, uri = known(place, place.person(1)), place.writer.post(1)
    taken(report(place, author, plc(9)))
    removed(place, uri)
    if how == "takendown here":
        take_down(place, author)
    else:
        place.writer.sql("UPDATE actor SET active = 0, status = ? WHERE did = ?", how, author.did)
    assert own_decisions(place, author)[-1]["subject"] == uri
    assert len(own_reports(place, author)) == 1
    appeal(place, author, uri)
    assert own_decisions(place, author)[-1]["appeal"]["state"] == "open"


def test_s136_a_hidden_community_is_told_to_whom_it_has_banned_and_to_no_other(place: Town) -> None:
    top = place.found("top")
    place.found("secret", kind="hidden", parent=top)
    author = place.person(1)
    place.put("secret", author)
    uri = place.writer.post(1)
    put_in(place, "secret", uri)
    removed(place, uri, "secret")
    assert [one["community"] for one in own_decisions(place, author)] == ["secret"]
    place.writer.sql("DELETE FROM membership WHERE community = ? AND role = 1", place.id("secret"))
    assert own_decisions(place, author) == []
    assert b"secret" not in place.ask("listOwnDecisions", author).body
    place.put("secret", author, Status.BANNED)
    assert {one["kind"] for one in own_decisions(place, author)} == {"ban", "removal"}


def test_a_rule_that_is_named_is_told(place: Town) -> None:
    place.found("birds", rules=(Rule("No noise"),))
    author = place.member("birds")
    assert place.decide(place.moderator("birds"), "birds", "ban", author, rule="No noise").status == 200
    assert own_decisions(place, author)[0]["rule"] == "No noise"


# Withheld


def test_rule_and_reason_can_be_withheld(place: Town) -> None:
    author, uri, moderator = place.person(1), place.writer.post(1), place.moderator("python")
    done(decide(place, moderator, "python", "remove", uri, reason="A threat.", withhold=True))
    (told,) = own_decisions(place, author)
    assert told["withheld"] and told["kind"] == "removal" and not {"rule", "reason", "role"} & told.keys()
    assert told["appeal"]["audience"] == AUDIENCE, "it can be appealed against all the same"
    explained = place.ask("explain", author, community="python", post=uri)
    assert "decision" not in explained.json and b"A threat" not in explained.body
    assert place.ask("explain", moderator, community="python", post=uri).json["decision"]["reason"] == "A threat."


def test_of_a_ban_as_well(place: Town) -> None:
    author = place.member("python")
    reply = place.decide(place.moderator("python"), "python", "ban", author, reason="A threat.", withhold=True)
    assert reply.status == 200
    assert own_decisions(place, author)[0]["withheld"]
    assert b"A threat" not in place.ask("listOwnDecisions", author).body


@pytest.mark.parametrize("action", ["approve", "pin"])
def test_of_nothing_else(place: Town, action: str) -> None:
    uri, moderator = place.writer.post(1), place.moderator("python")
    before = place.writer.sql("SELECT * FROM mod_event")
    reply: Reply = decide(place, moderator, "python", action, uri, withhold=True)
    assert reply.fault == (400, "InvalidRequest") and place.writer.sql("SELECT * FROM mod_event") == before


def test_what_the_log_hides_is_not_told_to_others(place: Town) -> None:
    """The reason is the author's; others ask in vain, also with the author's subject."""
    author, uri = place.person(1), place.writer.post(1)
    removed(place, uri, reason="between us")
    for who in (place.person(), place.person(2), place.member("python")):
        assert own_decisions(place, who) == []
    assert b"between us" in place.ask("listOwnDecisions", author).body
    assert b"between us" not in place.ask("getDecisions", place.person(), community="python").body


def test_an_admin_of_the_site_is_no_author(place: Town) -> None:
    uri = place.writer.post(1)
    removed(place, uri)
    assert own_decisions(place, place.person(ADMIN)) == []
    assert place.ask("listOwnDecisions", place.person(ADMIN), subject=plc(1)).json == {"decisions": []}
