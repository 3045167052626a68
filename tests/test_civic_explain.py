"""Why a post is, or is not, in a community: through HTTP for those whom it concerns, and the same by the command."""

import json
import os
from collections.abc import Iterator
from functools import cache
from math import log2
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role, Status
from communities.community import Exclude, Include, Log, Require
from communities.ranking import Ranking
from firehose.ops import QUOTE, REPLY, REPOST
from service.cli import main
from tests.civic_posts import a_cid, decide, declare, done, ref, wait_for_approval
from tests.civic_site import OWNER, Town, town
from tests.didnet import Account, plc
from tests.feed_site import DAY, NOW

BIRDS = f"at://{OWNER}/social.communities.community/birds"
SITE_MODERATOR = plc(700)
SUBMISSION, BLOCK = "social.communities.submission", "app.bsky.graph.block"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("explain"), moderators=SITE_MODERATOR, retention_days="30") as place:
        yield place


@pytest.fixture
def site(shared: Town) -> Iterator[Town]:
    """The community `birds` of a record, which takes in #python from anybody."""
    shared.writer.clear()
    for table in ("declaration", "membership", "decided", "repo"):
        shared.writer.sql(f"DELETE FROM {table}")
    shared.found("birds", account=plc(500), posting="anyone", include=Include(hashtags=("python",)))
    yield shared


def explained(site: Town, uri: str, who: Account | None = None, slug: str = "birds") -> dict[str, Any]:
    """What is told about a post, to its author unless another is named."""
    reply = site.ask("explain", who or author_of(site, uri), community=slug, post=uri)
    assert reply.status == 200, reply.body
    found: dict[str, Any] = reply.json
    return found


@cache
def person(site: Town, number: int) -> Account:
    """The account of a number, with one key as long as the site is there."""
    return site.site.account(number)


def author_of(site: Town, uri: str) -> Account:
    """The account of a post's author, one of the first thousand."""
    return person(site, next(number for number in range(1, 1000) if plc(number) == ref(uri).did))


def put_in(site: Town, uri: str, slug: str = "birds", evidence: str = "hashtag:python") -> None:
    """A post in a community of a record, as ingest puts it there."""
    site.writer.sql(
        "INSERT INTO feed_item (community, hidden, sort_at, post, uri, evidence) SELECT ?, 0, p.sort_at, p.id, ?, ?"
        " FROM post p JOIN actor a ON a.id = p.actor WHERE a.did = ? AND p.rkey = ?",
        site.id(slug), uri, evidence, *ref(uri),
    )  # fmt: skip


def test_what_is_in_is_explained_by_evidence_and_score(site: Town) -> None:
    ranking = Ranking(half_life_hours=6, likes=1, reposts=2, replies=3, quotes=4)
    site.found("birds", posting="anyone", include=Include(hashtags=("python",)), ranking=ranking)
    created = NOW - DAY // 2
    post = site.writer.post(at=created)
    put_in(site, post)
    for number in (2, 3):
        site.writer.engage(number, post)
    for kind in (REPOST, REPLY, QUOTE):
        site.writer.engage(4, post, kind)
    found = explained(site, post)
    assert (found["evidences"], found["state"], found["hiddenBy"]) == (["hashtag:python"], "admitted", [])
    assert found["why"] == "it is in the community" and "decision" not in found
    assert {term["name"]: term["value"] for term in found["score"]} == {
        "likes": "2", "reposts": "1", "replies": "1", "quotes": "1",
        "likesWeight": "1", "repostsWeight": "2", "repliesWeight": "3", "quotesWeight": "4",
        "engagement": "11", "ageHours": "12.000", "halfLifeHours": "6",
        "hot": f"{log2(12) + created / (6 * 3_600_000_000):.6f}",
    }  # fmt: skip
    before = found["revision"]
    site.found("other")
    assert explained(site, post)["revision"] != before


def test_it_is_told_to_those_whom_it_concerns_alone(site: Town) -> None:
    post = site.writer.post()
    put_in(site, post)
    told = [site.moderator("birds"), site.admin("birds"), person(site, 700), person(site, 800)]
    for who in (*told, person(site, 1)):
        assert site.ask("explain", who, community="birds", post=post).status == 200
    for who in (site.member("birds"), site.person(), site.moderator("python"), person(site, 2)):
        assert site.ask("explain", who, community="birds", post=post).fault == (403, "NotPermitted")
    assert site.ask("explain", None, community="birds", post=post).fault == (401, "AuthMissing")
    site.found("secret", kind="hidden")
    assert site.ask("explain", person(site, 1), community="secret", post=post).fault == (400, "CommunityNotFound")
    for bad in ("at://alice.example.com/app.bsky.feed.post/1", f"at://{plc(1)}/app.bsky.feed.like/1", "x"):
        assert site.ask("explain", told[0], community="birds", post=bad).fault == (400, "InvalidRequest")


