"""Who may have a subject forwarded to another labeler, by what, and who sees that it was; and how it is taken back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from communities.access import Role as Member
from communities.reasons import LEGACY
from ozone.roles import Role
from tests.civic_reports import SPAM, TROLL, report, taken
from tests.didnet import plc
from tests.forward_site import ESCALATE, SECOND_UPSTREAM, UNKNOWN, UPSTREAM, Forwards, forwarding_desk
from tests.label_scene import LABELER, OTHER

WAITS, DONE, FAILED = f"forward:{UPSTREAM}", f"forwarded:{UPSTREAM}", f"forward-failed:{UPSTREAM}"


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own worker sends nothing."""
    monkeypatch.setattr("service.forwarding.LOOK_SECONDS", 1e6)


@pytest.fixture
def place(tmp_path: Path, still: None) -> Iterator[Forwards]:
    with forwarding_desk(tmp_path) as found:
        yield found


def test_an_account_is_forwarded_by_an_escalation_of_a_program(place: Forwards) -> None:
    town, who = place.town, place.place.member(Role.MODERATOR)
    tool = {"name": "desk-bot", "meta": {"forwardTo": SECOND_UPSTREAM}}
    bad = plc(1)
    assert place.emit(who, bad, ESCALATE, tool=tool, comment="A ring.").status == 200
    assert place.tags(bad) == [f"forward:{SECOND_UPSTREAM}"]
    view = place.place.ask("moderation.getSubjects", who, subjects=[bad]).json["subjects"][0]
    assert view["status"]["reviewState"].endswith("#reviewEscalated")
    place.step()
    (got,) = place.pds.sent
    assert got.proxy == f"{SECOND_UPSTREAM}#atproto_labeler"
    assert got.body == {
        "reasonType": f"{LEGACY}Other",
        "reason": "A ring.",
        "subject": {"$type": "com.atproto.admin.defs#repoRef", "did": bad},
    }
    assert place.tags(bad) == [f"forwarded:{SECOND_UPSTREAM}"]
    for wrong in ({"forwardTo": 7}, {"forwardTo": UNKNOWN}):
        assert place.emit(who, bad, ESCALATE, tool={"name": "b", "meta": wrong}).status == 400
    assert place.emit(who, bad, "modEventAcknowledge", tool=tool).fault == (400, "InvalidRequest")
    assert town.writer.sql("SELECT count(*) FROM forward") == [(1,)]


@pytest.mark.parametrize("missing", ["forward_account", "forward_password", "forward_to"])
def test_without_its_settings_it_says_which_is_missing(tmp_path: Path, still: None, missing: str) -> None:
    with forwarding_desk(tmp_path, **{missing: ""}) as place:
        uri, who = place.town.writer.post(1), place.town.moderator("python")
        refused = place.forward(who, uri)
        assert refused.fault == (400, "InvalidRequest")
        assert f"COMMUNITIES_{missing.upper()} must be set" in refused.json["message"]
        assert place.rows() == [] and place.tags(uri) == []


def test_what_is_not_forwarded(place: Forwards) -> None:
    uri, who = place.town.writer.post(1), place.town.moderator("python")
    for to in (UNKNOWN, "", "somebody", LABELER):
        assert place.forward(who, uri, to).fault == (400, "InvalidRequest"), to
    assert place.emit(who, uri, add=[WAITS, "x"]).fault == (400, "InvalidRequest")
    assert place.emit(who, uri, add=[WAITS], durationInHours=3).fault == (400, "InvalidRequest")
    for forged in (DONE, FAILED):
        assert place.emit(who, uri, add=[forged]).fault == (400, "InvalidRequest")
    assert place.forward(who, uri, comment="x" * 2_001).fault == (400, "InvalidRequest")
    assert place.rows() == [] and place.tags(uri) == []
    assert place.forward(who, uri, comment="x" * 2_000).status == 200
    assert place.forward(who, uri).fault == (400, "InvalidRequest"), "it waits already"


def test_only_moderators_forward(place: Forwards) -> None:
    uri = place.town.writer.post(1)
    for who in (place.place.member(Role.TRIAGE), place.place.member(Role.VERIFIER), place.town.member("python")):
        assert place.forward(who, uri).fault == (401, "AuthenticationRequired")
        tool = {"name": "b", "meta": {"forwardTo": UPSTREAM}}
        assert place.emit(who, uri, ESCALATE, tool=tool).fault == (401, "AuthenticationRequired")
    assert place.forward(place.town.moderator("rust"), uri).fault == (400, "InvalidRequest"), "it is not rust's"
    assert place.rows() == []
    assert place.forward(place.place.member(Role.MODERATOR), uri).status == 200
    triage = place.place.member(Role.TRIAGE)
    assert place.emit(triage, uri, remove=[WAITS]).fault == (401, "AuthenticationRequired")


