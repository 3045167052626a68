"""com.atproto.moderation.createReport through HTTP: who may report what, whom it reaches, and how often it counts."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from civic.visit import nsid
from communities.access import Status
from communities.community import Include
from communities.reports import APPEALS, MERGED_MICROS, MOST_OF_REPORTER, MOST_OF_SUBJECT, REASONS, reason_name
from tests.civic_posts import a_cid, decide, done, version, wait_for_approval
from tests.civic_site import CATALOG, Town, town
from tests.didnet import Account, plc
from tests.feed_site import Reply

METHOD = "com.atproto.moderation.createReport"
SPAM = "com.atproto.moderation.defs#reasonSpam"
TROLL = "tools.ozone.report.defs#reasonHarassmentTroll"
Flag = tuple[str, str, int, str]


@pytest.fixture(scope="module")
def one_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Where nothing is kept."""
    with town(tmp_path_factory.mktemp("reports")) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path) as found:
        yield found


def report(place: Town, who: Account, about: str, reason_type: str = SPAM, **more: Any) -> Reply:
    """Report an account (DID) or a post, in the version that is indexed unless `cid` is given."""
    if about.startswith("did:"):
        subject: dict[str, Any] = {"$type": "com.atproto.admin.defs#repoRef", "did": about}
    else:
        cid = more.pop("cid", "") or version(place, about)
        subject = {"$type": "com.atproto.repo.strongRef", "uri": about, "cid": cid}
    return place.act(METHOD, who, {"reasonType": reason_type, "subject": subject, **more})


def flags(place: Town) -> list[Flag]:
    """What waits: community, post, number of reports, reason of the first."""
    rows = place.writer.sql(
        "SELECT c.slug, i.uri, f.reports, f.reason_type FROM flag f JOIN community c ON c.id = f.community"
        " JOIN feed_item i ON i.community = f.community AND i.post = f.post ORDER BY f.id"
    )
    return [tuple(row) for row in rows]


def test_a_report_is_kept_as_it_was_made_and_the_post_waits(place: Town) -> None:
    alice, uri = place.person(), place.writer.post(1)
    reply = report(place, alice, uri, TROLL, reason="Look at this.", modTool={"name": "a client", "meta": {"a": 1}})
    cid = version(place, uri)
    assert reply.json == {
        "id": 1,
        "reasonType": TROLL,
        "reason": "Look at this.",
        "subject": {"$type": "com.atproto.repo.strongRef", "uri": uri, "cid": cid},
        "reportedBy": alice.did,
        "createdAt": reply.json["createdAt"],
    }
    columns = "reporter, reason_type, reason, did, uri, cid, tool, times, at, last_at"
    now = place.clock.micros()
    assert place.writer.sql(f"SELECT {columns} FROM report") == [
        (alice.did, TROLL, "Look at this.", plc(1), uri, cid, "a client", 1, now, now)
    ]
    assert flags(place) == [("python", uri, 1, TROLL)]
    assert uri in place.site.all("python"), "it stays until somebody decides"


def test_it_reaches_every_community_that_has_the_post_and_no_other(place: Town) -> None:
    uri = place.writer.post(1, tags=["python", "rust"])
    report(place, place.person(), uri)
    assert {slug for slug, *_ in flags(place)} == {"python", "rust"}


def test_an_account_and_other_records_are_for_the_site(place: Town) -> None:
    alice = place.person()
    assert report(place, alice, plc(5)).json["subject"]["did"] == plc(5)
    for uri in (f"at://{plc(5)}/app.bsky.actor.profile/self", f"at://{plc(5)}/app.bsky.feed.post/unknown"):
        assert report(place, alice, uri, cid=a_cid("x")).status == 200
    assert len(place.writer.sql("SELECT 1 FROM report")) == 3 and flags(place) == []


