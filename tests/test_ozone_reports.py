"""tools.ozone.report.queryReports, getReport, getLatestReport, closeReports: who sees which reports, and how."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.access import Role as Member
from communities.casebook import append
from communities.mod_event import Kind, ModEvent
from communities.report_cases import about, begin
from communities.report_state import Act, State
from models import report_assignments, report_queries
from models.database import sql, writing
from models.mod_events import SERVICE, SubjectKey, key_of
from models.report_queries import STATES, Order, Wanted
from models.reports import Said
from models.scopes import Scopes
from ozone.roles import Role
from ozone.views import COMMUNITY_TAG
from tests.civic_posts import a_cid
from tests.civic_reports import APPEAL, OTHER, SPAM, TROLL
from tests.didnet import Account, plc
from tests.label_scene import LABELER
from tests.label_scene import OTHER as SECOND
from tests.ozone_reports import (
    ASSIGN,
    CLOSE,
    GET,
    LATEST,
    LIST,
    QUERY,
    case,
    do,
    good,
    ids,
    made,
    mute,
    state,
)  # fmt: skip
from tests.ozone_site import NSID, Desk, desk, unlimited

CONVO = "chat.bsky.convo.defs#"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def talked(place: Desk, who: Account, message: str = "") -> int:
    """A report of a conversation, or of a message in it, as it is kept where such reports are taken."""
    said = Said(who.did, SPAM, "", plc(5), convo="c1", message=message)
    with writing(place.place.writer.database) as connection:
        return begin(connection, said, [SERVICE], place.place.clock.micros()).id


def closed(place: Desk, who: Account, subject: str, **more: Any) -> list[int]:
    """Close the reports of a subject."""
    answer = good(place.act(CLOSE, who, {"subject": subject, **more}))
    assert answer["closedCount"] == len(answer["reportIds"])
    return list(answer["reportIds"])


def test_a_report_as_moderators_see_it(place: Desk) -> None:
    reporter, moderator = place.place.person(), place.place.moderator("python")
    uri = place.place.writer.post(1)
    number = made(place, uri, TROLL, by=reporter, reason="Look at this.")
    view = good(place.ask(GET, moderator, id=number))
    status = view["subjectStatus"]
    assert view == {
        "id": number,
        "eventId": number,
        "status": "open",
        "subject": {"type": "record", "subject": uri, "status": status},
        "reportType": TROLL,
        "reportedBy": reporter.did,
        "reporter": {"type": "account", "subject": reporter.did},
        "comment": "Look at this.",
        "createdAt": view["createdAt"],
        "updatedAt": view["createdAt"],
        "actionEventIds": [],
        "actions": [],
        "subjectStatus": status,
        "relatedReportCount": 0,
        "isMuted": False,
        "isAutomated": False,
    }
    assert (status["reviewState"], status["tags"]) == (
        "tools.ozone.moderation.defs#reviewOpen",
        [f"{COMMUNITY_TAG}python"],
    )
    assert place.ask(QUERY, moderator, status="open").json == {"reports": [view]}
    assert place.ask(LATEST, moderator).json == {"report": view}


def test_how_the_reporter_stands_is_shown_where_something_was_said_of_them(place: Desk) -> None:
    reporter = place.place.person()
    made(place, reporter.did)
    number = made(place, plc(5), by=reporter)
    view = good(place.ask(GET, place.staff(), id=number))
    assert view["reporter"]["status"]["subject"]["did"] == reporter.did
    assert view["reporter"]["status"]["reviewState"].endswith("reviewOpen")


def test_other_reports_of_the_same_subject_that_wait_are_counted(place: Desk) -> None:
    who, uri = place.staff(), place.place.writer.post(1, tags=["python", "rust"])
    numbers = [case(place, made(place, uri, reason), "python") for reason in (SPAM, TROLL, OTHER)]
    made(place, plc(1))

    def related() -> list[int]:
        return [good(place.ask(GET, who, id=number))["relatedReportCount"] for number in numbers]

    assert related() == [2, 2, 2], "of this community: each reaches rust too"
    good(do(place, who, numbers[0], Act.CLOSE))
    assert related() == [2, 1, 1]


def test_conversations_and_messages(place: Desk) -> None:
    who, reporter = place.staff(), place.place.person()
    convo, message = talked(place, reporter), talked(place, reporter, "m1")
    for number in (convo, message):
        view = good(place.ask(GET, who, id=number))
        assert (view["subject"]["type"], view["subject"]["subject"]) == ("chat", plc(5))
        assert view["subjectStatus"]["subject"] == {"$type": CONVO + "convoRef", "did": plc(5), "convoId": "c1"}
    account = made(place, plc(5))
    for kind, found in (("conversation", [convo]), ("message", [message]), ("account", [account]), ("record", [])):
        assert ids(place.ask(QUERY, who, status="open", subjectType=kind)) == found
    assert ids(place.ask(QUERY, who, status="open", subject=plc(5))) == [account]
    assert ids(place.ask(QUERY, who, status="open", did=plc(5))) == [account, message, convo]


def test_a_report_by_a_program_of_the_team(place: Desk) -> None:
    program, stranger = place.member(Role.TRIAGE), place.place.person()
    tool = {"name": "automod", "meta": {"queueId": 7}}
    automated = made(place, plc(5), by=program, modTool=tool)
    by_hand, foreign = made(place, plc(6), by=program), made(place, plc(7), by=stranger, modTool=tool)
    views = {view["id"]: view for view in place.ask(QUERY, place.staff(), status="open").json["reports"]}
    assert [views[number]["isAutomated"] for number in (automated, by_hand, foreign)] == [True, False, False]
    assert "queue" not in views[automated], "nobody puts a report into a queue by saying so"
    place.put(program.did, Role.TRIAGE, disabled=True)
    assert good(place.ask(GET, place.staff(), id=automated))["isAutomated"] is False


def test_the_status_may_be_left_out(place: Desk) -> None:
    numbers = [made(place, plc(number)) for number in (5, 6, 7)]
    good(do(place, place.staff(), numbers[0], Act.CLOSE))
    good(do(place, place.staff(), numbers[1], Act.ESCALATION))
    sent = f"Bearer {place.token(place.staff(), QUERY)}"
    reply = place.place.site.ask("limit=10", sent, method=NSID + QUERY)
    assert ids(reply) == numbers[::-1]
    for name, found in (("closed", [numbers[0]]), ("escalated", [numbers[1]]), ("open", [numbers[2]])):
        assert ids(place.ask(QUERY, place.staff(), status=name)) == found
    for name in ("queued", "assigned"):
        assert ids(place.ask(QUERY, place.staff(), status=name)) == []


def test_every_filter(place: Desk) -> None:
    who, clock = place.staff(), place.place.clock
    post = place.place.writer.post(1)
    profile = f"at://{plc(1)}/app.bsky.actor.profile/self"
    numbers = []
    for what, reason, cid in ((post, SPAM, ""), (profile, TROLL, a_cid("p")), (plc(1), SPAM, ""), (plc(2), OTHER, "")):
        clock.now += 60
        numbers.append(made(place, what, reason, cid=cid))
    a, b, c, d = numbers
    at = [good(place.ask(GET, who, id=number))["createdAt"] for number in numbers]

    def found(**params: Any) -> list[int]:
        return ids(place.ask(QUERY, who, status="open", **params))

    assert found() == [d, c, b, a]
    assert found(reportTypes=[SPAM]) == [c, a] and found(reportTypes=[SPAM, TROLL]) == [c, b, a]
    assert found(reportTypes=["x"]) == []
    assert found(subject=post) == [a] and found(subject=plc(1)) == [c] and found(subject=plc(9)) == []
    assert found(did=plc(1)) == [c, b, a] and found(did=plc(1), subject=post) == [a]
    assert found(did=plc(2), subject=post) == []
    assert found(subjectType="record") == [b, a] and found(subjectType="account") == [d, c]
    assert found(collections=["app.bsky.feed.post"]) == [a]
    assert found(collections=["app.bsky.feed.post", "app.bsky.actor.profile"], subjectType="record") == [b, a]
    assert found(collections=["app.bsky.feed.post"], subjectType="account") == [d, c], "ignored there"
    assert found(reportedAfter=at[1]) == [d, c] and found(reportedBefore=at[1]) == [a]
    assert found(reportedAfter=at[0], reportedBefore=at[3]) == [c, b]
    assert found(reportedAfter="1969-01-01T00:00:00Z") == [d, c, b, a]
    assert found(reportedBefore="1969-01-01T00:00:00Z") == []
    assert found(queueId=-1) == [d, c, b, a] and found(queueId=3) == []
    place.place.writer.sql("UPDATE report_case SET queue = 3 WHERE id IN (?, ?)", a, c)
    assert found(queueId=3) == [c, a] and found(queueId=-1) == [d, b]
    assert found(queueId=3, sortField="updatedAt", sortDirection="asc") == [a, c]
    assert found(sortDirection="asc") == [a, b, c, d]
    clock.now += 60
    good(do(place, who, b, Act.NOTE, internalNote="x"))
    assert found(sortField="updatedAt") == [b, d, c, a] and found() == [d, c, b, a]
    assert found(sortField="updatedAt", sortDirection="asc") == [a, c, d, b]
    good(place.act(ASSIGN, who, {"reportId": d, "isPermanent": True}))
    assert ids(place.ask(QUERY, who, status="assigned", assignedTo=who.did)) == [d]
    assert found(assignedTo=who.did) == ids(place.ask(QUERY, who, status="assigned", assignedTo=plc(9))) == []
    good(do(place, who, d, Act.CLOSE))
    assert ids(place.ask(QUERY, who, status="closed", assignedTo=who.did)) == [d]


@pytest.mark.parametrize(
    "params",
    [
        {"status": "waiting"},
        {"status": "open", "subject": "https://example.org"},
        {"status": "open", "subject": f"at://{plc(1)}"},
        {"status": "open", "subject": "at://alice.example/app.bsky.feed.post/3k"},
        {"status": "open", "subjectType": "list"},
        {"status": "open", "did": "alice"},
        {"status": "open", "assignedTo": "alice"},
        {"status": "open", "collections": ["post"]},
        {"status": "open", "collections": ["app.bsky.feed.post"] * 21},
        {"status": "open", "reportedAfter": "yesterday"},
        {"status": "open", "sortField": "id"},
        {"status": "open", "sortDirection": "up"},
        {"status": "open", "limit": 101},
        {"status": "open", "limit": 0},
        {"status": "open", "queueId": -2},
        {"status": "open", "isMuted": "maybe"},
    ],
)
def test_what_cannot_be_asked_for(quiet: Desk, params: dict[str, Any]) -> None:
    assert quiet.ask(QUERY, quiet.staff(), **params).fault == (400, "InvalidRequest")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Where nothing was reported."""
    with unlimited(tmp_path_factory.mktemp("quiet")) as found:
        yield found


