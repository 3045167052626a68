"""tools.ozone.team.*: who is of a team, who may say so, and that there is always somebody left who may."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import models.database
from communities.access import Role as Member
from models.database import open_database, writing
from ozone.roles import BY_TOKEN, Role
from ozone.team import MOST_MEMBERS
from tests.didnet import Account, plc
from tests.label_scene import LABELER, OTHER
from tests.ozone_site import STAFF_ADMIN, STAFF_MODERATOR, Desk, desk, role_of, unlimited

ADD, UPDATE, DELETE, LIST = "team.addMember", "team.updateMember", "team.deleteMember", "team.listMembers"
NOBODY = plc(424_242)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Desk]:
    """A team that the settings name nobody of."""
    with desk(tmp_path, admins="", moderators="") as found:
        yield found


def add(place: Desk, who: Account, did: str, role: Role = Role.TRIAGE) -> Any:
    return place.act(ADD, who, {"did": did, "role": role.token})


def roles(place: Desk, labeler: int = 1) -> dict[str, tuple[int, int]]:
    """Role and whether disabled of every row."""
    return {did: (role, off) for number, did, role, off, *_ in place.rows() if number == labeler}


def test_somebody_comes_changes_and_goes(place: Desk) -> None:
    admin, new = place.staff(), place.place.person()
    added = add(place, admin, new.did, Role.TRIAGE).json
    times = {"createdAt": added["createdAt"], "updatedAt": added["createdAt"]}
    assert added == {
        "did": new.did, "role": Role.TRIAGE.token, "disabled": False, "lastUpdatedBy": admin.did, **times,
    }  # fmt: skip
    assert place.ask("server.getConfig", new).json["viewer"]["role"] == Role.TRIAGE.token
    assert add(place, admin, new.did).fault == (400, "MemberAlreadyExists")
    place.place.clock.now += 5
    other = place.member(Role.ADMIN)
    changed = place.act(UPDATE, other, {"did": new.did, "role": Role.MODERATOR.token}).json
    assert (role_of(changed), changed["disabled"], changed["lastUpdatedBy"]) == (Role.MODERATOR, False, other.did)
    assert changed["createdAt"] == added["createdAt"] < changed["updatedAt"]
    off = place.act(UPDATE, admin, {"did": new.did, "disabled": True}).json
    assert (role_of(off), off["disabled"]) == (Role.MODERATOR, True)
    assert place.ask(LIST, new).fault == (401, "MemberDisabled")
    assert role_of(place.act(UPDATE, admin, {"did": new.did, "disabled": False}).json) is Role.MODERATOR
    assert place.ask(LIST, new).status == 200
    assert place.act(DELETE, admin, {"did": new.did}).status == 200
    assert place.ask(LIST, new).fault == (401, "AuthenticationRequired")
    for method in (DELETE, UPDATE):
        assert place.act(method, admin, {"did": new.did}).fault == (400, "MemberNotFound")


CALLS: list[tuple[str, dict[str, Any]]] = [
    (ADD, {"did": NOBODY, "role": Role.TRIAGE.token}),
    (UPDATE, {"did": NOBODY, "role": Role.TRIAGE.token}),
    (DELETE, {"did": NOBODY}),
]


def test_only_admins_of_the_team_change_it(place: Desk) -> None:
    """S135: neither other roles, nor admins of communities, nor those of another labeler."""
    place.put(NOBODY, Role.VERIFIER)
    before = place.rows()
    who = [place.member(role) for role in (Role.VERIFIER, Role.TRIAGE, Role.MODERATOR)]
    who += [place.staff(STAFF_MODERATOR), place.place.admin("python"), place.member(Role.ADMIN, labeler=OTHER)]
    both = place.member(Role.TRIAGE)
    place.place.put("python", both, role=Member.ADMIN)
    mine = [row for row in place.rows() if row not in before]
    for account, (method, body) in itertools.product([*who, both], CALLS):
        assert place.act(method, account, body).fault == (401, "AuthenticationRequired"), (account.did, method)
    assert place.act(ADD, place.place.person(), CALLS[0][1]).fault == (401, "AuthenticationRequired")
    assert place.act(ADD, place.member(Role.ADMIN, disabled=True), CALLS[0][1]).fault == (401, "MemberDisabled")
    assert [row for row in place.rows() if row in [*before, *mine]] == sorted([*before, *mine])
    assert place.act(ADD, None, CALLS[0][1]).fault == (401, "AuthMissing")


def test_s135_who_is_here_by_a_community_sees_nobody_of_the_team(place: Desk) -> None:
    founder, triage = place.place.admin("rust"), place.member(Role.TRIAGE)
    assert len(place.ask(LIST, triage).json["members"]) > 1
    assert place.ask(LIST, founder).json == {"members": []}
    place.put(founder.did, Role.TRIAGE)
    assert founder.did in {view["did"] for view in place.ask(LIST, founder).json["members"]}


def test_a_team_of_another_labeler_is_another_team(place: Desk) -> None:
    """S135."""
    here, there = place.member(Role.ADMIN), place.member(Role.ADMIN, labeler=OTHER)
    for method in (UPDATE, DELETE):
        assert place.act(method, here, {"did": there.did}).fault == (400, "MemberNotFound")
    shown = {view["did"] for view in place.ask(LIST, here).json["members"]}
    assert here.did in shown and there.did not in shown
    assert add(place, here, there.did).status == 200
    assert place.ask("server.getConfig", there, aud=OTHER).json["viewer"]["role"] == Role.ADMIN.token


BODIES: list[Any] = [
    {}, {"did": None}, {"did": 1}, {"did": ""}, {"did": "alice.example.com"}, {"did": ["did:plc:a"]}, [], "x", b"{",
    b"", {"did": "did:plc:" + "a" * 2050, "role": Role.TRIAGE.token},
]  # fmt: skip


@pytest.mark.parametrize(("method", "body"), [*itertools.product((ADD, UPDATE, DELETE), BODIES)])
def test_missing_and_malformed_fields(shared: Desk, method: str, body: Any) -> None:
    before = shared.rows()
    assert shared.act(method, shared.staff(), body).fault == (400, "InvalidRequest")
    assert shared.rows() == before


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site in which nothing is changed, for many calls; the writes of its admin are not bounded."""
    with unlimited(tmp_path_factory.mktemp("team")) as found:
        found.put(NOBODY, Role.TRIAGE)
        yield found