def test_a_protected_tag_protects_escalations_too(place: Forwards) -> None:
    uri, who, admin = place.town.writer.post(1), place.place.member(Role.MODERATOR), place.place.staff()
    roles = {WAITS: {"roles": [Role.ADMIN.token]}}
    setting = {"key": "tools.ozone.setting.protectedTags", "scope": "instance", "value": roles}
    assert place.place.act("setting.upsertOption", admin, setting | {"managerRole": Role.ADMIN.token}).status == 200
    assert place.forward(who, uri).status == 400
    assert place.emit(who, uri, ESCALATE, tool={"name": "b", "meta": {"forwardTo": UPSTREAM}}).status == 400
    assert place.rows() == [] and place.forward(admin, uri).status == 200


def test_what_one_community_forwards_another_does_not_see(place: Forwards) -> None:
    town = place.town
    uri = town.writer.post(1, tags=["python", "rust"])
    one, other = town.moderator("python"), town.moderator("rust")
    taken(report(town, town.person(), uri, SPAM))
    assert place.forward(one, uri, comment="for python").status == 200
    place.step()
    assert place.tags(uri, one) == [DONE] and place.tags(uri, other) == []
    assert place.events(other, uri) == [] and len(place.events(one, uri)) == 1
    assert place.forward(other, uri, comment="for rust").status == 200, "that it was forwarded is not told to them"
    place.step()
    assert [one.body["reason"] for one in place.pds.sent] == ["for python", "for rust"]


def test_who_moderates_several_forwards_once(place: Forwards) -> None:
    town = place.town
    uri, who = town.writer.post(1, tags=["python", "rust"]), town.moderator("python")
    town.put("rust", who, role=Member.MODERATOR)
    taken(report(town, town.person(), uri, SPAM))
    assert place.forward(who, uri).status == 200
    assert len(place.rows()) == 1
    assert place.emit(who, uri, remove=[WAITS]).status == 200
    assert place.rows()[0][0] == "withdrawn" and place.tags(uri) == []


def test_to_undo_that_it_was_taken_back_asks_for_nothing(place: Forwards) -> None:
    town = place.town
    uri, who = town.writer.post(1), town.moderator("python")
    assert place.forward(who, uri).status == 200
    back = place.emit(who, uri, remove=[WAITS]).json["id"]
    undone = town.act("undo", who, {"community": "python", "event": back})
    assert [one["undone"] for one in undone.json["events"]] == [False] and place.tags(uri) == []
    place.step()
    assert place.pds.sent == [] and place.rows()[0][0] == "withdrawn"


@pytest.mark.parametrize("door", ["tag", "undo"])
def test_what_waits_can_be_taken_back_and_asked_for_again(place: Forwards, door: str) -> None:
    town = place.town
    uri, who = town.writer.post(1), town.moderator("python")
    asked = place.forward(who, uri, comment="first")
    if door == "tag":
        assert place.emit(who, uri, remove=[WAITS]).status == 200
    else:
        body = {"community": "python", "event": asked.json["id"]}
        undone = town.act("undo", who, body)
        assert undone.status == 200, undone.body
    assert place.tags(uri) == []
    place.step()
    assert place.pds.sent == [] and [row[0] for row in place.rows()] == ["withdrawn"]
    assert place.forward(who, uri, comment="second").status == 200
    place.step()
    assert [one.body["reason"] for one in place.pds.sent] == ["second"] and place.tags(uri) == [DONE]


def test_what_was_sent_is_not_undone(place: Forwards) -> None:
    town = place.town
    uri, who = town.writer.post(1), town.moderator("python")
    asked = place.forward(who, uri)
    place.step()
    told = place.events(who, uri)[0]["id"]
    for number in (asked.json["id"], told):
        undone = town.act("undo", who, {"community": "python", "event": number})
        assert undone.status == 200 and [one["undone"] for one in undone.json["events"]] == [False], undone.body
    assert place.tags(uri) == [DONE] and place.rows()[0][0] == "sent"


def test_what_muted_reporters_say_is_not_the_reason(place: Forwards) -> None:
    town, who, reporter = place.town, place.town.moderator("python"), place.town.person()
    uri, other = town.writer.post(1), town.writer.post(2)
    taken(report(town, reporter, other, TROLL))
    taken(report(town, town.person(), uri, SPAM))
    assert place.emit(who, reporter.did, "modEventMuteReporter").status == 200
    taken(report(town, reporter, uri, TROLL))
    assert place.forward(who, uri).status == 200
    place.step()
    assert [one.body["reasonType"] for one in place.pds.sent] == [SPAM]


def test_of_several_scopes_it_is_the_one_in_which_a_report_waits(place: Forwards) -> None:
    town = place.town
    uri, who = town.writer.post(1, tags=["python", "rust"]), town.moderator("python")
    assert place.emit(who, uri, "modEventComment", comment="known in python").status == 200
    town.put("rust", who, role=Member.MODERATOR)
    taken(report(town, town.person(), uri, TROLL, to=OTHER))
    assert place.forward(who, uri).status == 200
    place.step()
    assert [one.body["reasonType"] for one in place.pds.sent] == [TROLL]
    assert place.tags(uri, town.moderator("rust")) == [DONE] and place.tags(uri, town.moderator("python")) == []