def test_where_there_is_no_report(quiet: Desk) -> None:
    for who in (quiet.staff(), quiet.place.moderator("rust")):
        assert quiet.ask(LATEST, who).fault == (400, "NotFound")
        assert quiet.ask(QUERY, who, status="open").json == {"reports": []}
        for number in (0, 1, 10**18 - 1):
            assert quiet.ask(GET, who, id=number).fault == (400, "NotFound")
        assert closed(quiet, who, plc(1)) == closed(quiet, who, plc(1), reportTypes=[SPAM]) == []
    assert quiet.ask(GET, quiet.staff()).fault == quiet.ask(GET, quiet.staff(), id=-1).fault == (400, "InvalidRequest")


def test_reports_of_muted_reporters(place: Desk) -> None:
    noisy, who = place.place.person(), place.staff()
    mute(place, SERVICE, noisy)
    unheard, heard = made(place, plc(5), by=noisy), made(place, plc(5))
    assert ids(place.ask(QUERY, who, status="open")) == [heard]
    assert ids(place.ask(QUERY, who, status="open", isMuted=False)) == [heard]
    assert ids(place.ask(QUERY, who, status="open", isMuted=True)) == [unheard]
    assert good(place.ask(GET, who, id=unheard))["isMuted"] is True
    place.place.clock.now += 25 * 3600
    again = made(place, plc(6), by=noisy)
    assert ids(place.ask(QUERY, who, status="open")) == [again, heard], "for as long as they are muted"
    # In a community in which they are not muted they are heard.
    post = place.place.writer.post(1)
    mute(place, SERVICE, noisy)
    assert ids(place.ask(QUERY, who, status="open"))[0] != (number := made(place, post, by=noisy))
    assert good(place.ask(GET, place.place.moderator("python"), id=number))["isMuted"] is False