@pytest.mark.parametrize("role", [None, "", "admin", "tools.ozone.team.defs#roleOwner", 4, [Role.ADMIN.token], {}])
def test_roles_that_are_none(shared: Desk, role: Any) -> None:
    before = shared.rows()
    for method in (ADD, UPDATE):
        did = NOBODY if method == UPDATE else plc(5)
        assert shared.act(method, shared.staff(), {"did": did, "role": role}).fault == (400, "InvalidRequest")
    for disabled in (None, 1, "true", []):
        body = {"did": NOBODY, "disabled": disabled}
        assert shared.act(UPDATE, shared.staff(), body).fault == (400, "InvalidRequest")
    assert shared.rows() == before


@pytest.mark.parametrize(
    "did", ["did:web:10.0.0.1", "did:web:a.local", "did:web:a.example.com:x", "did:key:zabc", "did:plc:short"]
)
def test_s110_who_can_never_sign_in_is_not_added(shared: Desk, did: str) -> None:
    assert add(shared, shared.staff(), did).fault == (400, "InvalidRequest")


def test_s137_what_else_a_body_says_is_not_believed(place: Desk) -> None:
    admin, new = place.staff(), place.place.person()
    more = {"lastUpdatedBy": plc(1), "createdAt": "2020-01-01T00:00:00Z", "disabled": True, "labeler": 2}
    view = place.act(ADD, admin, {"did": new.did, "role": Role.TRIAGE.token, **more}).json
    assert view["lastUpdatedBy"] == admin.did and view["disabled"] is False
    assert roles(place) == {new.did: (Role.TRIAGE, 0)} and roles(place, 2) == {}


