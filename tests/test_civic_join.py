"""Joining and leaving through HTTP: every way in and out, each refusal by its name, each token once."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import models.database
from communities.access import Role, Status
from models.database import open_database, writing
from service.wiring import DECISIONS_BURST
from tests.civic_site import AUDIENCE, NSID, OWNER, Town, town
from tests.didnet import Account
from tests.feed_site import SERVICE

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


def join(place: Town, who: Account, slug: str = "birds", **more: Any) -> Any:
    return place.act("join", who, {"community": slug, **more})


def leave(place: Town, who: Account, slug: str = "birds") -> Any:
    return place.act("leave", who, {"community": slug})


def events(place: Town, who: Account) -> list[tuple[str, str, str | None]]:
    rows = place.writer.sql(
        "SELECT act, by, status FROM membership_event WHERE actor = (SELECT id FROM actor WHERE did = ?) ORDER BY id",
        who.did,
    )
    return [tuple(row) for row in rows]


# In and out


def test_somebody_joins_and_leaves(place: Town) -> None:
    alice = place.person()
    viewer = join(place, alice).json["viewer"]
    assert viewer["membership"]["did"] == alice.did and viewer["membership"]["status"] == "member"
    assert (viewer["post"], viewer["volume"], "joinsAs" in viewer) == ("admitted", 3, False)
    assert place.status("birds", alice) == ("member", 1)
    assert leave(place, alice).json["viewer"]["joinsAs"] == "member"
    assert place.status("birds", alice) is None
    assert leave(place, alice).fault == (400, "NotFound")
    assert events(place, alice) == [("join", alice.did, "member"), ("leave", alice.did, None)]


def test_a_community_is_named_by_its_record_too(place: Town) -> None:
    alice = place.person()
    uri = f"at://{OWNER}/{NSID}community/birds"
    assert join(place, alice, uri).status == 200
    assert place.status("birds", alice) == ("member", 1)
    for unknown in ("nowhere", uri + "s", f"at://alice.example.com/{NSID}community/birds", "Birds", " birds", "at://"):
        assert join(place, place.person(), unknown).fault == (400, "CommunityNotFound")


def test_in_a_paused_community_people_still_join(place: Town) -> None:
    assert join(place, place.person(), "quiet").json["viewer"]["post"] == "refused"


def test_asking_to_join_and_taking_it_back(place: Town) -> None:
    alice = place.person()
    viewer = join(place, alice, "asked", volume=5).json["viewer"]
    assert viewer["membership"]["status"] == "requested" and not viewer["canRead"] and "volume" not in viewer
    assert join(place, alice, "asked").fault == (400, "AlreadyRequested")
    assert "membership" not in leave(place, alice, "asked").json["viewer"]
    assert place.status("asked", alice) is None


@pytest.mark.parametrize("slug", ["secret", "closed", "records"])
def test_an_invitation_is_accepted_or_refused(place: Town, slug: str) -> None:
    moderator, alice, bob = place.moderator(slug), place.person(), place.person()
    for guest in (alice, bob):
        assert place.decide(moderator, slug, "invite", guest).status == 200
    assert join(place, alice, slug).json["viewer"]["membership"]["status"] == "member"
    assert leave(place, bob, slug).status == 200
    assert [(act, by) for act, by, _ in events(place, alice)] == [("invite", moderator.did), ("agree", alice.did)]
    assert [(act, by) for act, by, _ in events(place, bob)] == [("invite", moderator.did), ("refuse", bob.did)]


def test_who_refuses_an_invitation_to_a_hidden_community_no_longer_knows_of_it(place: Town) -> None:
    moderator, bob = place.moderator("secret"), place.person()
    assert place.decide(moderator, "secret", "invite", bob).status == 200
    state = leave(place, bob, "secret").json["viewer"]
    assert (state["canDiscover"], state["canRead"], "membership" in state) == (False, False, False)
    assert leave(place, bob, "secret").fault == (400, "CommunityNotFound")


def test_by_invitation_only(place: Town) -> None:
    alice = place.person()
    assert join(place, alice, "closed").fault == (400, "InviteOnly")
    reply = join(place, alice, "records")
    assert reply.fault == (400, "InviteOnly") and "record, follow" in reply.json["message"]
    assert join(place, alice, "secret").fault == (400, "CommunityNotFound")
    assert [place.status(slug, alice) for slug in SLUGS] == [None] * len(SLUGS)
    assert "joinsAs" not in place.ask("getViewer", alice, community="closed").json


def test_nobody_joins_what_is_archived(place: Town) -> None:
    assert join(place, place.person(), "old").fault == (400, "Archived")


def test_the_banned_can_neither_join_nor_leave(place: Town) -> None:
    alice = place.person()
    place.put("birds", alice, Status.BANNED)
    assert join(place, alice).fault == (400, "Banned")
    assert join(place, alice, volume=1).fault == (400, "Banned")
    assert leave(place, alice).fault == (400, "Banned")
    assert place.status("birds", alice) == ("banned", 1)


def test_the_volume_alone_changes_for_a_member(place: Town) -> None:
    alice = place.person()
    assert join(place, alice, volume=2).json["viewer"]["volume"] == 2
    assert join(place, alice, volume=5).json["viewer"]["volume"] == 5
    assert join(place, alice).json["viewer"]["volume"] == 5
    assert [act for act, _, _ in events(place, alice)] == ["join"]
    for bad in (0, 6, "3", 1.5, True, None):
        assert join(place, alice, volume=bad).fault == (400, "InvalidRequest")


def test_the_last_admin_stays(place: Town) -> None:
    place.found("pond", owner=None)
    alice, bob = place.admin("pond"), place.admin("pond")
    assert leave(place, alice, "pond").status == 200
    assert leave(place, bob, "pond").fault == (400, "LastAdmin")
    assert place.status("pond", bob) == ("member", 3)
    place.writer.sql("DELETE FROM membership WHERE community = ?", place.id("pond"))
    carol, dave = place.admin("pond"), place.admin("pond", until=place.clock.micros() + 60_000_000)
    place.clock.now += 61
    assert leave(place, carol, "pond").fault == (400, "LastAdmin")  # the other one's role has ended
    assert leave(place, dave, "pond").status == 200


def test_the_owner_is_an_admin_who_does_not_leave(place: Town) -> None:
    owner = place.person(800)
    assert owner.did == OWNER
    viewer = place.ask("getViewer", owner, community="birds").json
    assert viewer["membership"]["role"] == "admin" and "edit" in viewer["decides"]
    assert leave(place, owner).fault == (400, "LastAdmin")
    assert join(place, owner, volume=1).json["viewer"]["volume"] == 1
    assert place.ask("getViewer", owner, community="birds").json["membership"]["role"] == "admin"


def test_who_came_by_a_record_leaves_and_is_told_of_it(place: Town) -> None:
    alice, about = place.person(), f"at://{OWNER}/{NSID}community/birds"
    place.put("birds", alice, via="record")
    place.writer.sql(
        "INSERT INTO declaration (actor, collection, rkey, cid, about, subject, record, at)"
        " SELECT id, ?, '3kznmn7xqxl22', x'01', ?, '', '{}', 0 FROM actor WHERE did = ?",
        f"{NSID}membership", about, alice.did,
    )  # fmt: skip
    reply = leave(place, alice)
    assert reply.json["record"] == f"at://{alice.did}/{NSID}membership/3kznmn7xqxl22"
    assert place.status("birds", alice) is None
    assert place.writer.sql("SELECT fault FROM declaration WHERE rkey = '3kznmn7xqxl22'") == [("Left",)]
    assert join(place, alice).status == 200
    assert place.writer.sql("SELECT via FROM membership WHERE actor = (SELECT id FROM actor WHERE did = ?)",
                            alice.did) == [("xrpc",)]  # fmt: skip


# Tokens


@pytest.mark.parametrize("aud", [AUDIENCE, SERVICE])
def test_s13_the_bare_did_is_what_a_pds_signs(place: Town, aud: str) -> None:
    """Seen with @atproto/pds 0.5.35: with `atproto-proxy: did#service` it calls with `aud` the bare DID."""
    alice = place.person()
    assert place.act("join", alice, {"community": "birds"}, place.token(alice, "join", aud=aud)).status == 200
    sent = f"Bearer {place.token(alice, 'getViewer', aud=aud)}"
    assert "membership" in place.site.ask("community=birds", sent, method=f"{NSID}getViewer").json


@pytest.mark.parametrize(
    "aud",
    [f"{SERVICE}#bsky_fg", f"{SERVICE}#Communities", f"{AUDIENCE}#communities", f"{SERVICE}#", "did:web:x.example"],
)
def test_s14_a_token_for_another_service(place: Town, aud: str) -> None:
    alice = place.person()
    sent = place.token(alice, "join", aud=aud)
    assert place.act("join", alice, {"community": "birds"}, sent).fault == (401, "BadJwtAudience")
    asked = f"Bearer {place.token(alice, 'getViewer', aud=aud)}"
    reply = place.site.ask("community=birds", asked, method=f"{NSID}getViewer")
    assert reply.fault == (401, "BadJwtAudience")
    assert place.status("birds", alice) is None


def test_s17_a_token_for_the_feeds_decides_nothing_and_the_other_way_round(place: Town) -> None:
    alice = place.person()
    sent = place.token(alice, "join", lxm="app.bsky.feed.sendInteractions", aud=SERVICE)
    assert place.act("join", alice, {"community": "birds"}, sent).fault == (401, "BadJwtLexiconMethod")
    sent = place.token(alice, "join", aud=SERVICE)
    assert place.site.send({"interactions": []}, sent).fault == (401, "BadJwtLexiconMethod")
    sent = place.token(alice, "join", lxm="app.bsky.feed.sendInteractions")
    assert place.site.send({"interactions": []}, sent).fault == (401, "BadJwtAudience")


@pytest.mark.parametrize("method", ["join", "leave", "decide", "setRole"])
def test_s17_a_token_is_for_one_method(place: Town, method: str) -> None:
    alice = place.person()
    for lxm in (f"{NSID}joins", "*", f"{NSID}getViewer", NSID + method.upper(), None):
        sent = place.token(alice, method, lxm=lxm)
        assert place.act(method, alice, {"community": "birds"}, sent).fault == (401, "BadJwtLexiconMethod")
    assert place.act(method, None, {"community": "birds"}).fault == (401, "AuthMissing")


def test_s23_a_token_is_used_once(place: Town) -> None:
    alice = place.person()
    sent = place.token(alice, "join")
    assert place.act("join", alice, {"community": "birds"}, sent).status == 200
    assert place.act("join", alice, {"community": "birds"}, sent).fault == (401, "JwtReplayed")
    assert place.act("leave", alice, {"community": "birds"}).status == 200
    assert place.act("join", alice, {"community": "birds"}, sent).fault == (401, "JwtReplayed")
    assert place.status("birds", alice) is None


def test_s23_fifty_at_once(place: Town) -> None:
    alice = place.person()
    sent = place.token(alice, "join")
    with ThreadPoolExecutor(25) as pool:
        replies = list(pool.map(lambda _: place.act("join", alice, {"community": "birds"}, sent), range(50)))
    assert sorted(reply.status for reply in replies) == [200] + [401] * 49
    assert events(place, alice) == [("join", alice.did, "member")]


def test_s28_what_was_refused_used_no_token_up(place: Town) -> None:
    alice = place.person()
    sent = place.token(alice, "join")
    assert place.act("join", alice, {"community": "old"}, sent).fault == (400, "Archived")
    head, claims, signature = sent.split(".")
    assert place.act("join", alice, {"community": "birds"}, f"{head}.{claims}.{'A' * len(signature)}").status == 401
    assert place.act("join", alice, {"community": "birds"}, sent).status == 200


def test_s29_a_failed_write_gives_the_token_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.database, "BUSY_SECONDS", 0.2)
    with town(tmp_path) as place:
        place.found("birds")
        alice = place.person()
        sent = place.token(alice, "join")
        other = open_database(place.site.config.database)
        try:
            with writing(other):
                assert place.act("join", alice, {"community": "birds"}, sent).fault == (503, "NotEnoughResources")
                assert place.ask("getViewer", alice, community="birds").status == 200  # readers do not wait
            assert place.act("join", alice, {"community": "birds"}, sent).status == 200
        finally:
            other.close()


def test_s41_an_account_that_the_network_has_hidden(place: Town) -> None:
    alice = place.person(77)
    place.writer.post(77)
    place.writer.hide(77)
    assert join(place, alice).fault == (403, "AccountInactive")
    place.writer.hide(77, active=True)
    assert join(place, alice).status == 200


def test_s44_a_stranger_is_refused_before_the_body_is_read(place: Town) -> None:
    assert place.act("join", None, b"{").fault == (401, "AuthMissing")
    assert place.act("join", place.person(), b"{").fault == (400, "InvalidRequest")
    assert place.act("decide", None, b"x" * 200_000).fault == (413, "PayloadTooLarge")


def test_s47_only_by_its_verb(place: Town) -> None:
    for method, verbs in (("join", ("GET", "PUT", "OPTIONS")), ("getViewer", ("POST", "HEAD", "DELETE"))):
        for verb in verbs:
            assert place.site.request(verb, f"/xrpc/{NSID}{method}").status == 400


def test_s64_any_page_may_read_but_not_act(place: Town) -> None:
    reply = place.ask("getCommunity", community="birds")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in reply.headers
    asked = [("Access-Control-Request-Method", "GET"), ("Origin", "https://a.example")]
    assert place.site.request("OPTIONS", f"/xrpc/{NSID}getCommunity", headers=asked).status == 204
    assert "Access-Control-Allow-Origin" not in join(place, place.person()).headers


def test_s166_too_many_calls_of_one_account(place: Town) -> None:
    alice = place.person()
    replies = [join(place, alice, volume=1 + n % 5) for n in range(DECISIONS_BURST + 5)]
    assert {reply.status for reply in replies[:DECISIONS_BURST]} == {200}
    refused = [reply for reply in replies if reply.status != 200]
    assert refused and {reply.fault for reply in refused} == {(429, "RateLimitExceeded")}
    assert join(place, place.person()).status == 200


BODIES: list[Any] = [
    {},
    {"community": 1},
    {"community": ""},
    {"community": None},
    {"community": "x" * 2201},
    {"community": ["birds"]},
    {"community": "birds", "volume": {}},
]


@pytest.mark.parametrize(("method", "body"), [*itertools.product(("join", "leave"), BODIES[:6]), ("join", BODIES[6])])
def test_what_breaks_the_lexicon_is_refused(place: Town, method: str, body: Any) -> None:
    assert place.act(method, place.person(), body).fault == (400, "InvalidRequest")


def test_s137_what_else_a_body_says_is_not_believed(place: Town) -> None:
    alice, bob = place.person(), place.person()
    more = {"actor": bob.did, "did": bob.did, "role": "admin", "status": "member", "createdBy": bob.did}
    assert place.act("join", alice, {"community": "birds", **more}).status == 200
    assert (place.status("birds", alice), place.status("birds", bob)) == (("member", 1), None)


def test_old_tokens(place: Town) -> None:
    alice, now = place.person(), int(time.time())
    for claims, error in (
        ({"exp": now - 60}, "JwtExpired"),
        ({"exp": now + 9999}, "BadJwt"),
        ({"exp": None}, "BadJwt"),
    ):
        sent = place.token(alice, "join", **claims)
        assert place.act("join", alice, {"community": "birds"}, sent).fault == (401, error)


def test_counted_and_not_by_whom(place: Town) -> None:
    alice = place.person()
    join(place, alice)
    text = place.site.metrics()
    assert 'kind="civic join"' in text and alice.did not in text


def test_a_moderator_leaves_with_the_role(place: Town) -> None:
    alice = place.moderator("birds")
    assert leave(place, alice).json["viewer"]["decides"] == []
    join(place, alice)
    assert place.status("birds", alice) == ("member", Role.MEMBER.value)
    assert place.ask("getViewer", alice, community="birds").json["decides"] == []
