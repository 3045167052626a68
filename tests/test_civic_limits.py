"""Limits of a moderator's role through HTTP: as they are given and shown, and what `decide`, `label` and
`resolveAppeal` let such a moderator do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role
from communities.limits import ACCOUNT, Limits
from communities.refs import POST
from tests.civic_posts import decide, done, hidden
from tests.civic_reports import NEW_APPEAL, SPAM
from tests.civic_site import Town
from tests.didnet import Account, plc
from tests.due_site import appeal, due, resolve
from tests.feed_site import iso
from tests.label_scene import LABELER
from tests.test_civic_labels import holds, label

HOUR = 3_600_000_000
OLD_APPEAL = "com.atproto.moderation.defs#reasonAppeal"
LISTS = "app.bsky.graph.list"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with due(tmp_path) as found:
        yield found


def limited(place: Town, slug: str = "python", until: int | None = None, **parts: set[str]) -> Account:
    """Somebody new whose role is limited to this."""
    limits = Limits(**{name: frozenset(names) for name, names in parts.items()})
    return place.moderator(slug, limits=limits, until=until)


def given(place: Town, **more: Any) -> dict[str, Any]:
    """A new moderator's membership, by setRole, as everybody is shown it."""
    admin, somebody = place.admin("python"), place.member("python")
    reply = place.give(admin, "python", somebody, "moderator", **more)
    assert reply.status == 200, reply.body
    member: dict[str, Any] = reply.json["member"]
    assert place.ask("getMembership", admin, community="python", member=somebody.did).json["membership"] == member
    assert member in place.every("listMembers", admin, community="python", role="moderator")
    assert place.ask("getViewer", somebody, community="python").json["membership"] == member
    return member | {"reason": reply.json["decision"]["reason"]}


def test_limits_are_given_shown_and_taken(place: Town) -> None:
    member = given(place, labels=["spoiler", "spam"], collections=[POST], reasons=[], scope=["posts"])
    assert member["labels"] == ["spam", "spoiler"] and (member["collections"], member["reasons"]) == ([POST], [])
    told = f"moderator: posts; labels spam spoiler; collections {POST}; reasons nothing"
    assert member["reason"] == told and member["scope"] == ["posts"]
    assert not {"labels", "collections", "reasons", "scope"} & given(place).keys()
    # What is given next is all that is held, and whoever is an admin is limited in nothing.
    admin, somebody = place.admin("python"), place.member("python")
    place.give(admin, "python", somebody, "moderator", labels=["spam"], collections=[POST])
    member = place.give(admin, "python", somebody, "moderator", labels=["spam"]).json["member"]
    assert member["labels"] == ["spam"] and "collections" not in member
    assert "labels" not in place.give(admin, "python", somebody, "admin").json["member"]


def test_the_log_tells_no_more_of_many_values_than_it_may(place: Town) -> None:
    labels = [f"{'x' * 90}{number}" for number in range(100)]
    member = given(place, labels=labels)
    assert member["labels"] == sorted(labels) and len(member["reason"]) == 2000 + len("moderator")


@pytest.mark.parametrize("name", ["labels", "collections", "reasons"])
def test_only_moderators_are_limited_and_values_are_bounded(place: Town, name: str) -> None:
    admin, somebody = place.admin("python"), place.member("python")
    for role in ("member", "admin"):
        assert place.give(admin, "python", somebody, role, **{name: ["a"]}).fault == (400, "InvalidRequest")
    for bad in ([""], ["x" * 400], ["x"] * 101, "x", [1], None):
        assert place.give(admin, "python", somebody, "moderator", **{name: bad}).fault == (400, "InvalidRequest")
    assert place.ask("getMembership", somebody, community="python").json["membership"]["role"] == "member"


@pytest.mark.parametrize(
    ("collections", "posts", "people"),
    [({POST}, True, False), ({ACCOUNT}, False, True), (set(), False, False), ({LISTS}, False, False),
     ({POST, ACCOUNT}, True, True)],
    ids=str,
)  # fmt: skip
def test_decisions_by_collections(place: Town, collections: set[str], posts: bool, people: bool) -> None:
    who, uri, member = limited(place, collections=collections), place.writer.post(1), place.member("python")
    decides = set(place.ask("getViewer", who, community="python").json["decides"])
    assert ("remove" in decides, "pin" in decides, "ban" in decides, "invite" in decides) == (
        posts, posts, people, people,
    )  # fmt: skip
    refused = (403, "NotPermitted")
    for action in ("pin", "unpin", "remove", "restore"):
        reply = decide(place, who, "python", action, uri)
        assert reply.status == 200 if posts else reply.fault == refused, (action, reply.body)
    for action in ("ban", "unban"):
        reply = place.decide(who, "python", action, member)
        assert reply.status == 200 if people else reply.fault == refused, (action, reply.body)
    for about, mine in ((uri, posts), (member.did, people)):
        reply = label(place, who, about, "spam")
        assert reply.status == 200 if mine else reply.fault == refused, (about, reply.body)