def test_s23_a_token_is_used_once(place: Desk) -> None:
    admin, new = place.staff(), place.place.person()
    sent = place.token(admin, ADD)
    body = {"did": new.did, "role": Role.TRIAGE.token}
    assert place.act(ADD, admin, body, sent=sent).status == 200
    assert place.act(ADD, admin, body, sent=sent).fault == (401, "JwtReplayed")
    assert place.act(DELETE, admin, {"did": new.did}).status == 200
    assert place.act(ADD, admin, body, sent=sent).fault == (401, "JwtReplayed")
    assert roles(place) == {}


def test_s28_what_was_refused_used_no_token_up(place: Desk) -> None:
    admin, new = place.staff(), place.place.person()
    sent = place.token(admin, ADD)
    assert place.act(ADD, admin, {"did": admin.did, "role": Role.TRIAGE.token}, sent=sent).status == 400
    assert place.act(ADD, admin, {"did": new.did, "role": Role.TRIAGE.token}, sent=sent).status == 200


def test_s29_a_failed_write_gives_the_token_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.database, "BUSY_SECONDS", 0.2)
    with desk(tmp_path) as place:
        admin, new = place.staff(), place.place.person()
        sent, body = place.token(admin, ADD), {"did": new.did, "role": Role.TRIAGE.token}
        other = open_database(place.place.site.config.database)
        try:
            with writing(other):
                assert place.act(ADD, admin, body, sent=sent).fault == (503, "NotEnoughResources")
                assert place.ask(LIST, admin).status == 200  # readers do not wait
            assert place.act(ADD, admin, body, sent=sent).status == 200
        finally:
            other.close()


def test_s44_a_body_is_read_after_the_token_and_has_a_size(place: Desk) -> None:
    assert place.act(ADD, None, b"{").fault == (401, "AuthMissing")
    assert place.act(ADD, None, b"x" * 200_000).fault == (413, "PayloadTooLarge")


def test_s166_too_many_calls_of_one_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.moderating.WRITES_BURST", 20)
    monkeypatch.setattr("service.moderating.WRITES_PER_SECOND", 1 / 3600)
    with desk(tmp_path) as place:
        admin = place.staff()
        replies = [place.act(DELETE, admin, {"did": NOBODY}) for _ in range(25)]
        assert {reply.fault for reply in replies[:20]} == {(400, "MemberNotFound")}
        assert {reply.fault for reply in replies[20:]} == {(429, "RateLimitExceeded")}
        assert place.act(DELETE, place.member(), {"did": NOBODY}).fault == (400, "MemberNotFound")


def test_those_whom_the_settings_name_are_members_that_nobody_changes_here(place: Desk) -> None:
    admin = place.member(Role.ADMIN)
    shown = {view["did"]: view for view in place.ask(LIST, admin).json["members"]}
    staff = {plc(STAFF_ADMIN): Role.ADMIN, plc(STAFF_MODERATOR): Role.MODERATOR}
    for did, role in staff.items():
        assert shown[did] == {"did": did, "role": role.token, "disabled": False}
        assert add(place, admin, did).fault == (400, "MemberAlreadyExists")
        for method, more in ((DELETE, {}), (UPDATE, {"disabled": True}), (UPDATE, {"role": Role.TRIAGE.token})):
            reply = place.act(method, admin, {"did": did, **more})
            assert reply.fault == (400, "InvalidRequest") and "COMMUNITIES_ADMINS" in reply.json["message"]
    place.put(plc(STAFF_MODERATOR), Role.TRIAGE, disabled=True)
    (view,) = place.ask(LIST, admin, q=plc(STAFF_MODERATOR)).json["members"]
    assert (role_of(view), view["disabled"]) == (Role.MODERATOR, False), "an older row says nothing"


