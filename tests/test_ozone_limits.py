"""Moderators of a community whose role is limited, at the moderation API: what they may do, of what kind and to which
reports; and that it ends with the role.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role as Member
from communities.access import Scope
from communities.limits import ACCOUNT, Limits
from communities.refs import POST
from communities.report_cases import begin
from communities.report_state import Act
from models.database import sql, writing
from models.reports import Said
from ozone.roles import Role
from tests.civic_posts import decide
from tests.civic_reports import SPAM
from tests.didnet import Account, plc
from tests.label_scene import LABELER, LABELS
from tests.ozone_events import (
    ABOUT_ACCOUNTS,
    EMIT,
    EVENTS,
    LABEL,
    REPORT,
    RESOLVE,
    REVERSE,
    TAKEDOWN,
    check_books,
    done,
    emit,
    events,
    labels,
    stands,
)
from tests.ozone_net import net
from tests.ozone_reports import ASSIGN, CLOSE, case, do, made, state
from tests.ozone_site import Desk, unlimited

RUDE, OLD_APPEAL, NEW_APPEAL = (
    "com.atproto.moderation.defs#reasonRude",
    "com.atproto.moderation.defs#reasonAppeal",
    "tools.ozone.report.defs#reasonAppeal",
)
AUTHOR = plc(1)
NOT_THERE = (400, "InvalidRequest")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with unlimited(tmp_path) as found:
        yield found
        check_books(sql(found.place.writer.database))


@pytest.fixture
def taking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """The site, where takedowns of the first labeler issue `spam`."""
    monkeypatch.setattr("tests.ozone_site.LABELS", LABELS.replace("system =", 'takedown = "spam"\nsystem =', 1))
    with unlimited(tmp_path) as found:
        yield found


def limited(place: Desk, who: Account | None = None, until: int | None = None, **parts: set[str]) -> Account:
    """Somebody who moderates `python`, limited to this."""
    who = who or place.place.person()
    limits = Limits(**{name: frozenset(names) for name, names in parts.items()})
    place.place.put("python", who, role=Member.MODERATOR, limits=limits, until=until)
    return who


@pytest.mark.parametrize("kind", [kind for kind in EVENTS if kind != REPORT])
def test_a_subject_of_another_collection_is_not_there_for_any_event(place: Desk, kind: str) -> None:
    uri = place.place.writer.post(1)
    what, mine, other = (uri, POST, ACCOUNT) if kind not in ABOUT_ACCOUNTS else (AUTHOR, ACCOUNT, POST)
    made(place, what)  # so it is known
    if kind == REVERSE:
        done(emit(place, place.place.moderator("python"), what, TAKEDOWN))
    before = len(events(place))
    for more in ({}, {"named": "python"}):
        for collections in ({other}, set()):
            who = limited(place, collections=collections)
            hidden = emit(place, who, what, kind, **more)
            unknown = emit(place, who, plc(77), kind, **more)
            assert hidden.fault == NOT_THERE and len(events(place)) == before, hidden.body
            # Exactly as about something of which nobody has ever heard.
            assert what == uri or hidden.body == unknown.body
    done(emit(place, limited(place, collections={mine}, reasons={OLD_APPEAL, NEW_APPEAL}), what, kind))
    assert {one.scope for one in events(place)[before:]} == {"python"}


@pytest.mark.parametrize(
    ("labels_of", "add", "remove", "fine"),
    [
        ({"spam"}, ["spam"], [], True),
        ({"spam"}, ["spoiler"], [], False),
        ({"spam"}, ["spam", "spoiler"], [], False),
        (set(), ["spam"], [], False),
        ({"spoiler"}, [], ["held"], True),
        ({"spoiler"}, [], ["spam"], False),
        ({"spam"}, [], ["spam"], True),
    ],
    ids=str,
)
def test_values(place: Desk, labels_of: set[str], add: list[str], remove: list[str], fine: bool) -> None:
    uri = place.place.writer.post(1)
    if remove:
        done(emit(place, place.place.moderator("python"), uri, LABEL, createLabelVals=["spam"], negateLabelVals=[]))
    before = labels(place, uri)
    reply = emit(place, limited(place, labels=labels_of), uri, LABEL, createLabelVals=add, negateLabelVals=remove)
    if fine:
        done(reply)
    else:
        assert reply.fault == (403, "NotPermitted") and labels(place, uri) == before


def test_reports_by_reason_and_collection(place: Desk) -> None:
    """activities, assignments, closeReports and reportAction work on reports that are theirs; there are no others."""
    uri = place.place.writer.post(1)
    spam, rude = (case(place, made(place, uri, reason), "python") for reason in (SPAM, RUDE))
    account = case(place, made(place, place.place.member("python").did, SPAM), "python")
    who = limited(place, reasons={SPAM}, collections={POST})
    for number in (rude, account, 999_999):
        assert do(place, who, number, Act.NOTE, internalNote="x").fault == (400, "ReportNotFound")
        assert place.act(ASSIGN, who, {"reportId": number}).fault == (400, "InvalidAssignment")
    bodies = {do(place, who, number, Act.NOTE, internalNote="x").body for number in (rude, account, 999_999)}
    assert len(bodies) == 1
    assert do(place, who, spam, Act.NOTE, internalNote="x").status == 200
    assert place.act(ASSIGN, who, {"reportId": spam}).status == 200
    # An admin cannot give it to somebody whose role does not cover it.
    admin = place.staff()
    for number, status in ((spam, 200), (rude, 400)):
        assert place.act(ASSIGN, admin, {"reportId": number, "did": who.did}).status == status
    named = {"body_reportAction": {"ids": [rude]}}
    assert emit(place, who, uri, "modEventAcknowledge", **named).fault == NOT_THERE
    reply = place.act(CLOSE, who, {"subject": uri, "reportTypes": [RUDE]})
    assert reply.json == {"closedCount": 0, "reportIds": []}
    assert place.act(CLOSE, who, {"subject": uri}).json == {"closedCount": 1, "reportIds": [spam]}
    assert [state(place, number) for number in (spam, rude, account)] == ["closed", "open", "open"]
    done(emit(place, who, uri, "modEventComment", comment="x", body_reportAction={"all": True}))
    assert state(place, rude) == "open"
    other = limited(place, reasons={RUDE})
    done(emit(place, other, uri, "modEventComment", comment="x", body_reportAction={"types": [RUDE, SPAM]}))
    assert state(place, rude) == "closed"


@pytest.mark.parametrize("reasons", [{SPAM}, {OLD_APPEAL}, {OLD_APPEAL, NEW_APPEAL}], ids=str)
def test_to_hear_appeals_both_names_of_their_reason_are_needed(place: Desk, reasons: set[str]) -> None:
    author, uri = place.place.person(1), place.place.writer.post(1)
    done(emit(place, place.place.moderator("python"), uri, TAKEDOWN))
    made(place, uri, NEW_APPEAL, by=author)
    reply = emit(place, limited(place, reasons=reasons), uri, RESOLVE)
    assert reply.status == 200 if len(reasons) == 2 else reply.fault == NOT_THERE
    assert bool(stands(place, uri)["python"].appealed) is (len(reasons) < 2)


@pytest.mark.parametrize("against", ["ban", "label"])
def test_an_appeal_is_answered_by_the_role_that_the_decision_takes(place: Desk, against: str) -> None:
    """The scope `members` for bans, the value for labels. So it is with a takedown, which denies what one hears."""
    town, uri = place.place, place.place.writer.post(1)
    author, who = town.person(1), town.moderator("python")
    what = author.did if against == "ban" else uri
    if against == "ban":
        done(emit(place, who, what, TAKEDOWN))
        unfit = town.moderator("python", scope=frozenset([Scope.POSTS]))
    else:
        done(emit(place, who, what, LABEL, createLabelVals=["spam"], negateLabelVals=[]))
        unfit = limited(place, labels={"spoiler"})
    made(place, what, NEW_APPEAL, by=author, to=LABELER)
    body = {"community": "python", "subject": what, "action": "deny", "reason": "So be it."}
    assert town.act("resolveAppeal", unfit, body).fault == (403, "NotPermitted")
    assert emit(place, unfit, what, RESOLVE).fault == (403, "NotPermitted")
    if against == "label":
        done(emit(place, unfit, what, TAKEDOWN))
    done(emit(place, unfit, AUTHOR, "modEventAcknowledge", acknowledgeAccountSubjects=True))
    assert stands(place, what)["python"].appealed is True
    assert town.writer.sql("SELECT state FROM appeal") == [("open",)]
    done(emit(place, town.moderator("python"), what, RESOLVE))
    assert town.writer.sql("SELECT state FROM appeal") == [("denied",)]


def test_the_team_is_limited_by_no_community(place: Desk) -> None:
    """As triage they do everywhere what triage does; what only the community's role lets them do is limited."""
    uri = place.place.writer.post(1)
    both = place.member(Role.TRIAGE)
    limited(place, both, collections={ACCOUNT}, labels={"spoiler"}, reasons=set())
    number = case(place, made(place, uri), "python")
    done(emit(place, both, uri, "modEventComment", comment="x"))
    assert do(place, both, number, Act.NOTE, internalNote="x").status == 200
    assert emit(place, both, uri, TAKEDOWN).fault == NOT_THERE
    moderator = place.member(Role.MODERATOR)
    limited(place, moderator, collections=set(), labels=set(), reasons=set())
    done(emit(place, moderator, uri, LABEL, createLabelVals=["spam"], negateLabelVals=[]))


