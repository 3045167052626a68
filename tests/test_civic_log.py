"""The public log of a community through HTTP: what it shows to whom, page by page, and that it verifies."""

from collections.abc import Iterator
from typing import Any

import pytest

from communities.access import Status
from communities.community import Log, Rule
from communities.decision_view import read_view
from communities.log import FIELDS, BrokenLogError, Head, genesis, verify
from tests.civic_posts import decide, done
from tests.civic_site import OWNER, Town, town
from tests.didnet import Account, plc

SITE_MODERATOR = plc(700)
REASON = "Kestrels are no doves."
RULE = "Doves only"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("log"), moderators=SITE_MODERATOR) as place:
        yield place


def pages(site: Town, slug: str, who: Account | None = None, **params: Any) -> list[dict[str, Any]]:
    """The whole log as paging gives it, the newest first."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        reply = site.ask("getDecisions", who, community=slug, limit=2, cursor=cursor, **params)
        assert reply.status == 200, reply.body
        assert len(reply.json["decisions"]) <= 2
        found += reply.json["decisions"]
        cursor = reply.json.get("cursor")
        if cursor is None:
            return found


def heads(entries: list[dict[str, Any]], slug: str) -> Head:
    """The head to which a log verifies that was given the newest first."""
    events = [read_view(entry) for entry in reversed(entries)]
    assert {named for named, _ in events} <= {slug}
    return verify([event for _, event in events], genesis(slug))


def filled(site: Town, slug: str, log: Log) -> tuple[Account, Account, list[str]]:
    """A community in which five decisions were made; its moderator, whom the moderator banned, and its posts."""
    site.found(slug, log=log, rules=(Rule(RULE),))
    moderator, banned = site.moderator(slug), site.member(slug)
    posts = [site.writer.post(number) for number in (1, 2)]
    for post in posts:
        done(decide(site, moderator, slug, "approve", post))
    done(decide(site, moderator, slug, "remove", posts[0], reason=REASON, rule=RULE))
    assert site.decide(moderator, slug, "ban", banned, reason=REASON).status == 200
    done(decide(site, moderator, slug, "restore", posts[0]))
    return moderator, banned, posts


@pytest.mark.parametrize("show_subject", [False, True])
@pytest.mark.parametrize("who", ["nobody", "role", "actor"])
def test_it_shows_what_its_community_shows_and_verifies(site: Town, who: str, show_subject: bool) -> None:
    slug = f"log-{who}-{show_subject}".lower()
    moderator, banned, posts = filled(site, slug, Log(who, show_subject))
    public, whole = pages(site, slug), pages(site, slug, moderator)
    assert [entry["seq"] for entry in public] == [5, 4, 3, 2, 1]
    assert [entry["action"] for entry in public] == ["restore", "ban", "remove", "approve", "approve"]
    assert public[2]["rule"] == RULE
    said = str(public)
    assert (moderator.did in said) == (who == "actor")
    assert [entry.get("role") for entry in public] == [None if who == "nobody" else "moderator"] * 5
    assert banned.did not in said, "a ban stays between the community and the banned"
    assert (posts[0] in said, posts[1] in said) == (show_subject, show_subject)
    assert (REASON in said) == show_subject and REASON not in str(public[1])
    for entry in public:
        assert entry["salts"].keys() | entry["commitments"].keys() == set(FIELDS)
        assert not entry["salts"].keys() & entry["commitments"].keys()
    assert banned.did in str(whole) and all(entry["commitments"] == {} for entry in whole)
    assert heads(public, slug) == heads(whole, slug) == Head(5, bytes.fromhex(public[0]["hash"]))


def test_moderators_and_who_stands_above_see_all_and_nobody_else(site: Town) -> None:
    moderator, banned, _ = filled(site, "seen", Log("nobody", False))
    site.found("seen-below", parent=f"at://{OWNER}/social.communities.community/seen", log=Log("nobody"))
    done(decide(site, site.moderator("seen-below"), "seen-below", "approve", site.writer.post()))
    above = site.admin("seen")
    for who in (moderator, above, site.site.account(700), site.site.account(800)):
        assert moderator.did in str(pages(site, "seen", who))
    assert all("actor" in entry for entry in pages(site, "seen-below", above))
    for somebody in (None, site.member("seen"), site.person(), site.moderator("seen-below")):
        assert all(set(entry["commitments"]) == set(FIELDS) for entry in pages(site, "seen", somebody))
    assert site.ask("getDecisions", banned, community="seen").fault == (400, "CommunityNotFound")


def test_by_subject_it_tells_nothing_that_it_hides(site: Town) -> None:
    moderator, banned, posts = filled(site, "subject-hidden", Log("role", False))
    assert pages(site, "subject-hidden", subject=posts[0]) == []
    assert pages(site, "subject-hidden", subject=banned.did) == []
    assert [entry["seq"] for entry in pages(site, "subject-hidden", moderator, subject=posts[0])] == [5, 3, 1]
    assert [entry["seq"] for entry in pages(site, "subject-hidden", moderator, subject=banned.did)] == [4]
    moderator, banned, posts = filled(site, "subject-shown", Log("role", True))
    assert [entry["seq"] for entry in pages(site, "subject-shown", subject=posts[0])] == [5, 3, 1]
    assert pages(site, "subject-shown", subject=banned.did) == []
    assert pages(site, "subject-shown", subject=plc(4444)) == []


def test_pages_hold_while_decisions_are_made(site: Town) -> None:
    moderator, _, posts = filled(site, "moving", Log())
    first = site.ask("getDecisions", community="moving", limit=2).json
    done(decide(site, moderator, "moving", "remove", posts[1]))
    second = site.ask("getDecisions", community="moving", limit=2, cursor=first["cursor"]).json
    third = site.ask("getDecisions", community="moving", limit=2, cursor=second["cursor"]).json
    numbers = [entry["seq"] for page in (first, second, third) for entry in page["decisions"]]
    assert numbers == [5, 4, 3, 2, 1] and "cursor" not in third
    assert heads(pages(site, "moving"), "moving").seq == 6


def test_a_log_that_was_tampered_with_does_not_verify(site: Town) -> None:
    filled(site, "forged", Log("role", True))
    good = pages(site, "forged")
    assert heads(good, "forged").seq == 5
    for place, change in ((2, {"action": "approve"}), (2, {"rule": "Another"}), (0, {"reason": "Another."})):
        forged = [entry | change if at == place else entry for at, entry in enumerate(good)]
        with pytest.raises(BrokenLogError):
            heads(forged, "forged")
    with pytest.raises(BrokenLogError):
        heads(good[:2] + good[3:], "forged")
    with pytest.raises(BrokenLogError):
        verify([read_view(entry)[1] for entry in reversed(good)], genesis("another"))


def test_cursors_are_of_one_list(site: Town) -> None:
    filled(site, "cursor-a", Log())
    filled(site, "cursor-b", Log())
    cursor = site.ask("getDecisions", community="cursor-a", limit=2).json["cursor"]
    for params in ({"community": "cursor-b"}, {"community": "cursor-a", "subject": plc(1)}):
        assert site.ask("getDecisions", cursor=cursor, **params).fault == (400, "InvalidCursor")
    for bad in ("", "2", cursor.upper(), cursor[:-2], "zz"):
        expected = (400, "InvalidCursor")
        assert site.ask("getDecisions", community="cursor-a", cursor=bad).fault == expected


def test_who_may_not_read_the_community_may_not_read_its_log(site: Town) -> None:
    site.found("log-private", kind="private")
    site.found("log-hidden", kind="hidden")
    stranger, member = site.person(), site.member("log-private")
    assert site.ask("getDecisions", stranger, community="log-private").fault == (403, "NotPermitted")
    assert site.ask("getDecisions", stranger, community="log-hidden").fault == (400, "CommunityNotFound")
    assert site.ask("getDecisions", None, community="nowhere").fault == (400, "CommunityNotFound")
    assert site.ask("getDecisions", member, community="log-private").json == {"decisions": []}
    gone = site.person()
    site.put("log-private", gone, Status.BANNED)
    assert site.ask("getDecisions", gone, community="log-private").fault == (400, "CommunityNotFound")