def test_nobody_takes_themselves_out(place: Desk) -> None:
    who = place.member(Role.ADMIN)
    assert place.act(DELETE, who, {"did": who.did}).fault == (400, "CannotDeleteSelf")
    assert place.act(DELETE, place.staff(), {"did": plc(STAFF_ADMIN)}).fault == (400, "CannotDeleteSelf")
    assert place.act(UPDATE, who, {"did": who.did, "role": Role.TRIAGE.token}).status == 200


def test_the_last_admin_stays(alone: Desk) -> None:
    first = alone.member(Role.ADMIN)
    for more in ({"disabled": True}, *({"role": role.token} for role in Role if role is not Role.ADMIN)):
        assert alone.act(UPDATE, first, {"did": first.did, **more}).fault == (400, "LastAdmin")
    assert alone.act(UPDATE, first, {"did": first.did, "disabled": False, "role": Role.ADMIN.token}).status == 200
    off = alone.member(Role.ADMIN, disabled=True)
    elsewhere = alone.member(Role.ADMIN, labeler=OTHER)
    hidden = alone.place.person(78)
    alone.put(hidden.did, Role.ADMIN)
    alone.place.writer.post(78)
    alone.place.writer.hide(78)
    assert alone.act(UPDATE, first, {"did": first.did, "disabled": True}).fault == (400, "LastAdmin"), elsewhere.did
    for did in (off.did, hidden.did):
        assert alone.act(DELETE, first, {"did": did}).status == 200, "who cannot act is no loss"
    second = alone.member(Role.ADMIN)
    assert alone.act(DELETE, second, {"did": first.did}).status == 200
    assert alone.act(UPDATE, second, {"did": second.did, "role": Role.MODERATOR.token}).fault == (400, "LastAdmin")


STEPS = {
    "both leave by another role": lambda mine, theirs: (UPDATE, {"did": mine, "role": Role.TRIAGE.token}),
    "both disable themselves": lambda mine, theirs: (UPDATE, {"did": mine, "disabled": True}),
    "each disables the other": lambda mine, theirs: (UPDATE, {"did": theirs, "disabled": True}),
    "each takes the other out": lambda mine, theirs: (DELETE, {"did": theirs}),
}


@pytest.mark.parametrize("case", STEPS)
def test_the_last_two_admins_at_once(alone: Desk, case: str) -> None:
    """S139: one of the two is done, whichever comes first."""
    for _ in range(4):
        alone.place.writer.sql("DELETE FROM team_member")
        pair = [alone.member(Role.ADMIN), alone.member(Role.ADMIN)]
        calls = [(who, *STEPS[case](who.did, other.did)) for who, other in (pair, pair[::-1])]
        sent = [alone.token(who, method) for who, method, _ in calls]
        with ThreadPoolExecutor(2) as pool:
            replies = [*pool.map(lambda call, sent: alone.act(call[1], call[0], call[2], sent=sent), calls, sent)]
        assert sorted(reply.status for reply in replies) in ([200, 400], [200, 401])
        faults = {reply.fault[1] for reply in replies if reply.status != 200}
        assert faults <= {"LastAdmin", "AuthenticationRequired", "MemberDisabled"}
        assert [role for role in roles(alone).values() if role == (Role.ADMIN, 0)] == [(Role.ADMIN, 0)]


