"""Joining and leaving through HTTP: every way in and out, each refusal by its name."""

from collections.abc import Iterator

import pytest

from communities.access import Role, Status
from tests.civic_site import NSID, OWNER, Town, town

SLUGS = ("birds", "closed", "records", "old", "quiet", "asked", "secret")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("join")) as found:
        found.found("birds")
        found.found("closed", join_by=())
        found.found("records", join_by=("record", "follow"))
        found.found("old", state="archived")
        found.found("quiet", state="paused")
        found.found("asked", kind="private")
        found.found("secret", kind="hidden")
        yield found


def test_somebody_joins_and_leaves(place: Town) -> None:
    alice = place.person()
    viewer = place.join(alice).json["viewer"]
    assert viewer["membership"]["did"] == alice.did and viewer["membership"]["status"] == "member"
    assert (viewer["post"], viewer["volume"], "joinsAs" in viewer) == ("admitted", 3, False)
    assert place.status("birds", alice) == ("member", 1)
    assert place.leave(alice).json["viewer"]["joinsAs"] == "member"
    assert place.status("birds", alice) is None
    assert place.leave(alice).fault == (400, "NotFound")
    assert place.events(alice) == [("join", alice.did, "member"), ("leave", alice.did, None)]


def test_a_community_is_named_by_its_record_too(place: Town) -> None:
    alice = place.person()
    uri = f"at://{OWNER}/{NSID}community/birds"
    assert place.join(alice, uri).status == 200
    assert place.status("birds", alice) == ("member", 1)
    for unknown in ("nowhere", uri + "s", f"at://alice.example.com/{NSID}community/birds", "Birds", " birds", "at://"):
        assert place.join(place.person(), unknown).fault == (400, "CommunityNotFound")


def test_in_a_paused_community_people_still_join(place: Town) -> None:
    assert place.join(place.person(), "quiet").json["viewer"]["post"] == "refused"


def test_asking_to_join_and_taking_it_back(place: Town) -> None:
    alice = place.person()
    viewer = place.join(alice, "asked", volume=5).json["viewer"]
    assert viewer["membership"]["status"] == "requested" and not viewer["canRead"] and "volume" not in viewer
    assert place.join(alice, "asked").fault == (400, "AlreadyRequested")
    assert "membership" not in place.leave(alice, "asked").json["viewer"]
    assert place.status("asked", alice) is None


@pytest.mark.parametrize("slug", ["secret", "closed", "records"])
def test_an_invitation_is_accepted_or_refused(place: Town, slug: str) -> None:
    moderator, alice, bob = place.moderator(slug), place.person(), place.person()
    for guest in (alice, bob):
        assert place.decide(moderator, slug, "invite", guest).status == 200
    assert place.join(alice, slug).json["viewer"]["membership"]["status"] == "member"
    assert place.leave(bob, slug).status == 200
    assert [(act, by) for act, by, _ in place.events(alice)] == [("invite", moderator.did), ("agree", alice.did)]
    assert [(act, by) for act, by, _ in place.events(bob)] == [("invite", moderator.did), ("refuse", bob.did)]


def test_who_refuses_an_invitation_to_a_hidden_community_no_longer_knows_of_it(place: Town) -> None:
    moderator, bob = place.moderator("secret"), place.person()
    assert place.decide(moderator, "secret", "invite", bob).status == 200
    state = place.leave(bob, "secret").json["viewer"]
    assert (state["canDiscover"], state["canRead"], "membership" in state) == (False, False, False)
    assert place.leave(bob, "secret").fault == (400, "CommunityNotFound")


def test_by_invitation_only(place: Town) -> None:
    alice = place.person()
    assert place.join(alice, "closed").fault == (400, "InviteOnly")
    reply = place.join(alice, "records")
    assert reply.fault == (400, "InviteOnly") and "record, follow" in reply.json["message"]
    assert place.join(alice, "secret").fault == (400, "CommunityNotFound")
    assert [place.status(slug, alice) for slug in SLUGS] == [None] * len(SLUGS)
    assert "joinsAs" not in place.ask("getViewer", alice, community="closed").json