# Whose matters they are


def test_who_sees_which_reports(place: Desk) -> None:
    post = place.place.writer.post(1, tags=["python", "rust"])
    both, account, sent = made(place, post), made(place, plc(5)), made(place, plc(6), to=f"{SECOND}#atproto_labeler")
    here, there = case(place, both, "python"), case(place, both, "rust")
    everywhere, elsewhere = {here, there, account}, case(place, sent)
    verifier = place.member(Role.VERIFIER)
    expected: list[tuple[Account, str, set[int]]] = [
        (place.staff(), LABELER, everywhere),
        (place.member(Role.TRIAGE), LABELER, everywhere),
        (verifier, LABELER, everywhere),
        (place.place.moderator("python"), LABELER, {here}),
        (place.place.moderator("rust"), LABELER, {there}),
        (place.place.moderator("rust"), SECOND, {there}),
        (place.staff(), SECOND, {there, elsewhere}),
        (place.member(Role.MODERATOR, labeler=SECOND), SECOND, {there, elsewhere}),
    ]
    every = (here, there, account, elsewhere)
    for who, aud, found in expected:
        assert set(ids(place.ask(QUERY, who, aud=aud, status="open"))) == found
        assert set(ids(place.ask(QUERY, who, aud=aud, status="open", did=plc(1)))) == found & {here, there}
        assert place.ask(LATEST, who, aud=aud).json["report"]["id"] == max(found)
        for number in every:
            reply = place.ask(GET, who, aud=aud, id=number)
            assert (reply.status == 200) is (number in found)
            assert reply.status == 200 or reply.fault == (400, "NotFound")
        names = {
            tag for view in place.ask(QUERY, who, aud=aud, status="open").json["reports"]
            for tag in view["subjectStatus"]["tags"]
        }  # fmt: skip
        slugs = {here: "python", there: "rust"}
        assert names == {COMMUNITY_TAG + slugs[number] for number in found & slugs.keys()}
    for method, params in ((QUERY, {"status": "open"}), (GET, {"id": here}), (LATEST, {})):
        assert place.ask(method, place.place.person(), **params).fault == (401, "AuthenticationRequired")
        assert place.ask(method, None, **params).fault[0] == 401