def test_it_ends_with_the_role_at_once(place: Desk) -> None:
    uri = place.place.writer.post(1)
    who = limited(place, until=place.place.clock.micros() + 1_000_000, labels={"spam"}, collections={POST})
    done(emit(place, who, uri, LABEL, createLabelVals=["spam"], negateLabelVals=[]))
    place.place.clock.now += 1
    calls: list[tuple[str, Any]] = [
        (EMIT, {"event": {"$type": "tools.ozone.moderation.defs#modEventComment", "comment": "x"},
                "subject": {"$type": "com.atproto.admin.defs#repoRef", "did": AUTHOR}, "createdBy": who.did}),
        (CLOSE, {"subject": uri}),
    ]  # fmt: skip
    for method, body in calls:
        assert place.act(method, who, body).fault == (401, "AuthenticationRequired")
    assert place.ask("moderation.queryEvents", who).fault == (401, "AuthenticationRequired")


def test_what_is_known_by_reports_of_others_alone_is_not_there(place: Desk) -> None:
    """An account that nobody in the community knows otherwise, and a reporter whose reports are not seen."""
    stranger, reporter = plc(78), place.place.person()
    with writing(place.place.writer.database) as connection:
        said = Said(reporter.did, RUDE, "Look.", stranger, labeler=LABELER)
        begin(connection, said, [place.place.id("python")], place.place.clock.micros())
    hidden, seen = limited(place, reasons={SPAM}), limited(place, reasons={RUDE})
    calls = ((stranger, "modEventComment"), (stranger, TAKEDOWN), (reporter.did, "modEventMuteReporter"))
    for what, kind in calls:
        unknown = emit(place, hidden, plc(79), kind)
        assert unknown.fault == NOT_THERE and emit(place, hidden, what, kind).body == unknown.body
        assert emit(place, hidden, what, kind, named="python").fault == NOT_THERE
    for what, kind in (calls[0], calls[2]):
        done(emit(place, seen, what, kind))
    # Now something was said of it that both of them see.
    done(emit(place, hidden, stranger, "modEventComment"))