def test_saying_it_again_is_the_same_report(place: Town) -> None:
    alice, uri = place.person(), place.writer.post(1)
    first = report(place, alice, uri).json
    place.clock.now += 60
    again = report(place, alice, uri, reason="still").json
    assert (again["id"], again["createdAt"]) == (first["id"], first["createdAt"])
    assert flags(place) == [("python", uri, 1, SPAM)]
    assert report(place, alice, uri, TROLL).json["id"] != first["id"]
    assert report(place, place.person(), uri).json["id"] != first["id"]
    assert flags(place) == [("python", uri, 3, SPAM)]
    place.clock.now += MERGED_MICROS / 1_000_000 + 61
    assert report(place, alice, uri).json["id"] > first["id"]


def test_an_approval_shields_this_version_in_this_community(place: Town) -> None:
    place.found("birds", include=Include(hashtags=("python",)), posting="anyone")
    alice, uri = place.person(), place.writer.post(1)
    place.writer.compile()
    place.writer.post(1, rkey=uri.rpartition("/")[2])
    moderator = place.moderator("birds")
    report(place, alice, uri)
    assert {slug for slug, *_ in flags(place)} == {"python", "birds"}
    done(decide(place, moderator, "birds", "approve", uri))
    assert {slug for slug, *_ in flags(place)} == {"python"}, "it is decided there, and only there"
    report(place, place.person(), uri)
    assert flags(place) == [("python", uri, 2, SPAM)]
    place.writer.post(1, rkey=uri.rpartition("/")[2], langs=["en"])  # another version
    report(place, place.person(), uri)
    assert {slug for slug, *_ in flags(place)} == {"python", "birds"}


def test_a_removal_ends_the_waiting_and_what_is_removed_does_not_wait(place: Town) -> None:
    place.found("birds", include=Include(hashtags=("python",)), posting="anyone")
    place.writer.compile()
    uri = place.writer.post(1)
    moderator = place.moderator("birds")
    report(place, place.person(), uri)
    done(decide(place, moderator, "birds", "remove", uri))
    report(place, place.person(), uri)
    assert flags(place) == [("python", uri, 2, SPAM)]


def test_what_waits_for_approval_counts_its_reports(place: Town) -> None:
    uri = place.writer.post(1)
    wait_for_approval(place, "python", uri)
    report(place, place.person(), uri)
    assert flags(place) == [("python", uri, 1, SPAM)]


def test_whoever_may_not_read_a_community_reports_nothing_to_it(place: Town) -> None:
    alice, uri = place.person(), place.writer.post(1, tags=["python", "rust"])
    place.put("rust", alice, Status.BANNED)
    report(place, alice, uri)
    assert [slug for slug, *_ in flags(place)] == ["python"]


def test_a_post_that_goes_takes_its_place_in_the_queue_along_and_no_report(place: Town) -> None:
    uri = place.writer.post(1)
    report(place, place.person(), uri)
    place.writer.delete(uri)
    assert place.writer.sql("SELECT * FROM flag") == []
    assert len(place.writer.sql("SELECT * FROM report")) == 1


@pytest.mark.parametrize("reason_type", sorted(REASONS))
def test_every_reason_of_the_network_is_taken_and_has_a_name(reason_type: str) -> None:
    known = CATALOG._definitions["com.atproto.moderation.defs#reasonType"]["knownValues"]
    assert {*known} == REASONS | APPEALS
    name = reason_name(reason_type)
    assert name and name == name.lower().strip() and "#" not in name


def test_names_of_reasons() -> None:
    said = {name: reason_name(f"tools.ozone.report.defs#reason{name}") for name in ("HarassmentTroll", "SexualNCII")}
    assert said == {"HarassmentTroll": "harassment troll", "SexualNCII": "sexual ncii"}


