"""Appeals through createReport: who may, against what they are, and that they reach somebody although the post or the
account is hidden.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.civic_posts import a_cid, decide, done
from tests.civic_reports import (
    APPEAL,
    METHOD,
    NEW_APPEAL,
    SPAM,
    Labels,
    about,
    flags,
    known,
    reaches,
    report,
    take_down,
    taken,
)
from tests.civic_site import Town, town
from tests.didnet import Account, plc

LABELER, OTHER = plc(700), plc(701)
APPEALS = [APPEAL, NEW_APPEAL]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, (Labels(LABELER), Labels(OTHER, communities=frozenset(("rust",))))) as found:
        yield found


def waiting(place: Town) -> list[tuple[str, str, int, int]]:
    """Appeals that wait: against whose decision, of which subject, the numbers of the decision and of the labelling."""
    rows = place.writer.sql(
        "SELECT coalesce(c.slug, 'site'), coalesce(nullif(a.uri, ''), a.did), a.decision, a.label_event FROM appeal a"
        " LEFT JOIN community c ON c.id = a.community WHERE a.state = 'open' ORDER BY a.id"
    )
    return [tuple(row) for row in rows]


def decide_appeals(place: Town) -> None:
    """Somebody has decided about all of them."""
    place.writer.sql("UPDATE appeal SET state = 'denied'")


def removed(place: Town, slug: str, uri: str) -> int:
    """A moderator removes a post; the number of that decision."""
    return int(done(decide(place, place.moderator(slug), slug, "remove", uri))["seq"])


@pytest.mark.parametrize("kind", APPEALS)
def test_only_the_author_appeals(place: Town, kind: str) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, "python", uri)
    for who in (place.person(), place.moderator("python")):
        for what in (uri, plc(1)):
            assert report(place, who, what, kind).fault == (403, "Forbidden")
    assert place.writer.sql("SELECT * FROM report") == waiting(place) == []
    assert reaches(place, taken(report(place, author, uri, kind))) == {"python"}


@pytest.mark.parametrize("kind", APPEALS)
def test_it_reaches_the_community_that_removed_the_post_with_the_decision(place: Town, kind: str) -> None:
    author, uri = place.person(1), place.writer.post(1, tags=["python", "rust"])
    removed(place, "python", place.writer.post(2))
    seq = removed(place, "python", uri)
    assert reaches(place, taken(report(place, author, uri, kind, reason="It is about snakes."))) == {"python"}
    assert waiting(place) == [("python", uri, seq, 0)] and seq == 2
    assert flags(place) == [], "who has decided is not asked again by the queue"
    assert place.writer.sql("SELECT reason FROM report") == [("It is about snakes.",)]


def test_it_reaches_each_community_that_removed_the_post(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1, tags=["python", "rust"])
    seqs = {slug: removed(place, slug, uri) for slug in ("python", "rust")}
    assert reaches(place, taken(report(place, author, uri, APPEAL))) == {"python", "rust"}
    assert sorted(waiting(place)) == [(slug, uri, seqs[slug], 0) for slug in ("python", "rust")]


def test_s136_a_banned_author_reaches_those_who_banned(place: Town) -> None:
    author, moderator = place.member("python"), place.moderator("python")
    assert place.decide(moderator, "python", "ban", author, reason="noise").status == 200
    assert reaches(place, taken(report(place, author, author.did, APPEAL))) == {"python"}
    assert waiting(place) == [("python", author.did, 1, 0)]


def test_a_post_that_a_ban_hides_is_appealed_about_to_those_who_banned(place: Town) -> None:
    author, moderator = place.person(1), place.moderator("python")
    place.put("python", author)
    uri = place.writer.post(1, tags=["python", "rust"])
    assert place.decide(moderator, "python", "ban", author, reason="noise").status == 200
    assert reaches(place, taken(report(place, author, uri, APPEAL))) == {"python"}
    assert waiting(place) == [("python", uri, 1, 0)]


def test_a_ban_that_is_over_is_nothing_to_appeal_against(place: Town) -> None:
    author, moderator = place.member("python"), place.moderator("python")
    assert place.decide(moderator, "python", "ban", author, reason="noise").status == 200
    assert place.decide(moderator, "python", "unban", author, reason="sorry").status == 200
    taken(report(place, author, author.did, APPEAL))
    assert {(slug, decision) for slug, _, decision, _ in waiting(place)} == {("site", 0), ("python", 0)}


def test_what_was_restored_is_not_appealed_against_any_more(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1, tags=["rust"])
    removed(place, "rust", uri)
    done(decide(place, place.moderator("rust"), "rust", "restore", uri))
    taken(report(place, author, uri, APPEAL))
    assert waiting(place) == [("rust", uri, 0, 0)], "it goes where a report would go"


def test_about_what_nobody_decided_it_goes_to_the_site(place: Town) -> None:
    author = place.person(1)
    uri = f"at://{plc(1)}/app.bsky.feed.post/unknown"
    assert reaches(place, taken(report(place, author, uri, APPEAL, cid=a_cid("x")))) == {"site"}


def test_the_same_appeal_again_is_the_same_until_it_is_decided(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, "python", uri)
    first = taken(report(place, author, uri, APPEAL))
    place.clock.now += 30 * 86_400
    assert taken(report(place, author, uri, APPEAL)) == first
    assert taken(report(place, author, uri, NEW_APPEAL)) != first and len(waiting(place)) == 1
    assert place.writer.sql("SELECT last_at - at FROM appeal") == [(30 * 86_400_000_000,)]
    decide_appeals(place)
    place.clock.now += 1
    assert taken(report(place, author, uri, APPEAL)) > first and len(waiting(place)) == 1


def test_a_further_removal_is_what_an_open_appeal_is_against(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, "python", uri)
    taken(report(place, author, uri, APPEAL))
    done(decide(place, place.moderator("python"), "python", "restore", uri))
    seq = removed(place, "python", uri)
    taken(report(place, author, uri, APPEAL))
    assert waiting(place) == [("python", uri, seq, 0)] and seq == 3


@pytest.mark.parametrize("kind", APPEALS)
def test_while_an_appeal_of_the_account_waits_there_is_no_further_one(place: Town, kind: str) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, "python", uri)
    taken(report(place, author, uri, kind))
    other = place.writer.post(1)
    taken(report(place, author, other, kind))
    taken(report(place, author, author.did, kind))
    assert waiting(place)[-1][:2] == ("site", author.did)
    for what in (author.did, uri, other):
        assert report(place, author, what, kind).fault == (403, "AlreadyAppealed")
    taken(report(place, author, other))  # an author may still report
    taken(report(place, place.person(2), plc(2), kind))
    decide_appeals(place)
    taken(report(place, author, author.did, kind))


def test_another_labelers_appeals_are_its_own(place: Town) -> None:
    author = known(place, place.person(1))
    for to in ("", LABELER, OTHER):
        taken(report(place, author, author.did, APPEAL, to=to))
        assert report(place, author, author.did, APPEAL, to=to).fault == (403, "AlreadyAppealed")


def test_a_labeler_is_appealed_to_about_its_labels(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    place.writer.sql("INSERT INTO labeler (did) VALUES (?), (?) ON CONFLICT DO NOTHING", LABELER, OTHER)
    first, other = (place.writer.sql("SELECT id FROM labeler WHERE did = ?", did)[0][0] for did in (LABELER, OTHER))
    insert = (
        "INSERT INTO label_event (at, labeler, community, actor, role, uri, added) VALUES (1, ?, ?, ?, 'mod', ?, ?)"
    )
    for labeler, community, subject, added in (
        (first, 0, uri, "spam"), (first, place.id("rust"), uri, "off-topic"),
        (first, place.id("rust"), uri, "spoiler"), (first, place.id("rust"), uri, ""),
        (other, place.id("python"), uri, "spam"), (first, 0, plc(1), "rude"),
    ):  # fmt: skip
        place.writer.sql(insert, labeler, community, plc(9), subject, added)
    taken(report(place, author, uri, APPEAL, to=LABELER))
    assert sorted(waiting(place)) == [("rust", uri, 0, 3), ("site", uri, 0, 1)]
    seq = removed(place, "rust", place.writer.post(1, tags=["rust"]))
    taken(report(place, author, author.did, APPEAL, to=LABELER))
    assert waiting(place)[-1] == ("site", plc(1), 0, 6) and seq == 1


def test_a_labeler_hands_on_no_appeal_to_a_community_that_it_does_not_serve(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1, tags=["python", "rust"])
    removed(place, "python", uri)
    seq = removed(place, "rust", uri)
    assert reaches(place, taken(report(place, author, uri, APPEAL, to=OTHER))) == {"rust"}
    assert waiting(place) == [("rust", uri, seq, 0)]


# Accounts that are not active


def gone(place: Town, who: Account, status: str) -> None:
    """The account's host says so."""
    place.writer.sql("UPDATE actor SET active = 0, status = ? WHERE did = ?", status, who.did)


