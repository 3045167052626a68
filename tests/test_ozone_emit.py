"""tools.ozone.moderation.emitEvent through HTTP: what each event does, and what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.mod_event import HOUR
from communities.review import State
from models.database import sql
from ozone.roles import Role
from ozone.views import DEFS
from tests.civic_posts import a_cid
from tests.civic_reports import APPEAL, flags, report, taken
from tests.didnet import plc
from tests.label_scene import LABELER
from tests.ozone_events import (
    ABOUT_ACCOUNTS,
    ACK,
    COMMENT,
    EMAIL,
    EMIT,
    ESCALATE,
    EVENTS,
    LABEL,
    MUTE,
    MUTE_REPORTER,
    RECORD_EVENT,
    REPORT,
    RESOLVE,
    REVERSE,
    SCORE,
    TAG,
    TAKEDOWN,
    UNMUTE,
    UNMUTE_REPORTER,
    body_of,
    check_books,
    done,
    down,
    emit,
    events,
    hidden,
    stands,
    states,
)
from tests.ozone_site import Desk, unlimited

AUTHOR = plc(1)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with unlimited(tmp_path) as found:
        yield found
        check_books(sql(found.place.writer.database))


def test_a_moderator_works_a_report_off(place: Desk) -> None:
    town = place.place
    uri, moderator = town.writer.post(1), town.moderator("python")
    taken(report(town, town.person(), uri, to=LABELER))
    assert states(place, uri) == {"python": State.OPEN}
    told = done(emit(place, moderator, uri, LABEL, comment="look"))
    assert told["createdBy"] == moderator.did and told["event"]["createLabelVals"] == ["spam"]
    assert states(place, uri) == {"python": State.OPEN}, "a label decides nothing"
    done(emit(place, moderator, uri, TAKEDOWN, policies=["spam"]))
    assert stands(place, uri)["python"].takendown and hidden(place, uri) == {"python": 4}
    assert emit(place, moderator, uri, TAKEDOWN).fault == (400, "InvalidRequest")
    done(emit(place, moderator, uri, REVERSE))
    assert not down(place, uri) and hidden(place, uri) == {"python": 0}
    assert emit(place, moderator, uri, REVERSE).fault == (400, "InvalidRequest")


def test_every_event_about_every_subject_by_the_team(place: Desk) -> None:
    """Also about what nobody can find."""
    admin, post = place.member(Role.ADMIN), place.place.writer.post(1)
    profile, lost = f"at://{AUTHOR}/app.bsky.actor.profile/self", f"at://{plc(77)}/app.bsky.feed.post/3kgone"
    for what in (post, profile, lost, AUTHOR, plc(78), f"{AUTHOR}#convo1"):
        for kind in EVENTS:
            reply = emit(place, admin, what, kind, cid=a_cid("seen") if what in (profile, lost) else "")
            record = what.startswith("at://")
            fits = not (kind in ABOUT_ACCOUNTS and (record or "#" in what)) and (kind != RECORD_EVENT or record)
            if "#" in what and kind in (LABEL, REPORT):
                fits = kind == REPORT
            assert reply.status == (200 if fits else 400), (what, kind, reply.body)
            if fits:
                assert reply.json["event"]["$type"] == DEFS + kind and reply.json["createdBy"] == admin.did
        assert states(place, what)["site"] in (State.CLOSED, State.ESCALATED), what


@pytest.mark.parametrize(
    "kind",
    ["modEventDivert", "ageAssuranceEvent", "ageAssuranceOverrideEvent", "ageAssurancePurgeEvent",
     "revokeAccountCredentialsEvent", "scheduleTakedownEvent", "cancelScheduledTakedownEvent"],
)  # fmt: skip
def test_what_cannot_be_done_here_is_said_to_be_so(place: Desk, kind: str) -> None:
    needed = {"createdAt": "2026-01-01T00:00:00Z", "status": "assured", "attemptId": "1", "comment": "c"}
    needed |= {"status": "reset"} if kind == "ageAssuranceOverrideEvent" else {}
    reply = emit(place, place.staff(), AUTHOR, kind, **needed)
    assert reply.fault == (400, "InvalidRequest") and "cannot be emitted here" in reply.json["message"]
    assert events(place) == []


def test_mutes_comments_scores_and_tags(place: Desk) -> None:
    who, now = place.member(Role.TRIAGE), place.place.clock.micros()
    uri = place.place.writer.post(1)

    def site() -> Any:
        return stands(place, uri)["site"]

    done(emit(place, who, uri, MUTE, durationInHours=2))
    assert site().mute_until == now + 2 * HOUR and site().state is State.NONE and site().reviewed_by == who.did
    done(emit(place, who, uri, MUTE, durationInHours=0))
    assert site().mute_until == now + 24 * HOUR, "0 is as long as usual"
    done(emit(place, who, uri, UNMUTE))
    assert site().mute_until is None
    done(emit(place, who, AUTHOR, MUTE_REPORTER))
    assert stands(place, AUTHOR)["site"].mute_reporting_until == now + 24 * HOUR
    done(emit(place, who, AUTHOR, UNMUTE_REPORTER))
    assert stands(place, AUTHOR)["site"].mute_reporting_until is None
    done(emit(place, who, uri, COMMENT, comment="keep", sticky=True))
    done(emit(place, who, uri, COMMENT, comment="by the way"))
    assert site().comment == "keep"
    done(emit(place, who, uri, COMMENT, comment="", sticky=True))
    assert site().comment == ""
    done(emit(place, who, uri, SCORE, score=100))
    assert site().priority == 100
    assert emit(place, who, uri, SCORE, score=101).fault == emit(place, who, uri, SCORE, score=-1).fault
    done(emit(place, who, uri, TAG, add=["b", "a", "b"], remove=[]))
    done(emit(place, who, uri, TAG, add=["c"], remove=["a"], durationInHours=3))
    assert site().tags == {"b": None, "c": now + 3 * HOUR}
    done(emit(place, who, uri, ESCALATE))
    done(emit(place, who, uri, ACK))
    assert site().state is State.CLOSED
    (view,) = place.ask("moderation.getSubjects", place.staff(), subjects=[AUTHOR]).json["subjects"]
    assert view["status"]["subject"]["did"] == AUTHOR


def test_what_a_takedown_says_is_kept(place: Desk) -> None:
    said = {
        "policies": ["spam", "other"], "targetServices": ["appview"], "severityLevel": "sev-2", "strikeCount": 2,
        "strikeExpiresAt": "2030-01-01T00:00:00.000Z", "durationInHours": 5, "comment": "why",
    }  # fmt: skip
    told = done(emit(place, place.member(Role.MODERATOR), AUTHOR, TAKEDOWN, **said, body_subjectBlobCids=[a_cid("b")]))
    assert told["event"] == {"$type": DEFS + TAKEDOWN, **said} and told["subjectBlobCids"] == [a_cid("b")]
    status = stands(place, AUTHOR)["site"]
    assert status.suspend_until == place.place.clock.micros() + 5 * HOUR and status.suspensions == 1
    assert place.place.writer.sql("SELECT value FROM mod_event_value WHERE kind = 'policy' ORDER BY value") == [
        ("other",),
        ("spam",),
    ]


def test_an_email_is_not_pretended_to_be_delivered(place: Desk) -> None:
    told = done(emit(place, place.staff(), AUTHOR, EMAIL, content="Hi", isDelivered=True, strikeCount=1))
    assert told["event"]["isDelivered"] is False and told["event"]["strikeCount"] == 1


def test_strikes_add_up_and_are_taken_back(place: Desk) -> None:
    moderator, uri = place.member(Role.MODERATOR), place.place.writer.post(1)

    def strikes() -> dict[str, Any]:
        (view,) = place.ask("moderation.getSubjects", place.staff(), subjects=[AUTHOR]).json["subjects"]
        found: dict[str, Any] = view["status"]["accountStrike"]
        return found

    done(emit(place, moderator, AUTHOR, EMAIL, strikeCount=1))
    done(emit(place, moderator, uri, TAKEDOWN, strikeCount=4, strikeExpiresAt="2026-12-31T00:00:00Z"))
    assert (strikes()["activeStrikeCount"], strikes()["totalStrikeCount"]) == (5, 5)
    done(emit(place, moderator, uri, REVERSE, strikeCount=4))
    assert (strikes()["activeStrikeCount"], strikes()["totalStrikeCount"]) == (1, 5)


def test_nobody_says_more_in_an_event_than_it_has(place: Desk) -> None:
    """Fields of other events are dropped, whatever they are: the lexicon has not judged them."""
    triage, uri = place.member(Role.TRIAGE), place.place.writer.post(1)
    other = place.place.writer.post(1)
    taken(report(place.place, place.place.person(), other, to=LABELER))
    for more in (
        {"strikeCount": 5}, {"strikeCount": "x"}, {"durationInHours": "x"}, {"policies": 5}, {"add": 5},
        {"isReporterMuted": True}, {"createLabelVals": [1]}, {"x": {"y": []}},
    ):  # fmt: skip
        assert done(emit(place, triage, uri, ACK, **more))["event"] == {"$type": DEFS + ACK}, more
    done(emit(place, triage, AUTHOR, COMMENT, acknowledgeAccountSubjects=True))
    assert states(place, other)["python"] is State.OPEN
    assert place.place.writer.sql("SELECT count(*) FROM strike") == [(0,)]


def test_what_has_gone_can_be_taken_down_and_given_back(place: Desk) -> None:
    """Of a post that was deleted, and of which no version is known, all are meant."""
    town = place.place
    moderator, uri = town.moderator("python"), town.writer.post(1, rkey="p")
    taken(report(town, town.person(), uri, to=LABELER))
    town.writer.delete(uri)
    done(emit(place, moderator, uri, TAKEDOWN, cid="bafkqaaa"))
    assert down(place, uri) == {"python"}
    assert town.writer.post(1, rkey="p") == uri and hidden(place, uri) == {"python": 4}
    town.writer.delete(uri)
    done(emit(place, moderator, uri, REVERSE, cid="bafkqaaa"))
    assert down(place, uri) == set()


def test_acknowledging_takes_a_post_out_of_the_queue(place: Desk) -> None:
    town = place.place
    moderator, uri = town.moderator("python"), town.writer.post(1)
    taken(report(town, town.person(), uri, to=LABELER))
    assert [row[:2] for row in flags(town)] == [("python", uri)]
    done(emit(place, moderator, uri, ACK))
    assert flags(town) == [] and hidden(place, uri) == {"python": 0}


def test_a_moderator_reports_and_appeals_for_an_author(place: Desk) -> None:
    town = place.place
    moderator, uri = place.member(Role.TRIAGE), town.writer.post(1)
    told = done(emit(place, moderator, uri, REPORT, comment="see", body_externalId="x1"))
    assert told["event"]["reportType"].endswith("reasonSpam") and told["event"]["comment"] == "see"
    assert states(place, uri) == {"python": State.OPEN}
    assert town.writer.sql("SELECT id, reporter FROM report") == [(told["id"], moderator.did)]
    assert emit(place, moderator, uri, REPORT, body_externalId="x1").fault == (400, "DuplicateExternalId")
    done(emit(place, moderator, uri, REPORT, reportType=APPEAL))
    assert states(place, uri) == {"python": State.ESCALATED} and stands(place, uri)["python"].appealed is True


def test_external_ids_are_there_once_for_a_kind_and_a_subject(place: Desk) -> None:
    who, town = place.member(Role.MODERATOR), place.place
    one, two = town.writer.post(1), town.writer.post(1)
    done(emit(place, who, one, COMMENT, body_externalId="a"))
    assert emit(place, who, one, COMMENT, body_externalId="a").fault == (400, "DuplicateExternalId")
    assert emit(place, place.staff(), one, COMMENT, body_externalId="a").fault == (400, "DuplicateExternalId")
    for kind, what, external in ((ACK, one, "a"), (COMMENT, two, "a"), (COMMENT, one, "b"), (COMMENT, one, "")):
        done(emit(place, who, what, kind, body_externalId=external))
    done(emit(place, who, one, COMMENT, body_externalId=""))


def test_a_batch_and_a_tool_are_kept_and_shown(place: Desk) -> None:
    tool = {"name": "bot/1", "meta": {"batchId": "b1", "deep": {"er": [1, "x"]}}}
    told = done(emit(place, place.staff(), AUTHOR, COMMENT, body_modTool=tool))
    assert told["modTool"] == tool
    assert place.place.writer.sql("SELECT batch, tool FROM mod_event") == [("b1", "bot/1")]


def _event(kind: str, **said: Any) -> tuple[str, Any]:
    return "event", {"$type": DEFS + kind, **said}


def _record(uri: str, **more: str) -> tuple[str, Any]:
    return "subject", {"$type": "com.atproto.repo.strongRef", "uri": uri, **more}


MALFORMED: list[tuple[str, Any]] = [
    ("event", {}), ("event", {"$type": "nothing"}), ("event", None), _event("modEventX"),
    _event(COMMENT, comment="x" * 20_001), _event(COMMENT, comment="\0"),
    _event(LABEL), _event(LABEL, createLabelVals=[], negateLabelVals=[]),
    _event(LABEL, createLabelVals=["spam"], negateLabelVals=["spam"]),
    _event(LABEL, createLabelVals=["undeclared"], negateLabelVals=[]),
    _event(LABEL, createLabelVals=["a" * 301], negateLabelVals=[]),
    _event(LABEL, createLabelVals=[f"v{n}" for n in range(101)], negateLabelVals=[]),
    _event(TAG, add=[], remove=[]), _event(TAG, add=[" "], remove=[]), _event(TAG, add="x", remove=[]),
    _event(TAG, add=["community:python"], remove=[]), _event(TAG, add=[], remove=["community:rust"]),
    _event(MUTE), _event(MUTE, durationInHours=-1), _event(MUTE, durationInHours=10**9),
    _event(TAKEDOWN, durationInHours=-1), _event(TAKEDOWN, strikeCount=-1), _event(TAKEDOWN, strikeCount=1001),
    _event(TAKEDOWN, strikeExpiresAt="soon"), _event(EMAIL), _event(REPORT, reportType=5), _event(SCORE, score="7"),
    ("subject", None), ("subject", {"$type": "x"}),
    ("subject", {"$type": "com.atproto.admin.defs#repoRef", "did": "x"}),
    _record("at://x/y/z", cid="bafkqaaa"), _record(f"at://{AUTHOR}", cid="bafkqaaa"),
    _record(f"at://{AUTHOR}/app.bsky.feed.post/x"), _record(f"at://{AUTHOR}/app.bsky.feed.post/x", cid="no"),
    ("subject", {"$type": "chat.bsky.convo.defs#convoRef", "did": AUTHOR, "convoId": ""}),
    ("subject", {"$type": "chat.bsky.convo.defs#convoRef", "did": AUTHOR}),
    ("createdBy", "x"), ("createdBy", None),
    ("modTool", {}), ("modTool", {"name": "x" * 201}), ("modTool", {"name": "x", "meta": []}),
    ("modTool", {"name": "x", "meta": {"batchId": 5}}), ("modTool", {"name": "x", "meta": {"community": 5}}),
    ("modTool", {"name": "x", "meta": {"community": "nowhere"}}), ("externalId", "x" * 301), ("externalId", 5),
    ("subjectBlobCids", ["x"]), ("subjectBlobCids", "x"), ("reportAction", 5),
]  # fmt: skip


def test_malformed_bodies_are_refused_and_leave_nothing(place: Desk) -> None:
    admin = place.staff()
    for field, value in MALFORMED:
        body = body_of(place, AUTHOR, COMMENT, {"comment": "c"}) | {field: value}
        reply = place.act(EMIT, admin, {key: one for key, one in body.items() if one is not None})
        assert reply.fault == (400, "InvalidRequest"), (field, value, reply.body)
    for data in (b"", b"[]", b"{", b"\xff", b'{"event": ' + b"[" * 500):
        assert place.act(EMIT, admin, data).status == 400
    assert events(place) == [] and place.rows("label_event") == []


def test_a_token_is_used_once_and_the_body_names_nobody(place: Desk) -> None:
    who = place.staff()
    sent = place.token(who, EMIT)
    body = body_of(place, AUTHOR, COMMENT, {"comment": "c"})
    assert place.act(EMIT, who, body, sent=sent).json["createdBy"] == who.did
    assert place.act(EMIT, who, body, sent=sent).fault == (401, "JwtReplayed")
    assert len(events(place)) == 1
    assert emit(place, None, AUTHOR, RESOLVE).fault == (401, "AuthMissing")