def test_nothing_of_a_report_tells_of_another_community(place: Desk) -> None:
    """Neither the counts, nor how the subject and the reporter stand, nor what was done."""
    reporter, post = place.place.person(), place.place.writer.post(1, tags=["python", "rust"])
    here, there = place.place.moderator("python"), place.place.moderator("rust")
    number = made(place, post, by=reporter)
    own, other = case(place, number, "python"), case(place, number, "rust")
    before = good(place.ask(GET, there, id=other))
    scope = place.place.id("python")
    with writing(place.place.writer.database) as connection:
        now = place.place.clock.micros()
        for key in (SubjectKey(reporter.did), key_of(plc(1), post)):
            append(connection, scope, key, ModEvent(Kind.COMMENT, now, here.did, comment="ours", said={"sticky": True}))
    for reason in (TROLL, OTHER):
        extra = made(place, post, reason)
        place.place.writer.sql("DELETE FROM report_case WHERE report = ? AND scope != ?", extra, scope)
    good(do(place, here, own, Act.CLOSE, publicNote="ours"))
    assert closed(place, here, post, reportTypes=[TROLL]) != []
    after = good(place.ask(GET, there, id=other))
    assert "ours" not in json.dumps(after)
    for view in (before, after):
        for name in ("subjectStatus", "subject"):
            view.pop(name)  # it was reported once more there, and the reports are gone
    assert after == before


