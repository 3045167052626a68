"""com.atproto.moderation.createReport through HTTP: who may report what, whom it reaches, and how often it counts."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from civic.visit import nsid
from communities.access import Status
from communities.community import Include
from communities.reasons import APPEALS, REASONS, reason_name
from communities.reports import BURST, MERGED_MICROS, MOST_ROUTES
from tests.civic_posts import a_cid, decide, done, hidden, version, wait_for_approval
from tests.civic_reports import APPEAL, METHOD, OTHER, SPAM, TROLL, flags, known, on_host, reaches, report, taken
from tests.civic_site import CATALOG, Town, town
from tests.didnet import plc

PYTHON = Include(hashtags=("python",))


@pytest.fixture(scope="module")
def one_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Where nothing is kept."""
    with town(tmp_path_factory.mktemp("reports")) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path) as found:
        yield found


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
    assert flags(place) == [("python", uri, 2, SPAM)], "whoever gives another reason is nobody else"
    place.clock.now += MERGED_MICROS / 1_000_000 + 61
    assert report(place, alice, uri).json["id"] > first["id"]


def test_a_reporter_counts_once_while_a_post_waits(place: Town) -> None:
    """For whatever reasons, and after a decision anew."""
    moderator, alice, bob = place.moderator("python"), place.person(), place.person()
    uri = place.writer.post(1)
    for reason_type in (SPAM, TROLL, OTHER):
        assert report(place, alice, uri, reason_type).status == 200
    assert flags(place) == [("python", uri, 1, SPAM)]
    done(decide(place, moderator, "python", "approve", uri))
    place.clock.now += 60
    place.writer.post(1, rkey=uri.rpartition("/")[2], langs=["en"])
    report(place, bob, uri, OTHER)
    place.clock.now += 60
    for _ in range(2):
        report(place, alice, uri)  # a report that is merged with the first
        assert flags(place) == [("python", uri, 2, OTHER)]


def test_an_approval_shields_this_version_in_this_community(place: Town) -> None:
    place.found("birds", include=PYTHON, posting="anyone")
    place.writer.compile()
    alice, uri = place.person(), place.writer.post(1)
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
    place.found("birds", include=PYTHON, posting="anyone")
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


@pytest.mark.parametrize("way", ["deleted", "edited"])
def test_a_post_that_comes_again_under_its_key_takes_its_place_again(place: Town, way: str) -> None:
    """Unless somebody has decided about it since, in that community."""
    alice, bob, uri = place.person(), place.person(), place.writer.post(1, tags=["python", "rust"])
    rkey = uri.rpartition("/")[2]
    report(place, alice, uri, TROLL)
    place.clock.now += 60
    for reason_type in (SPAM, TROLL):
        report(place, bob, uri, reason_type)
    report(place, place.person(1), uri, APPEAL)
    before, since = flags(place), place.writer.sql("SELECT at FROM flag ORDER BY community")
    assert sorted(before) == [("python", uri, 2, TROLL), ("rust", uri, 2, TROLL)]
    if way == "deleted":
        place.writer.delete(uri)
    else:
        place.writer.post(1, rkey=rkey, tags=["nothing"])
    assert place.writer.sql("SELECT 1 FROM post") == []
    place.writer.post(1, rkey=rkey, tags=["python", "rust", "x"])
    assert sorted(flags(place)) == sorted(before)
    assert place.writer.sql("SELECT at FROM flag ORDER BY community") == since
    place.clock.now += 60
    done(decide(place, place.moderator("rust"), "rust", "approve", uri))
    place.writer.delete(uri)
    place.writer.post(1, rkey=rkey, tags=["python", "rust", "y"])
    assert flags(place) == [("python", uri, 2, TROLL)]


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
    {"reasonType": "com.atproto.moderation.defs#reasonspam"},
    {"reasonType": "tools.ozone.report.defs#reasonSpam"},
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


def test_who_reported_is_told_to_nobody(place: Town) -> None:
    alice, uri = place.person(), place.writer.post(1)
    report(place, alice, uri, reason="between us")
    author = place.person(1)
    told = place.ask("explain", author, community="python", post=uri).body
    assert alice.did.encode() not in told and b"report" not in told and b"between us" not in told


# Whom a report reaches


def test_a_post_reaches_its_communities_and_what_is_in_none_the_site(place: Town) -> None:
    alice, uri = place.person(), place.writer.post(1, tags=["python", "rust"])
    assert reaches(place, taken(report(place, alice, uri))) == {"python", "rust"}
    assert reaches(place, taken(report(place, alice, place.writer.post(1, tags=["rust"]), TROLL))) == {"rust"}
    unknown = f"at://{plc(5)}/app.bsky.feed.post/unknown"
    assert reaches(place, taken(report(place, alice, unknown, cid=a_cid("x")))) == {"site"}


