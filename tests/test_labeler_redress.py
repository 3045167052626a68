"""Appeals against what was decided by the moderation API, and by what rows and indexes appeals are decided about."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.own_decisions import WITHHELD
from models import own_decisions as own_rows
from models import own_reports as report_rows
from models import report_cases, transparency
from ozone.views import DEFS
from tests.civic_posts import decide, done, hidden, version
from tests.civic_reports import APPEAL, about, report, taken
from tests.didnet import Account, plc
from tests.due_site import appeal, label, outcomes, own_decisions, own_reports, resolve
from tests.feed_site import Reply
from tests.label_scene import LABELER, LABELS, OTHER, SECOND
from tests.ozone_site import STAFF_ADMIN, STAFF_MODERATOR, Desk, desk

TAKEDOWN = 'takedown = "spam"\n'


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    """LABELER issues `spam` with each takedown."""
    labels = tmp_path / "with-takedown.toml"
    text = LABELS.replace('system = ["!warn"]', 'system = ["!warn"]\n' + TAKEDOWN.strip(), 1)
    labels.write_text(text + SECOND.replace('"birds"', '"rust"'))
    with desk(tmp_path, labels=str(labels)) as found:
        yield found


def emit(place: Desk, who: Account, what: str, kind: str, **said: Any) -> Reply:
    """Emit an event about an account or a post."""
    event = {"$type": DEFS + kind, **said}
    body = {"event": event, "subject": about(place.place, what), "createdBy": who.did}
    return place.act("moderation.emitEvent", who, body)


def emitted(reply: Reply) -> None:
    assert reply.status == 200, reply.body


def test_the_label_of_a_takedown_goes_with_it(place: Desk) -> None:
    town = place.place
    author, uri, moderator = town.person(1), town.writer.post(1), town.moderator("python")
    emitted(emit(place, moderator, uri, "modEventTakedown", comment="Planes."))
    assert [(one["kind"], one.get("labels")) for one in own_decisions(town, author)] == [
        ("label", ["spam"]), ("removal", None),
    ]  # fmt: skip
    appeal(town, author, uri)
    assert resolve(town, moderator, uri, "grant").fault == (403, "NotPermitted")
    assert resolve(town, town.moderator("python"), uri, "grant").status == 200
    assert hidden(town, "python", uri) == 0 and own_decisions(town, author) == []
    assert town.writer.sql("SELECT takendown, appealed FROM subject_status WHERE scope > 0") == [(0, 0)]


@pytest.mark.parametrize("what", ["account", "post"])
def test_a_takedown_by_the_team_is_reversed_for_the_site_by_another(place: Desk, what: str) -> None:
    town = place.place
    author, uri, decider = town.person(1), town.writer.post(1), place.staff(STAFF_MODERATOR)
    subject = uri if what == "post" else author.did
    emitted(emit(place, decider, subject, "modEventTakedown", policies=["spam"], comment="internal"))
    assert town.site.page("python").posts == []
    told = own_decisions(town, author)
    assert {one["kind"] for one in told} == {"label", "removal" if what == "post" else "takedown"}
    assert all("community" not in one and "reason" not in one for one in told)
    assert [one["rule"] for one in told if one["kind"] != "label"] == ["spam"]
    appeal(town, author, subject)
    assert {one["appeal"]["state"] for one in own_decisions(town, author) if one["kind"] != "label"} == {"open"}
    assert resolve(town, decider, subject, "grant", None).fault == (403, "NotPermitted")
    assert resolve(town, place.staff(STAFF_ADMIN), subject, "grant", None).status == 200
    assert town.site.page("python").posts == [uri] and own_decisions(town, author) == []
    assert town.writer.sql("SELECT max(takendown) FROM subject_status") == [(0,)]
    emitted(emit(place, decider, subject, "modEventTakedown"))  # it is no double one


def test_a_takedown_after_the_appeal_stays(place: Desk) -> None:
    town = place.place
    author, staff = town.person(1), place.staff(STAFF_MODERATOR)
    appeal(town, author, author.did)
    town.clock.now += 60
    emitted(emit(place, staff, author.did, "modEventTakedown"))
    assert own_decisions(town, author)[0]["appeal"]["state"] == "none"
    assert resolve(town, staff, author.did, "grant", None).status == 200, "against nothing that this one decided"
    assert {one["kind"] for one in own_decisions(town, author)} == {"takedown", "label"}


def test_the_moderation_api_marks_an_appeal_by_what_is_in_force(place: Desk) -> None:
    """Who only resolves, and takes nothing back, denies."""
    town = place.place
    author, decider, other = town.person(1), place.staff(STAFF_MODERATOR), place.staff(STAFF_ADMIN)
    emitted(emit(place, decider, author.did, "modEventTakedown"))
    for state in ("denied", "granted"):
        town.clock.now += 1
        taken(report(town, author, author.did, APPEAL, to=LABELER))
        assert emit(place, decider, author.did, "modEventResolveAppeal").fault == (403, "NotPermitted")
        if state == "granted":
            emitted(emit(place, other, author.did, "modEventReverseTakedown"))
        emitted(emit(place, other, author.did, "modEventResolveAppeal", comment="internal"))
        assert town.writer.sql("SELECT state, note FROM appeal ORDER BY id DESC LIMIT 1") == [(state, "")]
        assert own_reports(town, author)[0]["places"][0]["outcome"] == state


def test_every_one_whose_label_holds_is_refused_there_too(place: Desk) -> None:
    town = place.place
    author, uri = town.person(1), town.writer.post(1)
    first, second = town.moderator("python"), town.moderator("python")
    label(town, first, uri, version(town, uri), "spam")
    label(town, second, uri, version(town, uri), "spoiler")
    appeal(town, author, uri, to=LABELER)
    for who in (first, second):
        assert emit(place, who, uri, "modEventResolveAppeal").fault == (403, "NotPermitted")
    emitted(emit(place, town.moderator("python"), uri, "modEventResolveAppeal"))


def test_an_appeal_to_one_labeler_is_not_resolved_as_anothers(place: Desk) -> None:
    town = place.place
    author, admin = town.person(1), place.staff(STAFF_ADMIN)
    town.writer.post(1)
    for to in (LABELER, OTHER):
        taken(report(town, author, author.did, APPEAL, to=to))
    reply = resolve(town, admin, author.did, "deny", None, labeler=OTHER)
    assert [one["labeler"] for one in reply.json["appeals"]] == [OTHER]
    assert [one["places"][0].get("outcome") for one in own_reports(town, author)] == ["denied", None]


def test_a_tag_of_the_moderation_api_withholds(place: Desk) -> None:
    town = place.place
    author, uri, moderator = town.person(1), town.writer.post(1), town.moderator("python")
    done(decide(town, moderator, "python", "remove", uri, reason="A threat."))
    assert own_decisions(town, author)[0]["reason"] == "A threat."
    for add, remove, told in (([WITHHELD], [], False), ([], [WITHHELD], True)):
        emitted(emit(place, moderator, uri, "modEventTag", add=add, remove=remove))
        assert ("reason" in own_decisions(town, author)[0]) is told


def test_a_subject_that_was_down_already_is_a_duplicate(place: Desk) -> None:
    town = place.place
    early, late, staff = town.person(), town.person(), place.staff(STAFF_MODERATOR)
    taken(report(town, early, plc(5), to=LABELER))
    emitted(emit(place, staff, plc(5), "modEventTakedown"))
    town.clock.now += 1
    taken(report(town, late, plc(5), to=LABELER))
    assert outcomes(town, late) == [[(LABELER, "received", None)]]
    emitted(emit(place, staff, plc(5), "modEventAcknowledge"))
    assert outcomes(town, late) == [[(LABELER, "closed", "duplicate")]]
    assert outcomes(town, early) == [[(LABELER, "closed", "removed")]]


def test_what_the_site_takes_down_is_no_inaction_of_a_community(place: Desk) -> None:
    town = place.place
    uri, early, late = town.writer.post(1), town.person(), town.person()
    taken(report(town, early, uri))
    town.clock.now += 1
    emitted(emit(place, place.staff(STAFF_MODERATOR), plc(1), "modEventTakedown"))
    town.clock.now += 1
    taken(report(town, late, uri))
    done(decide(town, town.moderator("python"), "python", "approve", uri))
    assert outcomes(town, early) == [[("python", "closed", "removed")]]
    assert outcomes(town, late) == [[("site", "received", None)]], "no community shows it any more"


def test_what_others_have_reported_meanwhile_goes_on_waiting(place: Desk) -> None:
    """To decide about an appeal against a label decides nothing about a report that nobody has looked at."""
    town = place.place
    author, uri, reporter = town.person(1), town.writer.post(1), town.person()
    for action in ("deny", "grant"):
        label(town, town.moderator("python"), uri, version(town, uri), "spoiler" if action == "grant" else "spam")
        appeal(town, author, uri, to=LABELER)
        taken(report(town, reporter, uri))
        assert resolve(town, town.moderator("python"), uri, action).status == 200
        assert outcomes(town, reporter) == [[("python", "received", None)]]
        assert town.writer.sql("SELECT state, appealed FROM subject_status WHERE scope > 0") == [(2, 0)]
        assert own_reports(town, author)[0]["places"][0]["state"] == "closed"


@pytest.mark.parametrize(
    ("statement", "bindings"),
    [
        (own_rows._BANS, (1, "did:a", 1, 0, 9)),
        (own_rows._REMOVALS, (1, "k", 1, 9)),
        (own_rows._LABELS, ("did:a", "at://did:a/", "at://did:a0", 1, 9, 9)),
        (own_rows._TAKEDOWN, ("did:a", "")),
        (report_rows._PAGE, ("did:a", 1, 1, 9)),
        (report_rows._REACHED, (1,)),
        (report_rows._SINCE, (1, 1, 1, 1)),
        (report_cases._WAITS, (1, 1)),
        (transparency._DECISIONS, (1, 1, 2)),
        (transparency._ANSWERED, (1, 1, 2)),
        (transparency._APPEALS, (1, 1, 2)),
        (transparency._AUTHORS, (1, 1, 2)),
    ],
)
def test_no_table_is_read_whole(place: Desk, statement: str, bindings: tuple[Any, ...]) -> None:
    plan = [row[3] for row in place.place.writer.sql(f"EXPLAIN QUERY PLAN {statement}", *bindings)]
    scans = [step for step in plan if step.startswith("SCAN")]
    # Labelers are a handful; what stands in brackets, or has a name of one letter, was found by an index before.
    assert [step for step in scans if step.split()[1] not in ("l", "c", "h", "r") and "(" not in step] == [], plan
