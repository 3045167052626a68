"""social.communities.label through HTTP: moderators label for their community, and nobody beyond it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role, Scope, Status
from tests.civic_posts import a_cid, version
from tests.civic_site import NSID, Town, town
from tests.didnet import Account, plc
from tests.feed_site import Reply, iso
from tests.label_scene import LABELER, LABELS, OTHER, SECOND

ADMIN = plc(33)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    labels = tmp_path / "labels.toml"
    labels.write_text(LABELS.replace("system", "# python and rust\nsystem") + SECOND.replace('"birds"', '"rust"'))
    with town(tmp_path, labels=str(labels), admins=ADMIN) as found:
        yield found


def label(place: Town, who: Account, about: str, *add: str, slug: str = "python", **more: Any) -> Reply:
    """Label an account or a post, in the version that is indexed unless another is named."""
    subject: dict[str, Any] = {"$type": f"{NSID}defs#account", "did": about}
    if not about.startswith("did:"):
        subject = {
            "$type": "com.atproto.repo.strongRef",
            "uri": about,
            "cid": more.pop("cid", "") or version(place, about),
        }
    body = {"community": slug, "subject": subject, **({"add": list(add)} if add else {}), **more}
    return place.act("label", who, body)


def holds(place: Town, uri: str) -> set[str]:
    """What waits to be published of a subject, negations apart."""
    return {val for (val,) in place.writer.sql("SELECT val FROM label_outbox WHERE uri = ? AND neg = 0", uri)}


def events(place: Town) -> list[Any]:
    return place.writer.sql("SELECT actor, role, community, uri, cid, added, removed, reason, rule FROM label_event")


def test_a_moderator_labels_a_post_and_takes_it_back(place: Town) -> None:
    who, uri = place.moderator("python"), place.writer.post(1)
    reply = label(place, who, uri, "spam", reason="Look.", expiresAt=iso(place.clock.micros() + 3_600_000_000))
    event = reply.json["event"]
    assert event == {
        "id": 1, "at": iso(place.clock.micros()), "labeler": LABELER, "community": "python", "actor": who.did,
        "role": "moderator", "subject": uri, "cid": version(place, uri), "added": ["spam"], "removed": [],
        "reason": "Look.", "expiresAt": event["expiresAt"],
    }  # fmt: skip
    assert holds(place, uri) == {"spam"}
    assert label(place, who, uri, remove=["spam", "spoiler"]).json["event"]["removed"] == ["spam"]
    assert holds(place, uri) == set()
    assert [row[:3] for row in events(place)] == [(who.did, "moderator", place.id("python"))] * 2
    assert label(place, who, uri, remove=["spam"]).fault == (400, "NoChange")


def test_members_and_authors_can_be_labelled_and_nobody_else(place: Town) -> None:
    who, member = place.moderator("python"), place.member("python")
    place.writer.post(1)
    banned = place.person()
    place.put("python", banned, Status.BANNED)
    for did in (member.did, plc(1), banned.did):
        assert label(place, who, did, "spam").status == 200
    asks = place.person()
    place.put("python", asks, Status.REQUESTED)
    for did in (plc(2), asks.did):
        assert label(place, who, did, "spam").fault == (400, "SubjectNotInCommunity")


def test_a_moderator_of_one_community_reaches_no_other(place: Town) -> None:
    """S135."""
    who, uri = place.moderator("python"), place.writer.post(1, tags=["rust"])
    assert label(place, who, uri, "spam").fault == (400, "SubjectNotInCommunity")
    assert label(place, who, uri, "spam", slug="rust", labeler=LABELER).fault == (403, "NotPermitted")
    both = place.writer.post(1, tags=["python", "rust"])
    other = place.moderator("rust")
    assert label(place, other, both, "spam", slug="rust", labeler=LABELER).status == 200
    assert label(place, who, both, remove=["spam"]).fault == (403, "NotPermitted"), "what rust said is not python's"
    assert events(place)[0][0] == other.did and len(events(place)) == 1


@pytest.mark.parametrize(
    ("role", "scope", "status"),
    [
        (Role.MEMBER, frozenset(Scope), 403),
        (Role.MODERATOR, frozenset((Scope.PINS,)), 403),
        (Role.ADMIN, frozenset(), 200),
    ],
)
def test_roles(place: Town, role: Role, scope: frozenset[Scope], status: int) -> None:
    who, uri = place.person(), place.writer.post(1)
    place.put("python", who, role=role, scope=scope)
    assert label(place, who, uri, "spam").status == status


def test_a_role_that_ended_or_was_taken_is_none(place: Town) -> None:
    """S139: roles are those of the transaction that labels."""
    uri = place.writer.post(1)
    who = place.moderator("python", until=place.clock.micros() - 1)
    assert label(place, who, uri, "spam").fault == (403, "NotPermitted")
    other = place.moderator("python")
    place.put("python", other, Status.BANNED)
    assert label(place, other, uri, "spam").fault == (400, "CommunityNotFound"), "there is none for the banned"
    assert events(place) == []


def test_values_outside_the_vocabulary_and_those_for_site_admins(place: Town) -> None:
    """S140."""
    who, uri = place.admin("python"), place.writer.post(1)
    assert label(place, who, uri, "nonsense").fault == (403, "UndeclaredLabel")
    assert label(place, who, uri, "owl").fault == (403, "UndeclaredLabel"), "of another labeler"
    for val in ("!warn", "!hide", "!takedown"):
        assert label(place, who, uri, val).fault == (403, "NotPermitted")
    admin = place.site.account(33)
    assert admin.did == ADMIN
    assert label(place, admin, uri, "!warn").status == 200
    assert label(place, admin, uri, "!hide").fault == (403, "UndeclaredLabel")
    assert label(place, admin, uri, "!takedown").fault == (403, "UndeclaredLabel")
    assert label(place, admin, plc(77), "spam").status == 200, "anybody, for the site"
    assert label(place, who, uri, remove=["!warn"]).fault == (403, "NotPermitted")


@pytest.mark.parametrize(
    "more", [{"src": LABELER}, {"cts": "2026-01-01T00:00:00Z"}, {"neg": True}, {"ver": 1}, {"sig": "x"}]
)
def test_what_the_service_sets_cannot_be_given(place: Town, more: dict[str, Any]) -> None:
    """S137, S141."""
    who, uri = place.moderator("python"), place.writer.post(1)
    assert label(place, who, uri, "spam", **more).fault == (400, "InvalidRequest")


def test_foreign_and_faulty_subjects(place: Town) -> None:
    """S141, S162."""
    who, uri = place.moderator("python"), place.writer.post(1)
    profile = f"at://{plc(1)}/app.bsky.actor.profile/self"
    cid = a_cid("x")
    assert label(place, who, profile, "spam", cid=cid).fault == (400, "InvalidRequest")
    assert (
        label(place, who, f"at://{plc(9)}/app.bsky.feed.post/none", "spam", cid=cid).fault[1] == "SubjectNotInCommunity"
    )
    assert label(place, who, uri, "spam", cid=cid).fault == (400, "VersionChanged")
    assert label(place, who, uri).fault == (400, "InvalidRequest")
    for val in ("", "x" * 129, "SPAM", "a b", "é", "😀", "spam\0"):
        assert label(place, who, uri, val).fault[0] in (400, 403)
    assert label(place, who, uri, "spam", expiresAt=iso(place.clock.micros() - 1)).fault == (400, "InvalidRequest")
    assert label(place, who, uri, "spam", rule="No such rule").fault == (400, "InvalidRequest")
    assert events(place) == []


def test_several_labelers_must_be_told_apart(place: Town) -> None:
    who, uri = place.moderator("rust"), place.writer.post(1, tags=["rust"])
    assert label(place, who, uri, "owl", slug="rust").fault == (400, "LabelerNotFound")
    assert label(place, who, uri, "owl", slug="rust", labeler=plc(1)).fault == (400, "LabelerNotFound")
    assert label(place, who, uri, "owl", slug="rust", labeler=OTHER).json["event"]["labeler"] == OTHER


def test_moderators_overrule_a_rule_about_what_is_their_communitys(place: Town) -> None:
    who, uri = place.moderator("python"), place.writer.post(1)
    admin = place.site.account(33)
    assert label(place, admin, uri, "spam").status == 200
    place.writer.sql("DROP TRIGGER label_event_update")
    place.writer.sql("UPDATE label_event SET community = 99, actor = 'rule:words'")
    elsewhere = place.moderator("rust")
    assert label(place, elsewhere, uri, slug="rust", labeler=LABELER, remove=["spam"]).fault == (403, "NotPermitted")
    assert label(place, who, uri, remove=["spam"]).json["event"]["removed"] == ["spam"]


def test_nobody_labels_without_a_labeler(tmp_path: Path) -> None:
    with town(tmp_path, labels=str(tmp_path / "none.toml")) as place:
        who, uri = place.moderator("python"), place.writer.post(1)
        assert label(place, who, uri, "spam").fault == (400, "LabelerNotFound")
        assert place.act("label", None, {"community": "python"}).fault[0] == 401


def test_what_another_community_or_the_site_said_cannot_be_said_over_with_an_end(place: Town) -> None:
    """To say it anew until soon would be to take it away, and the event would be one's own from then on (S135)."""
    both = place.writer.post(1, tags=["python", "rust"])
    who, other = place.moderator("python"), place.moderator("rust")
    soon = iso(place.clock.micros() + 60_000_000)
    for about, val, by in ((both, "spam", other), (plc(1), "spam", other), (both, "spoiler", None)):
        said = label(place, by or place.site.account(33), about, val, slug="rust", labeler=LABELER)
        assert said.status == 200, said.json
        assert label(place, who, about, val, expiresAt=soon).fault == (403, "NotPermitted")
        assert label(place, who, about, remove=[val]).fault == (403, "NotPermitted")
    assert {row[0] for row in events(place)} == {other.did, ADMIN}
    assert label(place, who, both, "spam").fault == (400, "NoChange"), "without an end it is what holds"
    assert label(place, other, both, "spam", slug="rust", labeler=LABELER, expiresAt=soon).status == 200, "one's own"
    admin = place.site.account(33)
    assert label(place, admin, plc(1), "spam", expiresAt=soon).status == 200