def test_what_a_community_removed_does_not_reach_it_again_and_what_it_approved_does(place: Town) -> None:
    moderator, uri = place.moderator("python"), place.writer.post(1, tags=["python", "rust"])
    done(decide(place, moderator, "python", "remove", uri))
    assert reaches(place, taken(report(place, place.person(), uri))) == {"rust"}
    done(decide(place, place.moderator("rust"), "rust", "approve", uri))
    assert reaches(place, taken(report(place, place.person(), uri))) == {"rust"} and flags(place) == []
    done(decide(place, place.moderator("rust"), "rust", "remove", uri))
    assert reaches(place, taken(report(place, place.person(), uri))) == {"site"}
    assert hidden(place, "rust", uri) == 4


def test_an_account_reaches_the_site_and_where_it_is_a_member(place: Town) -> None:
    alice, bob = place.person(), place.member("python")
    place.put("rust", bob, Status.INVITED)
    assert reaches(place, taken(report(place, alice, bob.did))) == {"site", "python"}
    place.put("python", alice, Status.BANNED)
    assert reaches(place, taken(report(place, alice, bob.did, TROLL))) == {"site"}
    assert reaches(place, taken(report(place, place.person(), plc(5)))) == {"site"}


def test_s136_nobody_reaches_a_community_that_they_may_not_read(place: Town) -> None:
    """And nothing in the answer tells that it is there."""
    place.found("secret", kind="hidden")
    bob = place.member("secret")
    outside, inside = report(place, place.person(), bob.did), report(place, place.member("secret"), bob.did)
    assert reaches(place, taken(outside)) == {"site"} and reaches(place, taken(inside)) == {"site", "secret"}
    assert outside.json.keys() == inside.json.keys()


def test_a_member_of_everything_floods_nobody(place: Town) -> None:
    bob = place.person()
    for number in range(MOST_ROUTES + 5):
        place.found(f"c{number}")
        place.put(f"c{number}", bob)
    assert len(reaches(place, taken(report(place, place.person(), bob.did)))) == MOST_ROUTES + 1


def test_who_founds_many_communities_hides_no_post_from_the_others(place: Town) -> None:
    """They have the post too, and a report reaches so many only."""
    for number in range(MOST_ROUTES + 5):
        place.found(f"c{number}", include=PYTHON, posting="anyone")
    place.found("mine", include=PYTHON, posting="anyone")
    place.found("big", include=PYTHON, posting="anyone")
    place.writer.compile()
    alice, uri = place.person(), place.writer.post(1)
    place.put("mine", alice)
    for _ in range(3):
        place.member("big")
    reached = reaches(place, taken(report(place, alice, uri)))
    assert {"mine", "big", "site"} <= reached and len(reached) == MOST_ROUTES + 1
    assert {"mine", "big"} <= {slug for slug, *_ in flags(place)}


def test_routes_and_reports_go_together(place: Town) -> None:
    number = taken(report(place, place.person(), place.writer.post(1)))
    for table in ("report_case", "evidence"):
        assert len(place.writer.sql(f"SELECT * FROM {table}")) == 1
    place.writer.sql("DELETE FROM report WHERE id = ?", number)
    for table in ("report_case", "evidence", "appeal"):
        assert place.writer.sql(f"SELECT * FROM {table}") == []


# Many at once


def brigades(place: Town, uri: str) -> tuple[int, int]:
    """How often a post was reported, and whether that looks agreed."""
    rows = place.writer.sql(
        "SELECT f.reports, f.brigade FROM flag f JOIN feed_item i ON i.community = f.community AND i.post = f.post"
        " WHERE i.uri = ?",
        uri,
    )
    return rows[0][0], rows[0][1]


def test_strangers_in_a_short_time_are_marked_and_change_nothing_else(place: Town) -> None:
    first, uri = place.writer.post(1), place.writer.post(2)
    report(place, place.person(), first)
    place.clock.now += 1
    for number in range(1, BURST + 1):
        report(place, place.person(), uri)
        assert brigades(place, uri) == (number, int(number == BURST))
    assert [row[1] for row in flags(place)] == [first, uri], "what was reported first still comes first"
    assert brigades(place, first) == (1, 0) and uri in place.site.all("python")


def test_members_who_report_the_same_are_no_burst(place: Town) -> None:
    strangers, members = place.writer.post(1), place.writer.post(2)
    for number in range(BURST + 2):
        report(place, known(place, on_host(place, f"pds.h{number}.org")), strangers)
        who = on_host(place, f"pds.h{number}.org")
        place.put("python", who)
        report(place, who, members)
    assert brigades(place, strangers) == (BURST + 2, 1) and brigades(place, members) == (BURST + 2, 0)


def test_one_host_is_a_burst_also_of_members_unless_it_is_a_large_one(place: Town) -> None:
    few, many = place.writer.post(1), place.writer.post(2)
    for number in range(BURST):
        for uri, host in ((few, f"a{number}.one.example.org"), (many, "morel.us-east.host.bsky.network")):
            who = on_host(place, host)
            place.put("python", who)
            report(place, who, uri)
    assert brigades(place, few) == (BURST, 1) and brigades(place, many) == (BURST, 0)


def test_over_a_long_time_it_is_no_burst(place: Town) -> None:
    uri = place.writer.post(1)
    for _ in range(BURST + 2):
        report(place, known(place, place.person()), uri)
        place.clock.now += 600
    assert brigades(place, uri) == (BURST + 2, 0)