def test_a_list_by_what_is_asked_for(place: Desk) -> None:
    triage, verifier = place.member(Role.TRIAGE), place.member(Role.VERIFIER)
    off = place.member(Role.TRIAGE, disabled=True)

    def dids(**params: Any) -> set[str]:
        return {view["did"] for view in place.ask(LIST, triage, **params).json["members"]}

    staff = {plc(STAFF_ADMIN), plc(STAFF_MODERATOR)}
    assert dids() == {triage.did, verifier.did, off.did} | staff
    assert dids(disabled=True) == {off.did}
    assert dids(disabled=False) == {triage.did, verifier.did} | staff
    assert dids(roles=[Role.TRIAGE.token]) == {triage.did, off.did}
    assert dids(roles=[Role.TRIAGE.token, Role.ADMIN.token], disabled=False) == {triage.did, plc(STAFF_ADMIN)}
    assert dids(roles=["tools.ozone.team.defs#roleOwner"]) == set()
    assert dids(q=triage.did[-6:].upper()) == {triage.did}
    assert dids(q="%") == dids(q="nobody") == set()
    for who in (verifier, place.place.moderator("python"), place.staff(STAFF_MODERATOR)):
        assert place.ask(LIST, who).status == 200
    for who in (off, place.place.member("python")):
        assert place.ask(LIST, who).status == 401


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=101", "limit=x", "limit=1&limit=2", "disabled=1", "disabled=", "q=%FF", "q=" + "a" * 257,
        "roles=" + "a" * 101, "&".join(["roles=a"] * 5), "q=%00", "cursor=" + "a" * 2000,
    ],
)  # fmt: skip
def test_lists_that_are_none(shared: Desk, query: str) -> None:
    sent = f"Bearer {shared.token(shared.staff(), LIST)}"
    assert shared.place.site.ask(query, sent, method=f"tools.ozone.{LIST}").fault == (400, "InvalidRequest")


def test_s51_a_cursor_is_for_its_list(place: Desk) -> None:
    admin, there = place.staff(), place.member(Role.ADMIN, labeler=OTHER)
    for _ in range(3):
        place.member(Role.TRIAGE)
        place.member(Role.TRIAGE, labeler=OTHER)
    cursor = place.ask(LIST, admin, limit=1).cursor
    assert cursor is not None and place.ask(LIST, admin, cursor=cursor).status == 200
    options = place.ask("setting.listOptions", admin, cursor=cursor)
    faults = [place.ask(LIST, admin, cursor=cursor, q="a"), place.ask(LIST, there, aud=OTHER, cursor=cursor), options]
    faults += [place.ask(LIST, admin, cursor=other) for other in ("x", "", cursor.upper() + "a", cursor[:-2], "0" * 40)]
    assert {reply.fault for reply in faults} == {(400, "InvalidCursor")}


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_paging_gives_everybody_who_stays_once_whoever_comes_and_goes(place: Desk, limit: int) -> None:
    admin = place.staff()
    team = [place.member(role) for role in Role for _ in range(4)]
    stay, go = team[::2], team[1::2]
    seen: list[str] = []
    for page, meanwhile in itertools.zip_longest(place.every(LIST, admin, limit), range(10)):
        seen += [view["did"] for view in page or ()]
        if meanwhile is not None:
            place.member(Role.TRIAGE)
            place.put(stay[0].did, Role.MODERATOR, disabled=meanwhile % 2 == 0)
            if go:
                place.place.writer.sql("DELETE FROM team_member WHERE did = ?", go.pop().did)
    assert len(seen) == len(set(seen)) and seen == sorted(seen)
    assert {who.did for who in stay} | {plc(STAFF_ADMIN), plc(STAFF_MODERATOR)} <= set(seen)


def test_a_team_has_an_end(place: Desk) -> None:
    with writing(place.place.writer.database) as connection:
        connection.execute(
            "INSERT INTO team_member (labeler, did, role, at, changed_at, changed_by)"
            " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " SELECT (SELECT id FROM labeler WHERE did = ?), 'did:plc:n' || i, 2, 1, 1, 'did:plc:x' FROM n",
            (MOST_MEMBERS, LABELER),
        )
    assert add(place, place.staff(), place.place.person().did).fault == (400, "InvalidRequest")
    assert sum(len(page) for page in place.every(LIST, place.staff(), 100)) == MOST_MEMBERS + 2
    assert set(BY_TOKEN) >= {view["role"] for view in place.ask(LIST, place.staff()).json["members"]}