@pytest.mark.parametrize("labels", [{"spam"}, set(), {"spam", "spoiler"}, {"Spam", "unknown"}], ids=str)
def test_labels_by_values(place: Town, labels: set[str]) -> None:
    who, free = limited(place, labels=labels), place.moderator("python")
    for val in ("spam", "spoiler"):
        uri = place.writer.post(1)
        reply = label(place, who, uri, val)
        assert holds(place, uri) == ({val} if val in labels else set())
        assert reply.status == 200 if val in labels else reply.fault == (403, "NotPermitted")
        assert val in labels or label(place, free, uri, val).status == 200
        # To negate takes as much as to issue; what does not hold is nobody's matter.
        reply = label(place, who, uri, remove=[val])
        assert reply.status == 200 if val in labels else reply.fault == (403, "NotPermitted")
        if val in labels:
            assert label(place, who, uri, remove=[val]).fault == (400, "NoChange")
    uri = place.writer.post(1)
    if labels == {"spam"}:
        assert label(place, who, uri, "spam", "spoiler").fault == (403, "NotPermitted")
        assert holds(place, uri) == set(), "all of it, or nothing"


def test_labels_limit_no_decisions(place: Town) -> None:
    who, uri = limited(place, labels=set(), reasons=set()), place.writer.post(1)
    done(decide(place, who, "python", "remove", uri))
    assert hidden(place, "python", uri) == 4


@pytest.mark.parametrize("by", ["end", "taken", "narrowed"])
def test_a_grant_that_has_ended_covers_nothing(place: Town, by: str) -> None:
    """Whatever it was limited to: there is no live grant any more."""
    until = place.clock.micros() + HOUR
    who, uri = limited(place, until=until, labels={"spam"}, collections={POST}), place.writer.post(1)
    assert label(place, who, uri, "spam").status == 200
    if by == "end":
        place.clock.now += 3600
    elif by == "taken":
        assert place.give(place.admin("python"), "python", who, "member").status == 200
    else:
        assert place.give(place.admin("python"), "python", who, "moderator", labels=["x"], collections=[]).status == 200
    assert label(place, who, uri, remove=["spam"]).fault == (403, "NotPermitted")
    assert decide(place, who, "python", "remove", uri).fault == (403, "NotPermitted")
    member = place.ask("getMembership", who, community="python").json["membership"]
    assert member["role"] == ("moderator" if by == "narrowed" else "member")
    assert ("labels" in member) is (by == "narrowed")


def test_who_stands_above_is_not_limited_below(place: Town) -> None:
    """An admin above, an owner, and an admin here, whatever a row says."""
    admin = place.person()
    limits = Limits(frozenset(), frozenset(), frozenset())
    place.put("python", admin, role=Role.ADMIN, limits=limits)
    uri = place.writer.post(1)
    assert label(place, admin, uri, "spam").status == 200
    done(decide(place, admin, "python", "remove", uri))


APPEALED: list[tuple[dict[str, set[str]], str]] = [
    ({"collections": {POST}, "reasons": {OLD_APPEAL, NEW_APPEAL}}, ""),
    ({"collections": {ACCOUNT}}, "AppealNotFound"),
    ({"reasons": {OLD_APPEAL}}, "AppealNotFound"),
    ({"reasons": {SPAM}}, "AppealNotFound"),
    ({"labels": {"spoiler"}}, "NotPermitted"),
    ({"labels": {"spam"}}, ""),
]


@pytest.mark.parametrize(("parts", "fault"), APPEALED, ids=str)
def test_appeals_are_reports_and_what_they_are_against_takes_a_grant(
    place: Town, parts: dict[str, set[str]], fault: str
) -> None:
    author, uri, other = place.person(1), place.writer.post(1), place.moderator("python")
    assert label(place, other, uri, "spam").status == 200
    appeal(place, author, uri, to=LABELER)
    reply = resolve(place, limited(place, **parts), uri, "grant", labeler=LABELER)
    assert reply.status == 200 if not fault else reply.fault[1] == fault, reply.body
    assert holds(place, uri) == ({"spam"} if fault else set())
    if fault == "AppealNotFound":
        nothing = resolve(place, limited(place, **parts), plc(2), "grant", labeler=LABELER)
        assert nothing.body == reply.body, "as one that is not there"


def test_times_are_those_of_the_transaction(place: Town) -> None:
    who, uri = limited(place, until=place.clock.micros() + 1, labels={"spam"}), place.writer.post(1)
    assert label(place, who, uri, "spam", expiresAt=iso(place.clock.micros() + HOUR)).status == 200
    place.clock.now += 1
    assert label(place, who, uri, remove=["spam"]).fault == (403, "NotPermitted")