@pytest.mark.parametrize("to", ["", LABELER])
def test_whom_the_site_has_taken_down_may_appeal_and_nothing_else(place: Town, to: str) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, "python", uri)
    take_down(place, author)
    for what in (uri, author.did, plc(5)):
        assert report(place, author, what, to=to).fault == (403, "AccountTakedown")
    assert report(place, author, plc(5), APPEAL, to=to).fault == (403, "Forbidden")
    assert place.join(author, "python").fault == (403, "AccountInactive")
    assert reaches(place, taken(report(place, author, uri, APPEAL, to=to))) == {"python"}
    assert reaches(place, taken(report(place, author, author.did, NEW_APPEAL, to=to))) == {"site"}
    assert waiting(place)[-1] == ("site", author.did, 0, 0)
    take_down(place, author, undo=True)
    taken(report(place, author, plc(5), to=to))


@pytest.mark.parametrize("status", ["takendown", "suspended", "deactivated", "deleted"])
def test_s41_who_is_not_active_at_home_may_appeal_and_nothing_else(place: Town, status: str) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, "python", uri)
    gone(place, author, status)
    assert report(place, author, plc(5)).fault == (403, "AccountInactive")
    assert place.join(author, "python").fault == (403, "AccountInactive")
    taken(report(place, author, uri, APPEAL))
    assert waiting(place)[0][0] == "python"


def test_a_removed_post_does_not_keep_its_author_from_reporting(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, "python", uri)
    taken(report(place, author, plc(5)))


def test_an_appeal_is_told_to_nobody_but_by_the_report(place: Town) -> None:
    author, uri = place.person(1), place.writer.post(1)
    removed(place, "python", uri)
    taken(report(place, author, uri, APPEAL, reason="between us"))
    for who in (place.person(), place.moderator("python")):
        told = (
            place.ask("getDecisions", who, community="python").body + place.ask("getCommunity", community="python").body
        )
        assert b"between us" not in told and b"ppeal" not in told


def test_s23_a_refused_appeal_leaves_the_token_and_nothing_else(place: Town) -> None:
    alice, uri = place.person(), place.writer.post(1)
    body: dict[str, Any] = {"reasonType": APPEAL, "subject": about(place, uri)}
    sent = place.token(alice, METHOD)
    assert place.act(METHOD, alice, body, sent).fault == (403, "Forbidden")
    for table in ("report", "report_case", "appeal", "evidence", "used_token"):
        assert place.writer.sql(f"SELECT * FROM {table}") == []
    assert place.act(METHOD, alice, body | {"reasonType": SPAM}, sent).status == 200
