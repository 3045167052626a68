"""The door of the moderation API, by tools.ozone.server.getConfig: for whom a token is good, and who has which role."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from communities.access import Role as Member
from communities.access import Scope, Status
from ozone.all_methods import LOOKUPS, PROCEDURES, QUERIES
from ozone.roles import Role
from service.moderating import READS_BURST
from tests.civic_site import OWNER, town
from tests.didnet import Account, plc
from tests.feed_site import SERVICE
from tests.label_scene import LABELER, OTHER
from tests.ozone_site import NSID, STAFF_ADMIN, STAFF_MODERATOR, Desk, desk

CONFIG = "server.getConfig"
NOT_YET = (
    "moderation.scheduleAction",
    "signature.findCorrelation",
    "report.refreshStats",
    "safelink.queryRules",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("config")) as found:
        yield found


def role(place: Desk, who: Account, aud: str = LABELER) -> str | tuple[int, str]:
    """The role that the config tells, or the error."""
    reply = place.ask(CONFIG, who, aud=aud)
    return reply.json["viewer"]["role"] if reply.status == 200 else reply.fault


def test_the_first_call_of_the_web_ui(place: Desk) -> None:
    reply = place.ask(CONFIG, place.staff())
    assert reply.json == {
        "appview": {"url": "https://public.api.bsky.app"},
        "viewer": {"role": "tools.ozone.team.defs#roleAdmin"},
    }


@pytest.mark.parametrize("expected", Role)
def test_a_member_of_the_team_for_that_labeler_alone(place: Desk, expected: Role) -> None:
    """S135."""
    who = place.member(expected)
    assert role(place, who) == expected.token
    assert role(place, who, OTHER) == (401, "AuthenticationRequired")


def test_a_disabled_member_is_told_so_whatever_else_they_are(place: Desk) -> None:
    who = place.member(Role.ADMIN, disabled=True)
    assert role(place, who) == (401, "MemberDisabled")
    place.place.put("python", who, role=Member.ADMIN)
    assert role(place, who) == (401, "MemberDisabled")
    assert role(place, who, OTHER) == (401, "AuthenticationRequired")


def test_whom_the_settings_name(place: Desk) -> None:
    for aud in (LABELER, OTHER):
        assert role(place, place.staff(STAFF_ADMIN), aud) == Role.ADMIN.token
        assert role(place, place.staff(STAFF_MODERATOR), aud) == Role.MODERATOR.token
    place.put(plc(STAFF_ADMIN), Role.TRIAGE, disabled=True)
    assert role(place, place.staff(STAFF_ADMIN)) == Role.ADMIN.token, "the operator's word holds"
    place.put(plc(STAFF_MODERATOR), Role.ADMIN)
    assert role(place, place.staff(STAFF_MODERATOR)) == Role.ADMIN.token


def test_nobody_else(place: Desk) -> None:
    reply = place.ask(CONFIG, place.place.person())
    assert reply.fault == (401, "AuthenticationRequired") and reply.headers["WWW-Authenticate"] == "Bearer"
    assert place.ask(CONFIG, None).fault == (401, "AuthMissing")
    assert role(place, place.place.member("python")) == (401, "AuthenticationRequired")


def test_moderators_admins_and_owners_of_communities_are_moderators(place: Desk) -> None:
    town = place.place
    town.found("ponds", owner=plc(870))
    for who in (town.moderator("python"), town.admin("python"), town.person(870)):
        assert role(place, who) == Role.MODERATOR.token
        assert role(place, who, OTHER) == (401, "AuthenticationRequired"), "which serves rust alone"
    for who in (town.moderator("rust"), town.admin("rust")):
        assert role(place, who) == role(place, who, OTHER) == Role.MODERATOR.token
    assert role(place, town.moderator("python", scope=frozenset((Scope.PINS, Scope.MEMBERS)))) == (
        401,
        "AuthenticationRequired",
    )
    triage = place.member(Role.TRIAGE)
    town.put("python", triage, role=Member.MODERATOR)
    assert role(place, triage) == Role.MODERATOR.token, "the highest counts"


def test_admins_above_a_community_moderate_it(tmp_path: Path) -> None:
    with desk(tmp_path) as place:
        town = place.place
        town.found("top", owner=OWNER)
        town.found("rust", owner=OWNER, parent="top")
        who = town.admin("top")
        assert role(place, who, OTHER) == Role.MODERATOR.token
        assert role(place, town.moderator("top"), OTHER) == (401, "AuthenticationRequired")


def test_a_role_that_ended_or_was_taken_is_none(place: Desk) -> None:
    """S139: roles are those of the moment."""
    town = place.place
    ended = town.moderator("python", until=town.clock.micros() - 1)
    banned = town.moderator("python")
    assert role(place, banned) == Role.MODERATOR.token
    town.put("python", banned, Status.BANNED, role=Member.MODERATOR)
    town.found("gone", owner=plc(871))
    assert role(place, town.person(871)) == Role.MODERATOR.token
    town.writer.sql("UPDATE community SET declared = 0 WHERE slug = 'gone'")
    for who in (ended, banned, town.person(871)):
        assert role(place, who) == (401, "AuthenticationRequired")


def test_s41_an_account_that_the_network_has_hidden(place: Desk) -> None:
    who = place.place.person(77)
    place.put(who.did, Role.ADMIN)
    place.place.writer.post(77)
    place.place.writer.hide(77)
    assert role(place, who) == (403, "AccountInactive")
    assert place.act("team.deleteMember", who, {"did": plc(1)}).fault == (403, "AccountInactive")
    place.place.writer.hide(77, active=True)
    assert role(place, who) == Role.ADMIN.token


def test_s13_the_did_of_a_labeler_with_or_without_its_service(place: Desk) -> None:
    assert role(place, place.staff(), f"{LABELER}#atproto_labeler") == Role.ADMIN.token


@pytest.mark.parametrize("aud", [SERVICE, f"{SERVICE}#communities", f"{LABELER}#bsky_fg", f"{LABELER}#", plc(5)])
def test_s14_a_token_for_another_service(place: Desk, aud: str) -> None:
    assert role(place, place.staff(), aud) == (401, "BadJwtAudience")
    body = {"did": plc(1), "role": Role.TRIAGE.token}
    assert place.act("team.addMember", place.staff(), body, aud=aud).fault == (401, "BadJwtAudience")


def test_s17_a_token_is_for_one_method(place: Desk) -> None:
    who = place.staff()
    for lxm in (f"{NSID}team.listMembers", "*", None):
        sent = f"Bearer {place.token(who, CONFIG, lxm=lxm)}"
        assert place.place.site.ask("", sent, method=NSID + CONFIG).fault == (401, "BadJwtLexiconMethod")
    old = f"Bearer {place.token(who, CONFIG, exp=int(time.time()) - 60)}"
    assert place.place.site.ask("", old, method=NSID + CONFIG).fault == (401, "JwtExpired")


def test_a_password_is_no_way_in(place: Desk) -> None:
    assert place.place.site.ask("", "Basic YWRtaW46YWRtaW4=", method=NSID + CONFIG).fault == (401, "AuthMissing")


def test_s47_s64_verbs_and_other_origins(place: Desk) -> None:
    site = place.place.site
    reply = place.ask(CONFIG, place.staff())
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in reply.headers
    asked = [("Access-Control-Request-Method", "GET"), ("Origin", "https://ozone.example")]
    allowed = site.request("OPTIONS", f"/xrpc/{NSID}{CONFIG}", headers=asked)
    assert allowed.status == 204 and "atproto-proxy" in allowed.headers["Access-Control-Allow-Headers"]
    for query in (*QUERIES, *LOOKUPS):
        assert site.request("POST", f"/xrpc/{NSID}{query.name}").fault == (400, "InvalidRequest")
    for procedure in PROCEDURES:
        assert site.request("GET", f"/xrpc/{NSID}{procedure.name}").fault == (400, "InvalidRequest")


@pytest.mark.parametrize("method", NOT_YET)
def test_what_is_not_there_says_so(place: Desk, method: str) -> None:
    for verb in ("GET", "POST"):
        assert place.place.site.request(verb, f"/xrpc/{NSID}{method}").fault == (501, "MethodNotImplemented")


def test_nothing_of_it_is_there_without_a_labeler(tmp_path: Path) -> None:
    with town(tmp_path, labels=str(tmp_path / "none.toml")) as place:
        for method in (*QUERIES, *LOOKUPS, *PROCEDURES):
            reply = place.site.request("GET", f"/xrpc/{NSID}{method.name}")
            assert reply.fault == (501, "MethodNotImplemented")


def test_s166_too_many_calls_of_one_account(tmp_path: Path) -> None:
    with desk(tmp_path) as place:
        who = place.staff()
        sent = f"Bearer {place.token(who, CONFIG)}"
        begun = time.monotonic()
        replies = [place.place.site.ask("", sent, method=NSID + CONFIG) for _ in range(2 * READS_BURST)]
        refused = [reply for reply in replies if reply.status != 200]
        allowed = READS_BURST + 10 * (time.monotonic() - begun) + 1
        assert len(replies) - len(refused) <= allowed
        assert {reply.fault for reply in refused} == {(429, "RateLimitExceeded")}
        assert place.ask(CONFIG, place.staff(STAFF_MODERATOR)).status == 200


def test_counted_and_not_by_whom(place: Desk) -> None:
    who = place.member()
    place.ask(CONFIG, who)
    text = place.place.site.metrics()
    assert 'kind="ozone server.getConfig"' in text and who.did not in text