def test_nobody_joins_what_is_archived(place: Town) -> None:
    assert place.join(place.person(), "old").fault == (400, "Archived")


def test_the_banned_can_neither_join_nor_leave(place: Town) -> None:
    alice = place.person()
    place.put("birds", alice, Status.BANNED)
    assert place.join(alice).fault == (400, "Banned")
    assert place.join(alice, volume=1).fault == (400, "Banned")
    assert place.leave(alice).fault == (400, "Banned")
    assert place.status("birds", alice) == ("banned", 1)


def test_the_volume_alone_changes_for_a_member(place: Town) -> None:
    alice = place.person()
    assert place.join(alice, volume=2).json["viewer"]["volume"] == 2
    assert place.join(alice, volume=5).json["viewer"]["volume"] == 5
    assert place.join(alice).json["viewer"]["volume"] == 5
    assert [act for act, _, _ in place.events(alice)] == ["join"]
    for bad in (0, 6, "3", 1.5, True, None):
        assert place.join(alice, volume=bad).fault == (400, "InvalidRequest")


def test_the_last_admin_stays(place: Town) -> None:
    place.found("pond", owner=None)
    alice, bob = place.admin("pond"), place.admin("pond")
    assert place.leave(alice, "pond").status == 200
    assert place.leave(bob, "pond").fault == (400, "LastAdmin")
    assert place.status("pond", bob) == ("member", 3)
    place.writer.sql("DELETE FROM membership WHERE community = ?", place.id("pond"))
    carol, dave = place.admin("pond"), place.admin("pond", until=place.clock.micros() + 60_000_000)
    place.clock.now += 61
    assert place.leave(carol, "pond").fault == (400, "LastAdmin")  # the other one's role has ended
    assert place.leave(dave, "pond").status == 200


def test_the_owner_is_an_admin_who_does_not_leave(place: Town) -> None:
    owner = place.person(800)
    assert owner.did == OWNER
    viewer = place.ask("getViewer", owner, community="birds").json
    assert viewer["membership"]["role"] == "admin" and "edit" in viewer["decides"]
    assert place.leave(owner).fault == (400, "LastAdmin")
    assert place.join(owner, volume=1).json["viewer"]["volume"] == 1
    assert place.ask("getViewer", owner, community="birds").json["membership"]["role"] == "admin"


def test_who_came_by_a_record_leaves_and_is_told_of_it(place: Town) -> None:
    alice, about = place.person(), f"at://{OWNER}/{NSID}community/birds"
    place.put("birds", alice, via="record")
    place.writer.sql(
        "INSERT INTO declaration (actor, collection, rkey, cid, about, subject, record, at)"
        " SELECT id, ?, '3kznmn7xqxl22', x'01', ?, '', '{}', 0 FROM actor WHERE did = ?",
        f"{NSID}membership", about, alice.did,
    )  # fmt: skip
    reply = place.leave(alice)
    assert reply.json["record"] == f"at://{alice.did}/{NSID}membership/3kznmn7xqxl22"
    assert place.status("birds", alice) is None
    assert place.writer.sql("SELECT fault FROM declaration WHERE rkey = '3kznmn7xqxl22'") == [("Left",)]
    assert place.join(alice).status == 200
    assert place.writer.sql("SELECT via FROM membership WHERE actor = (SELECT id FROM actor WHERE did = ?)",
                            alice.did) == [("xrpc",)]  # fmt: skip


def test_a_moderator_leaves_with_the_role(place: Town) -> None:
    alice = place.moderator("birds")
    assert place.leave(alice).json["viewer"]["decides"] == []
    place.join(alice)
    assert place.status("birds", alice) == ("member", Role.MEMBER.value)
    assert place.ask("getViewer", alice, community="birds").json["decides"] == []