@pytest.mark.parametrize("labels_of", [{"spam"}, {"spoiler"}, set()], ids=str)
def test_the_label_of_a_takedown_takes_a_grant_as_any_other(taking: Desk, labels_of: set[str]) -> None:
    """To issue it, and to take it back, whichever door gives the post back."""
    place = taking
    uri, who, free = place.place.writer.post(1), limited(place, labels=labels_of), place.place.moderator("python")
    mine = "spam" in labels_of
    for kind in (TAKEDOWN, REVERSE):
        reply = emit(place, who, uri, kind)
        assert reply.status == 200 if mine else reply.fault == (403, "NotPermitted"), reply.body
        if not mine and kind == TAKEDOWN:
            done(emit(place, free, uri, kind))
            assert decide(place.place, who, "python", "restore", uri).fault == (403, "NotPermitted")
            assert labels(place, uri) == {("spam", ""): None}
    if mine:
        done(emit(place, who, uri, TAKEDOWN))
        assert decide(place.place, who, "python", "restore", uri).status == 200
        assert labels(place, uri) == {}


# What is read of single subjects


def test_evidence_and_how_subjects_stand(tmp_path: Path) -> None:
    with net(tmp_path) as world:
        author = world.account()
        uri = f"at://{author.did}/app.bsky.feed.post/deleted"
        world.evidence(uri, {"text": "reported"}, to="python")  # as spam
        for parts, shown, status in (
            ({"collections": {POST}}, True, True),
            ({"reasons": {SPAM}}, True, False),
            ({"reasons": {RUDE}}, False, False),
            ({"collections": {ACCOUNT}}, False, False),
            ({"labels": set[str]()}, True, True),
        ):
            who = limited(world.place, **parts)
            reply = world.ask("getRecord", who, uri=uri)
            assert reply.status == 200 if shown else reply.fault == (400, "RecordNotFound"), parts
            assert not shown or ("subjectStatus" in reply.json["moderation"]) is status
            (subject,) = world.ask("getSubjects", who, subjects=[uri]).json["subjects"]
            assert ("status" in subject) is status, parts