# Pages


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Many reports of all kinds, in all states."""
    with unlimited(tmp_path_factory.mktemp("full")) as found:
        people = [found.place.person() for _ in range(6)]
        mute(found, SERVICE, people[0])
        mute(found, found.place.id("python"), people[1])
        posts = [found.place.writer.post(1, tags=tags) for tags in (["python"], ["rust"], ["python", "rust"])]
        others = [plc(5), plc(6), f"at://{plc(5)}/app.bsky.actor.profile/self"]
        numbers = []
        for step, (who, what) in enumerate(itertools.product(people, [*posts, *others])):
            found.place.clock.now += step % 3  # some at the same time
            more = {"to": f"{SECOND}#atproto_labeler"} if step % 11 == 0 and what in others else {}
            cid = a_cid("p") if what.endswith("/self") else ""
            numbers.append(made(found, what, (SPAM, TROLL, OTHER)[step % 3], by=who, cid=cid, **more))
        rows = found.place.writer.sql("SELECT id, scope FROM report_case ORDER BY id")
        mine = [number for number, scope in rows if scope >= 0]
        acts = (None, Act.CLOSE, Act.ESCALATION, Act.ASSIGNMENT, Act.QUEUE, None, None)
        for step, number in enumerate(mine):
            found.place.clock.now += step % 2
            if (act := acts[step % len(acts)]) is not None:
                good(do(found, (found.staff(), found.staff(34))[step % 2], number, act))
        found.place.writer.sql("UPDATE report_case SET queue = id % 3 - 1 WHERE id % 2")
        yield found


def expected(place: Desk, scopes: Scopes, wanted: Wanted, order: Order) -> list[int]:
    """The numbers of a list, by looking at every row."""
    rows = sql(place.place.writer.database).execute(
        "SELECT c.id, c.scope, c.subject, c.at, c.changed_at, c.state, c.queue, c.muted, c.assignee, r.reason_type,"
        " r.did, r.uri, r.convo, r.message FROM report_case c JOIN report r ON r.id = c.report"
    )
    found = []
    for number, scope, subject, at, changed, stands, queue, muted, assignee, reason, did, uri, convo, message in rows:
        kind = about(Said("", "", "", did, uri, "", convo, message))
        if (
            scope in scopes
            and stands in wanted.states
            and wanted.muted in (None, bool(muted))
            and wanted.queue in (None, queue)
            and (not wanted.reason_types or reason in wanted.reason_types)
            and wanted.subject in (None, subject)
            and wanted.did in ("", did)
            and (not wanted.abouts or kind in wanted.abouts)
            and (not wanted.records or uri)
            and (wanted.after is None or at > wanted.after)
            and (wanted.before is None or at < wanted.before)
            and wanted.assignee in ("", assignee)
        ):
            found.append((changed if order.changed else at, number))
    return [number for _, number in sorted(found, reverse=order.descending)]


@given(st.data())
def test_pages_together_are_the_whole_list(full: Desk, data: st.DataObject) -> None:
    connection = sql(full.place.writer.database)
    times = [at for (at,) in connection.execute("SELECT DISTINCT at FROM report_case")]
    subjects = [number for (number,) in connection.execute("SELECT DISTINCT subject FROM report_case")]
    scope_numbers = [number for (number,) in connection.execute("SELECT DISTINCT scope FROM report_case")]
    texts = st.lists(st.sampled_from((SPAM, TROLL, OTHER)), max_size=2, unique=True).map(tuple)
    kinds = ("account", "app.bsky.feed.post", "app.bsky.actor.profile", "message")
    wanted = data.draw(
        st.builds(
            Wanted,
            states=st.one_of(st.just(STATES), st.sampled_from(STATES).map(lambda one: (one,))),
            muted=st.sampled_from((None, False, True)),
            queue=st.sampled_from((None, None, -1, 0, 1, 9)),
            reason_types=st.one_of(st.just(()), texts),
            subject=st.one_of(st.none(), st.none(), st.sampled_from(subjects)),
            did=st.sampled_from(("", "", plc(1), plc(5), plc(9))),
            abouts=st.one_of(st.just(()), st.lists(st.sampled_from(kinds), unique=True).map(tuple)),
            records=st.booleans(),
            after=st.one_of(st.none(), st.sampled_from(times)),
            before=st.one_of(st.none(), st.sampled_from(times)),
            assignee=st.sampled_from(("", "", plc(33), plc(34))),
        )
    )
    order = data.draw(st.builds(Order, st.booleans(), st.booleans()))
    scopes = data.draw(st.builds(Scopes, st.frozensets(st.sampled_from(scope_numbers)), st.booleans()))
    if scopes.communities:
        scopes = Scopes(frozenset(scope for scope in scopes.listed if scope <= 0), communities=True)
    limit = data.draw(st.integers(1, 9))
    found: list[int] = []
    behind = None
    while True:
        page = report_queries.page(connection, scopes, wanted, order, behind, limit)
        found += [number for _, number in page]
        if len(page) < limit:
            break
        behind = page[-1]
    assert found == expected(full, scopes, wanted, order)


@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize(("field", "way"), [*itertools.product(("createdAt", "updatedAt"), ("asc", "desc"))])
def test_pages_through_http(full: Desk, field: str, way: str, limit: int) -> None:
    moderator = full.place.moderator("python")
    scopes = Scopes(frozenset((full.place.id("python"),)))
    wanted, order = Wanted(states=("open",), muted=False), Order(field == "updatedAt", way == "desc")
    pages = full.every(QUERY, moderator, limit, status="open", sortField=field, sortDirection=way)
    assert [one["id"] for page in pages for one in page] == expected(full, scopes, wanted, order) != []


def test_a_cursor_continues_its_own_list_alone(full: Desk) -> None:
    who = full.staff()
    cursor = full.ask(QUERY, who, status="open", limit=2).cursor
    assert full.ask(QUERY, who, status="open", limit=9, cursor=cursor).status == 200
    for other in (
        {"status": "closed"},
        {"status": "open", "sortDirection": "asc"},
        {"status": "open", "sortField": "updatedAt"},
        {"status": "open", "isMuted": True},
        {"status": "open", "did": plc(1)},
        {"status": "open", "subject": plc(999)},
        {"status": "open", "aud": SECOND},
    ):
        aud = other.pop("aud", LABELER)
        assert full.ask(QUERY, who, aud=str(aud), cursor=cursor, **other).fault == (400, "InvalidCursor")
    for bad in ("x", "", f"{cursor}00", "0" * 48):
        assert full.ask(QUERY, who, status="open", cursor=bad).fault == (400, "InvalidCursor")


def test_what_was_there_and_stays_comes_once_whatever_happens_between_pages(place: Desk) -> None:
    numbers = [made(place, plc(number)) for number in range(5, 17)]
    who, seen = place.staff(), list[int]()
    cursor, gone = None, {numbers[0], numbers[6]}
    for step in itertools.count():
        reply = place.ask(QUERY, who, status="open", limit=3, cursor=cursor)
        seen += ids(reply)
        cursor = reply.cursor
        if cursor is None:
            break
        made(place, plc(40 + step))
        if gone:
            good(do(place, who, gone.pop(), Act.CLOSE))
    assert len(seen) == len(set(seen))
    assert [number for number in seen if number in numbers[1:6] + numbers[7:]] == [*numbers[:6:-1], *numbers[5:0:-1]]


# Closing all of a subject


def test_the_reports_of_a_subject_are_closed(place: Desk) -> None:
    who, subject = place.member(Role.TRIAGE), place.place.person()
    a, b, c, d = (made(place, subject.did, reason) for reason in (SPAM, TROLL, SPAM, OTHER))
    other = made(place, plc(6))
    good(do(place, who, b, Act.ESCALATION))
    good(do(place, who, c, Act.ASSIGNMENT))
    before = good(place.ask(GET, who, id=a))["subjectStatus"]
    assert closed(place, who, subject.did, reportTypes=[]) == []
    assert closed(place, who, subject.did, reportTypes=[SPAM], internalNote="a duplicate") == [a, c]
    assert (state(place, b), state(place, d), state(place, other)) == ("escalated", "open", "open")
    (activity,) = place.ask(LIST, who, reportId=a).json["activities"]
    assert (activity["internalNote"], activity["isAutomated"], activity["createdBy"]) == ("a duplicate", False, who.did)
    view = good(place.ask(GET, who, id=a))
    (event,) = view["actions"]
    assert event["event"] == {"$type": "tools.ozone.moderation.defs#modEventComment", "comment": "a duplicate"}
    assert event["createdBy"] == who.did and "actionNote" not in view, "the note is not for the reporter"
    after = view["subjectStatus"]
    assert after["reviewState"] == before["reviewState"], "nothing was decided about the subject"
    assert after["lastReviewedBy"] == who.did
    events = "SELECT count(*) FROM mod_event WHERE type = 'modEventComment'"
    assert closed(place, who, subject.did, isAutomated=True) == [b, d]
    assert place.ask(LIST, who, reportId=d).json["activities"][0]["isAutomated"] is True
    assert place.place.writer.sql(events) == [(2,)]
    assert closed(place, who, subject.did) == [] and place.place.writer.sql(events) == [(2,)], "nothing is said of it"
    assert place.act(CLOSE, who, {"subject": "https://example.org"}).fault == (400, "InvalidRequest")
    assert place.act(CLOSE, who, {"subject": subject.did, "internalNote": "\0"}).fault == (400, "InvalidRequest")


def test_reports_are_closed_where_one_works_and_nowhere_else(place: Desk) -> None:
    post = place.place.writer.post(1, tags=["python", "rust"])
    number = made(place, post)
    here, there = case(place, number, "python"), case(place, number, "rust")
    verifier, both = place.member(Role.VERIFIER), place.member(Role.VERIFIER)
    place.place.put("python", both, role=Member.MODERATOR)
    body = {"subject": post}
    assert place.act(CLOSE, verifier, body).fault == (401, "AuthenticationRequired")
    assert place.act(CLOSE, place.place.person(), body).fault == (401, "AuthenticationRequired")
    assert place.act(CLOSE, None, body).fault[0] == 401
    assert closed(place, both, post) == [here] and state(place, there) == "open"
    assert closed(place, place.place.moderator("rust"), post) == [there]
    scopes = place.place.writer.sql("SELECT scope, role FROM mod_event WHERE type = 'modEventComment' ORDER BY id")
    assert scopes == [(place.place.id("python"), "site"), (place.place.id("rust"), "moderator")]


def test_an_appeal_that_is_closed_so_is_still_to_be_decided(place: Desk) -> None:
    author = place.place.person()
    number = made(place, author.did, APPEAL, by=author)
    assert closed(place, place.staff(), author.did) == [number]
    assert good(place.ask(GET, place.staff(), id=number))["subjectStatus"]["appealed"] is True


# Indexes


class Recorder:
    """A connection that notes what is asked."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.plans: list[str] = []

    def execute(self, statement: str, bindings: Sequence[Any] = ()) -> Any:
        plan = self.connection.execute(f"EXPLAIN QUERY PLAN {statement}", bindings).fetchall()
        self.plans += [str(row[-1]) for row in plan if "json_each" not in str(row[-1])]
        return self.connection.execute(statement, bindings)