BAD: list[dict[str, Any]] = [
    {"reasonType": SPAM},
    {"reasonType": "spam"},
    {"reasonType": 5},
    {"reasonType": "com.atproto.moderation.defs#reasonAppeal"},
    {"reasonType": "tools.ozone.report.defs#reasonAppeal"},
    {"reason": "x" * 20_001},
    {"reason": "é" * 2_001},
    {"reason": "a\0b"},
    {"reason": None},
    {"subject": {"did": plc(1)}},
    {"subject": {"$type": "com.atproto.admin.defs#repoRef", "did": "alice.example"}},
    {"subject": {"$type": "com.atproto.admin.defs#repoRef"}},
    {"subject": {"$type": "chat.bsky.convo.defs#messageRef", "did": plc(1), "convoId": "x", "messageId": "y"}},
    {"subject": {"$type": "com.atproto.repo.strongRef", "uri": f"at://{plc(1)}/app.bsky.feed.post/x"}},
    {"subject": {"$type": "com.atproto.repo.strongRef", "uri": f"at://{plc(1)}/app.bsky.feed.post/x", "cid": "x"}},
    {"subject": {"$type": "com.atproto.repo.strongRef", "uri": "at://a.org/app.bsky.feed.post/x", "cid": a_cid("")}},
    {"subject": {"$type": "com.atproto.repo.strongRef", "uri": f"at://{plc(1)}", "cid": a_cid("")}},
    {"subject": {"$type": "com.atproto.repo.strongRef", "uri": f"at://{plc(1)}/app.bsky.feed.post", "cid": a_cid("")}},
    {"modTool": {}},
    {"modTool": "bot"},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD, ids=str)
def test_s60_a_bad_report_is_refused_and_not_kept(one_place: Town, change: Any) -> None:
    place = one_place
    good = {"reasonType": SPAM, "subject": {"$type": "com.atproto.admin.defs#repoRef", "did": plc(1)}}
    body = change if change == {"reasonType": SPAM} else good | change
    before = place.writer.sql("SELECT count(*) FROM report")
    assert place.act(METHOD, place.person(), body).fault == (400, "InvalidRequest")
    assert place.writer.sql("SELECT count(*) FROM report") == before


def test_nobody_reports_without_a_token_or_twice_with_one(place: Town) -> None:
    body = {"reasonType": SPAM, "subject": {"$type": "com.atproto.admin.defs#repoRef", "did": plc(1)}}
    assert place.act(METHOD, None, body).fault == (401, "AuthMissing")
    alice = place.person()
    sent = place.token(alice, METHOD)
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda _: place.act(METHOD, alice, body, sent), range(20)))
    assert sorted(reply.status for reply in replies) == [200] + [401] * 19
    wrong = place.token(alice, METHOD, lxm=nsid("decide"))
    assert place.act(METHOD, alice, body, wrong).fault == (401, "BadJwtLexiconMethod")


def test_s166_a_reporter_and_a_subject_have_their_limits(place: Town) -> None:
    alice, now = place.person(), place.clock.micros()
    (hour, most), (_, most_a_day) = MOST_OF_REPORTER
    insert = (
        "INSERT INTO report (at, last_at, reporter, reason_type, did) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
        " SELECT i + 1 FROM n WHERE i < ?) SELECT ?, ?, ?, 'x', ? || CASE ? WHEN '' THEN i ELSE '' END FROM n"
    )
    place.writer.sql(insert, most - 1, now, now, alice.did, "did:plc:", "")
    assert report(place, alice, plc(3)).status == 200
    refused = report(place, alice, plc(4))
    assert refused.fault == (429, "RateLimitExceeded") and int(refused.headers["Retry-After"]) == hour // 1_000_000
    place.clock.now += hour / 1_000_000 + 1
    assert report(place, alice, plc(4)).status == 200
    place.writer.sql(insert, most_a_day, now, now, alice.did, "did:plc:", "")
    assert report(place, alice, plc(5)).fault == (429, "RateLimitExceeded")
    later = place.clock.micros()
    place.writer.sql(insert, MOST_OF_SUBJECT[0][1], later, later, "did:plc:crowd", plc(6), "all")
    assert report(place, place.person(), plc(6)).fault == (429, "RateLimitExceeded")
    assert report(place, place.person(), plc(7)).status == 200


def test_who_reported_is_told_to_nobody(place: Town) -> None:
    alice, uri = place.person(), place.writer.post(1)
    report(place, alice, uri, reason="between us")
    author = place.person(1)
    told = place.ask("explain", author, community="python", post=uri).body
    assert alice.did.encode() not in told and b"report" not in told and b"between us" not in told