@pytest.mark.parametrize("log", [Log("role"), Log("nobody"), Log("actor")])
def test_its_author_is_told_what_was_decided_and_why_but_not_more_of_whom_than_others(site: Town, log: Log) -> None:
    site.found("birds", posting="anyone", include=Include(hashtags=("python",)), log=log)
    moderator = site.moderator("birds")
    post = site.writer.post()
    put_in(site, post)
    done(decide(site, moderator, "birds", "remove", post, reason="It is no bird."))
    mine = explained(site, post)
    assert (mine["state"], mine["why"], mine["hiddenBy"]) == (
        "removed",
        "a moderator removed it",
        ["a moderator removed it"],
    )
    assert (mine["decision"]["action"], mine["decision"]["reason"]) == ("remove", "It is no bird.")
    assert mine["decision"]["subject"] == post
    assert (moderator.did in str(mine)) == (log.who == "actor")
    assert ("role" in mine["decision"]) == (log.who != "nobody")
    assert explained(site, post, moderator)["decision"]["actor"] == moderator.did
    assert explained(site, post, slug="python")["state"] == "admitted"


def test_a_decision_about_a_pin_hides_not_the_verdict(site: Town) -> None:
    moderator = site.moderator("birds")
    post = site.writer.post()
    put_in(site, post)
    done(decide(site, moderator, "birds", "approve", post))
    done(decide(site, moderator, "birds", "pin", post))
    found = explained(site, post)
    assert (found["decision"]["action"], found["why"]) == ("approve", "a moderator approved it")
    assert found["evidences"] == ["hashtag:python", "approved"]


def test_what_waits_says_so(site: Town) -> None:
    site.found("birds", posting="approval", include=Include(hashtags=("python",)))
    site.put("birds", person(site, 1))
    post = site.writer.post()
    put_in(site, post)
    wait_for_approval(site, "birds", post)
    found = explained(site, post)
    assert (found["state"], found["hiddenBy"]) == ("pending", ["it waits for approval"])


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"include": Include(hashtags=("other",))}, "nothing selects it"),
        ({"exclude": Exclude(hashtags=("rust",))}, "it carries #rust (exclude.hashtags)"),
        ({"exclude": Exclude(languages=("de",))}, "its language is de (exclude.languages)"),
        ({"require": Require(languages=("en",))}, "its language is de (require.languages)"),
        ({"posting": "members"}, "only members post here"),
        ({"posting": "restricted"}, "only moderators post here"),
        ({"state": "paused"}, "the community is paused"),
    ],
    ids=str,
)
def test_what_is_not_in_says_which_filter_keeps_it_out(site: Town, rules: dict[str, Any], why: str) -> None:
    site.found("birds", **({"posting": "anyone", "include": Include(hashtags=("python",))} | rules))
    found = explained(site, site.writer.post(tags=("python", "rust")))
    assert (found["state"], found["why"]) == ("refused", why)
    assert found["hiddenBy"] == [why] and found["score"] == []
    assert found["evidences"] == ([] if why == "nothing selects it" else ["hashtag:python"])


def test_all_that_speaks_for_it_is_told(site: Town) -> None:
    include = Include(hashtags=("python",), lists=("at://did:plc:x/app.bsky.graph.list/1",), joined=True)
    site.found("birds", posting="members", include=include)
    site.writer.sql(
        "INSERT INTO list_item (owner, rkey, list, subject) VALUES ('did:plc:x', '1', ?, ?)"
        " ON CONFLICT DO NOTHING", include.lists[0], plc(1),
    )  # fmt: skip
    site.put("birds", person(site, 1))
    post = site.writer.post()
    declare(site, plc(1), SUBMISSION, "s", BIRDS, post)
    found = explained(site, post)
    assert found["evidences"] == ["hashtag:python", f"list:{include.lists[0]}", "submission", "joined"]
    assert found["state"] == "admitted" and found["why"].startswith("the rules admit it, but it was not admitted")