LOOKING_AROUND = (Scopes(frozenset((0, -1)), communities=True), Scopes(frozenset((1,))), Scopes(frozenset((-2, 2))))


@pytest.mark.parametrize("scopes", LOOKING_AROUND)
def test_lists_of_reports_are_read_by_their_indexes(full: Desk, scopes: Scopes) -> None:
    recorder = Recorder(sql(full.place.writer.database))
    for states, changed, descending in itertools.product((("open",), STATES), (False, True), (False, True)):
        for behind in (None, (1 << 60, 1)):
            report_queries.page(
                recorder, scopes, Wanted(states, muted=False), Order(changed, descending), behind, 51
            )  # fmt: skip
    lists = [plan for plan in recorder.plans if "LIST SUBQUERY" not in plan]
    assert lists and all(plan.startswith("SEARCH c USING INDEX report_case_") for plan in lists), lists


@pytest.mark.parametrize("scopes", LOOKING_AROUND)
def test_assignments_are_read_by_their_indexes(full: Desk, scopes: Scopes) -> None:
    recorder = Recorder(sql(full.place.writer.database))
    for cases, dids in (((), ()), ((1, 2), ()), ((), (plc(1),)), ((1,), (plc(1),))):
        for active in (1, None):
            report_assignments.page(recorder, scopes, active, cases, dids, 10**9, 31)
    # Of those who look at something just now there are few, in whatever order the index gives them.
    few = "SEARCH report_assignment USING INDEX report_assignment_until (until>?)"
    assert few in recorder.plans
    rest = [plan for plan in recorder.plans if plan != few and "LIST SUBQUERY" not in plan]
    sorts = [plan for plan in rest if plan == "USE TEMP B-TREE FOR ORDER BY"]
    assert len(sorts) == 4, "only those few are sorted"
    searches = {plan for plan in rest if plan not in sorts and "BLOOM FILTER" not in plan}
    assert searches and all(plan.startswith("SEARCH report_assignment USING INDEX") for plan in searches), searches


def test_the_states_of_the_lists_are_those_of_reports() -> None:
    assert set(STATES) == set(State)
