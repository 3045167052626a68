"""What moderators of a community are shown of what was reported to it, and of the history of its author there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cbrrr import encode_dag_cbor

from communities.access import Scope
from communities.limits import ACCOUNT, Limits
from communities.refs import POST
from models import evidence
from models.database import writing
from tests.civic_posts import a_cid, decide, done, version
from tests.civic_reports import OTHER, SPAM, report, taken
from tests.civic_site import Town
from tests.didnet import Account, plc
from tests.due_site import ADMIN, STAFF, due

PROFILE = "app.bsky.actor.profile"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with due(tmp_path) as found:
        yield found


def shown(place: Town, who: Account, what: str, slug: str = "python") -> dict[str, Any]:
    reply = place.ask("getEvidence", who, community=slug, subject=what)
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json
    return answer


def texts(answer: dict[str, Any]) -> list[str]:
    return [one["value"]["text"] for one in answer["versions"]]


def fetched(place: Town, **more: Any) -> None:
    """What is to be fetched of what was reported has come, as the ingest process brings it."""
    with writing(place.writer.database) as connection:
        for one in evidence.due(connection, place.clock.micros(), 10):
            evidence.fill(connection, one._replace(handle="wren.example.com", **more), place.clock.micros())


def test_what_was_reported_stays_with_what_it_answers(place: Town) -> None:
    asked = place.writer.post(2, text="Does anybody like this?")
    answered = place.writer.post(text="You are a fool", parent=asked)
    cid = version(place, answered)
    taken(report(place, place.person(), answered))
    fetched(place)
    place.writer.delete(answered)
    place.writer.delete(asked)
    (kept,) = shown(place, place.moderator("python"), answered)["versions"]
    assert kept["value"]["text"] == "You are a fool"
    assert (kept["uri"], kept["cid"], kept["handle"]) == (answered, cid, "wren.example.com")
    assert (kept["parent"], kept["parentText"]) == (asked, "Does anybody like this?")


def test_each_version_that_was_reported_the_last_first(place: Town) -> None:
    post = place.writer.post(text="One", rkey="one")
    for text in ("Two", "Three"):
        taken(report(place, place.person(), post))
        place.clock.now += 1
        place.writer.post(text=text, rkey="one")
    assert texts(shown(place, place.moderator("python"), post)) == ["Two", "One"]


def test_the_history_of_the_author_in_this_community_alone(place: Town) -> None:
    author = place.person(1)
    posts = [place.writer.post(text=f"Post {number}", tags=("python", "rust")) for number in range(3)]
    first, second = place.moderator("python"), place.moderator("python")
    done(decide(place, first, "python", "remove", posts[0], reason="Not about snakes."))
    done(decide(place, place.moderator("rust"), "rust", "remove", posts[1]))
    assert place.decide(first, "python", "ban", author).status == 200
    assert place.decide(first, "python", "unban", author).status == 200
    place.put("python", author)
    for number, what in enumerate((posts[1], posts[1], author.did)):
        taken(report(place, place.person(200 + number), what))
    taken(report(place, place.person(203), posts[1]))
    done(decide(place, second, "python", "approve", posts[1]))
    answer = shown(place, second, author.did)
    assert [one["action"] for one in answer["decisions"]] == ["approve", "unban", "ban", "remove"]
    assert answer["decisions"][3]["reason"] == "Not about snakes." and answer["decisions"][3]["actor"] == first.did
    assert {one["community"] for one in answer["decisions"]} == {"python"}
    assert (answer["posts"], answer["reports"], answer["waiting"]) == (2, 4, 1)
    assert (answer["member"]["did"], answer["member"]["status"]) == (author.did, "member")
    about_post = shown(place, second, posts[2])
    assert {name: about_post[name] for name in answer if name != "versions"} == {
        name: value for name, value in answer.items() if name != "versions"
    }


def test_of_a_stranger_there_is_nothing(place: Town) -> None:
    answer = shown(place, place.moderator("python"), plc(4000))
    assert answer == {"versions": [], "posts": 0, "reports": 0, "waiting": 0, "decisions": []}


def test_an_account_is_shown_by_its_profile(place: Town) -> None:
    author, moderator = place.person(1), place.moderator("python")
    place.put("python", author)
    taken(report(place, place.person(), author.did))
    assert shown(place, moderator, author.did)["versions"] == []
    profile = encode_dag_cbor({"$type": PROFILE, "displayName": "Wren"})
    fetched(place, record=profile, cid=a_cid("a profile"))
    (kept,) = shown(place, moderator, author.did)["versions"]
    assert kept["uri"] == f"at://{author.did}/{PROFILE}/self" and kept["value"]["displayName"] == "Wren"


@pytest.mark.parametrize(
    "who", ["stranger", "member", "author", "reporter", "another's moderator", "of pins", "of members"]
)
def test_nobody_else_is_told(place: Town, who: str) -> None:
    post = place.writer.post(text="A post")
    reporter = place.person()
    taken(report(place, reporter, post))
    caller = {
        "stranger": place.person,
        "member": lambda: place.member("python"),
        "author": lambda: place.person(1),
        "reporter": lambda: reporter,
        "another's moderator": lambda: place.moderator("rust"),
        "of pins": lambda: place.moderator("python", scope=frozenset((Scope.PINS,))),
        "of members": lambda: place.moderator("python", scope=frozenset((Scope.MEMBERS,))),
    }[who]()
    assert place.ask("getEvidence", caller, community="python", subject=post).fault == (403, "NotPermitted")


def test_whoever_stands_above_is_told(place: Town) -> None:
    post = place.writer.post(text="A post")
    taken(report(place, place.person(), post))
    for who in (place.person(ADMIN), place.person(STAFF), place.admin("python")):
        assert texts(shown(place, who, post)) == ["A post"]


def test_what_was_reported_elsewhere_is_not_told(place: Town) -> None:
    post = place.writer.post(text="A post", tags=("python", "rust"))
    done(decide(place, place.moderator("python"), "python", "remove", post))
    taken(report(place, place.person(), post))
    assert texts(shown(place, place.moderator("rust"), post, "rust")) == ["A post"]
    elsewhere = shown(place, place.moderator("python"), post)
    assert (elsewhere["versions"], elsewhere["reports"]) == ([], 0)


@pytest.mark.parametrize(
    ("limits", "sees"),
    [
        (Limits(reasons=frozenset((SPAM,))), True),
        (Limits(reasons=frozenset((OTHER,))), False),
        (Limits(collections=frozenset((POST,))), True),
        (Limits(collections=frozenset((ACCOUNT,))), False),
    ],
)
def test_a_limited_role_sees_what_it_works_on(place: Town, limits: Limits, *, sees: bool) -> None:
    post = place.writer.post(text="A post")
    taken(report(place, place.person(), post, SPAM))
    answer = shown(place, place.moderator("python", limits=limits), post)
    assert (texts(answer), answer["reports"], answer["waiting"]) == (["A post"] * sees, sees, sees)


def test_versions_that_only_others_may_see_hide_none(place: Town) -> None:
    """However often another version was reported to whom one does not see."""
    post = place.writer.post(text="The first", tags=("python", "rust"), rkey="one")
    taken(report(place, place.person(), post))
    done(decide(place, place.moderator("python"), "python", "remove", post))
    for number in range(25):
        place.clock.now += 1
        place.writer.post(text=f"Version {number}", tags=("python", "rust"), rkey="one")
        taken(report(place, place.person(), post))
    assert texts(shown(place, place.moderator("python"), post)) == ["The first"]
    assert len(texts(shown(place, place.moderator("rust"), post, "rust"))) == 20


@pytest.mark.parametrize(
    "subject", ["", "birds", "at://alice.example.com/app.bsky.feed.post/3k", "at://did:plc:a", "a" * 9000]
)
def test_bad_subjects(place: Town, subject: str) -> None:
    moderator = place.moderator("python")
    assert place.ask("getEvidence", moderator, community="python", subject=subject).fault == (400, "InvalidRequest")


def test_bad_callers(place: Town) -> None:
    assert place.ask("getEvidence", None, community="python", subject=plc(1)).fault == (401, "AuthMissing")
    assert place.ask("getEvidence", place.person(), community="x", subject=plc(1)).fault == (400, "CommunityNotFound")