def test_what_its_author_took_back_is_withdrawn(site: Town) -> None:
    blocked, taken_back, tagged = site.writer.post(1), site.writer.post(2), site.writer.post(3, tags=("rust",))
    declare(site, plc(1), BLOCK, "b", "", plc(500))
    declare(site, plc(2), SUBMISSION, "s", BIRDS, taken_back, gone=1)
    assert explained(site, blocked)["state"] == explained(site, taken_back)["state"] == "withdrawn"
    assert explained(site, taken_back)["why"] == "its author took its submission back"
    assert explained(site, blocked)["hiddenBy"] == ["its author blocks the community's account"]
    assert explained(site, tagged)["state"] == "refused"


def test_the_banned_are_told_that_they_are(site: Town) -> None:
    author, moderator = person(site, 1), site.moderator("birds")
    site.put("birds", author)
    post, later = site.writer.post(1), site.writer.post(1)
    put_in(site, post)
    assert site.decide(moderator, "birds", "ban", author).status == 200
    assert site.status("birds", author) == (Status.BANNED, Role.MEMBER)
    assert (explained(site, post)["state"], explained(site, post)["hiddenBy"]) == ("banned", ["its author is banned"])
    assert (explained(site, later)["state"], explained(site, later)["why"]) == ("refused", "its author is banned")


def test_an_inactive_author_is_said(site: Town) -> None:
    post = site.writer.post()
    put_in(site, post)
    site.writer.hide(1, status="suspended")
    found = explained(site, post, site.moderator("birds"))
    assert found["hiddenBy"] == ["its author's account is not shown (suspended)"]
    assert (found["state"], found["why"]) == ("admitted", "its author's account is not active (suspended)")
    site.writer.sql("UPDATE actor SET active = 1, allowed = 0 WHERE did = ?", plc(1))
    assert "taken down by this service" in explained(site, post, site.moderator("birds"))["why"]


def test_what_is_not_indexed_is_explained_as_far_as_it_is_known(site: Town) -> None:
    author, moderator = person(site, 1), site.moderator("birds")
    post = f"at://{author.did}/app.bsky.feed.post/p1"
    nothing = "it is not in the index, which holds only what some community admits"
    found = explained(site, post, author)
    assert (found["state"], found["why"], found["hiddenBy"], found["evidences"]) == ("refused", nothing, [nothing], [])
    old = explained(site, f"at://{author.did}/app.bsky.feed.post/3jt5tsfbx2s2a", author)["why"]
    assert old.startswith("by its key it is ") and old.endswith(" days old, and posts leave the index after 30")
    declare(site, author.did, SUBMISSION, "s", BIRDS, post)
    found = explained(site, post, author)
    assert found["evidences"] == ["submission"] and found["why"].startswith("its author submitted it")
    done(decide(site, moderator, "birds", "approve", post, a_cid("x")))
    found = explained(site, post, author)
    assert found["why"] == "a moderator approved it, and it comes when its author's repository has been read"
    assert found["decision"]["action"] == "approve"
    site.writer.sql("DELETE FROM repo")
    assert explained(site, post, author)["why"].endswith("its author's repository has no such post to take in")
    done(decide(site, moderator, "birds", "remove", post, a_cid("x")))
    assert explained(site, post, author)["state"] == "removed"
    site.writer.sql("UPDATE declaration SET gone = 1")
    assert explained(site, post, author)["state"] == "withdrawn"


def test_the_command_says_the_same(
    site: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    moderator = site.moderator("birds")
    post = site.writer.post()
    put_in(site, post)
    done(decide(site, moderator, "birds", "remove", post, reason="No\x1b[31m bird."))
    for name in [name for name in os.environ if name.startswith("COMMUNITIES_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMMUNITIES_DATA", str(site.site.config.data))
    assert main(["explain", post, "--community", "birds", "--json"]) == 1
    (said,) = json.loads(capsys.readouterr().out)["communities"]
    told = explained(site, post, moderator)
    assert (said["state"], said["why"], said["hiddenBy"]) == (told["state"], told["why"], told["hiddenBy"])
    assert (said["decision"], said["admittedBy"]) == (told["decision"], told["evidences"])
    assert said["score"].keys() == {term["name"] for term in told["score"]}
    assert (said["hidden"], said["shown"]) == (4, False)
    assert main(["explain", post]) == 0, "it is in another one"
    printed = capsys.readouterr().out
    assert "not in birds: a moderator removed it" in printed and "in  python: it is in the community" in printed
    assert f"remove at {told['decision']['at']} by moderator {moderator.did}, No\\x1b[31m bird." in printed
