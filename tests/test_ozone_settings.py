"""tools.ozone.setting.*: a team's settings by the role that manages them, and everybody's own."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role as Member
from models.database import writing
from ozone.roles import Role
from ozone.setting_rules import POLICIES, PROTECTED
from ozone.settings import MOST_BYTES_OF_ONE, MOST_BYTES_OF_TEAM, MOST_OF_ONE, MOST_OF_TEAM
from tests.didnet import Account, plc
from tests.feed_site import Reply
from tests.label_scene import LABELER, OTHER
from tests.ozone_site import STAFF_MODERATOR, Desk, desk, unlimited

UPSERT, REMOVE, LIST = "setting.upsertOption", "setting.removeOptions", "setting.listOptions"
KEY = "tools.ozone.setting.client.queue.list"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A site in which nothing is changed, for many calls that are refused."""
    with unlimited(tmp_path_factory.mktemp("settings")) as found:
        put(found, found.staff(), KEY)
        yield found


def put(
    place: Desk, who: Account | None, key: str = KEY, value: Any = None, *, aud: str = LABELER, **more: Any
) -> Reply:
    """Set an option; of the team, managed by triage, unless something else is said."""
    given = {"scope": "instance", "managerRole": Role.TRIAGE.token, **more}
    body = {"key": key, "value": {"a": 1} if value is None else value, **given}
    return place.act(UPSERT, who, {name: one for name, one in body.items() if one is not None}, aud=aud)


def remove(place: Desk, who: Account | None, *keys: str, scope: str = "instance", aud: str = LABELER) -> Reply:
    return place.act(REMOVE, who, {"keys": list(keys), "scope": scope}, aud=aud)


def keys(place: Desk, who: Account, *, aud: str = LABELER, **params: Any) -> list[str]:
    """The keys that one page shows."""
    reply = place.ask(LIST, who, aud=aud, **params)
    assert reply.status == 200, reply.body
    return [option["key"] for option in reply.json["options"]]


def test_an_option_of_the_team(place: Desk) -> None:
    admin, other = place.staff(), place.member(Role.MODERATOR)
    value = {"text": "é\n\0", "list": [1, {"b": None}], "large": 2**63 - 1}
    made = put(place, admin, value=value, description="All queues.", managerRole=Role.MODERATOR.token).json["option"]
    assert made == {
        "key": KEY, "did": LABELER, "value": value, "description": "All queues.", "scope": "instance",
        "managerRole": Role.MODERATOR.token, "createdBy": admin.did, "lastUpdatedBy": admin.did,
        "createdAt": made["createdAt"], "updatedAt": made["createdAt"],
    }  # fmt: skip
    assert place.ask(LIST, other).json == {"options": [made]}
    place.place.clock.now += 5
    changed = put(place, other, value={}, managerRole=None).json["option"]
    assert (changed["value"], changed["managerRole"]) == ({}, Role.MODERATOR.token), "the role stays if none is said"
    assert (changed["createdBy"], changed["lastUpdatedBy"]) == (admin.did, other.did)
    assert changed["createdAt"] == made["createdAt"] < changed["updatedAt"]
    assert "description" not in changed
    assert remove(place, other, KEY, "a.b.notThere").json == {}
    assert place.ask(LIST, other).json == {"options": []}


def test_an_option_of_ones_own(place: Desk) -> None:
    alice, bob = place.member(Role.TRIAGE), place.staff()
    made = put(place, alice, scope="personal", managerRole=Role.ADMIN.token).json["option"]
    assert made["did"] == made["createdBy"] == alice.did and "managerRole" not in made
    assert keys(place, alice, scope="personal") == [KEY]
    assert keys(place, bob, scope="personal") == keys(place, alice) == []
    put(place, bob, scope="personal", value={"bob": 1})
    assert remove(place, bob, KEY, scope="personal").status == 200
    assert place.ask(LIST, alice, scope="personal").json["options"] == [made], "only one's own goes"
    assert remove(place, alice, KEY, scope="personal").status == 200
    assert keys(place, alice, scope="personal") == []


MAY = {
    Role.ADMIN: set(Role),
    Role.MODERATOR: {Role.MODERATOR, Role.TRIAGE},
    Role.TRIAGE: {Role.TRIAGE},
    Role.VERIFIER: {Role.VERIFIER},
}


@pytest.mark.parametrize(("role", "manager"), [*itertools.product(Role, Role)])
def test_the_role_is_asked_for_when_an_option_is_made_changed_and_removed(
    shared: Desk, role: Role, manager: Role
) -> None:
    admin, who = shared.staff(), shared.member(role)
    key, made = f"a.b.of{role.name}.{manager.name}", f"a.b.madeBy{role.name}.{manager.name}"
    assert put(shared, admin, key, managerRole=manager.token).status == 200
    refused = (401, "AuthenticationRequired")
    replies = [
        put(shared, who, made, managerRole=manager.token),
        put(shared, who, key, {"new": 1}, managerRole=None),
        put(shared, who, key, {"new": 2}, managerRole=manager.token),
        remove(shared, who, key),
    ]
    if manager in MAY[role]:
        assert {reply.status for reply in replies} == {200}
        assert keys(shared, who, keys=[key]) == []
    else:
        assert {reply.fault for reply in replies} == {refused}
        (option,) = shared.ask(LIST, admin, keys=[key, made]).json["options"]
        assert option["value"] == {"a": 1}


def test_nobody_takes_an_option_over_by_naming_another_manager(place: Desk) -> None:
    who, admin = place.member(Role.TRIAGE), place.staff()
    put(place, admin, managerRole=Role.ADMIN.token)
    assert put(place, who, managerRole=Role.TRIAGE.token).fault == (401, "AuthenticationRequired")
    put(place, admin, "a.b.c", managerRole=Role.TRIAGE.token)
    assert put(place, who, "a.b.c", managerRole=Role.ADMIN.token).fault == (401, "AuthenticationRequired")
    assert put(place, place.member(Role.MODERATOR), "a.b.new", managerRole=None).fault == (
        401,
        "AuthenticationRequired",
    )
    assert put(place, admin, "a.b.new", managerRole=None).json["option"]["managerRole"] == Role.ADMIN.token


def test_all_are_removed_or_none(place: Desk) -> None:
    who, admin = place.member(Role.TRIAGE), place.staff()
    put(place, admin, "a.b.mine", managerRole=Role.TRIAGE.token)
    put(place, admin, "a.b.theirs", managerRole=Role.MODERATOR.token)
    assert remove(place, who, "a.b.mine", "a.b.theirs").fault == (401, "AuthenticationRequired")
    assert keys(place, who) == ["a.b.mine", "a.b.theirs"]
    assert remove(place, who, "a.b.mine", "a.b.mine").status == 200
    assert keys(place, who) == ["a.b.theirs"]


def test_community_moderators_read_the_teams_and_have_their_own(place: Desk) -> None:
    """S135: what they do is seen by nobody else."""
    put(place, place.staff())
    for who in (place.place.moderator("python"), place.place.admin("rust")):
        assert keys(place, who) == [KEY]
        for manager in (None, *(role.token for role in Role)):
            assert put(place, who, managerRole=manager).fault == (401, "AuthenticationRequired")
            assert put(place, who, "a.b.c", managerRole=manager).fault == (401, "AuthenticationRequired")
        assert remove(place, who, KEY).fault == (401, "AuthenticationRequired")
        assert put(place, who, scope="personal").json["option"]["did"] == who.did
        assert keys(place, who, scope="personal") == [KEY]
        assert remove(place, who, KEY, scope="personal").status == 200
    verifier = place.member(Role.VERIFIER)
    place.place.put("python", verifier, role=Member.ADMIN)
    assert put(place, verifier, managerRole=Role.TRIAGE.token).fault == (401, "AuthenticationRequired")


def test_strangers_and_the_disabled_have_nothing(place: Desk) -> None:
    off = place.member(Role.ADMIN, disabled=True)
    for who, fault in ((off, "MemberDisabled"), (place.place.member("python"), "AuthenticationRequired")):
        for scope in ("instance", "personal"):
            assert put(place, who, scope=scope).fault == (401, fault)
            assert remove(place, who, KEY, scope=scope).fault == (401, fault)
            assert place.ask(LIST, who, scope=scope).fault == (401, fault)
    for call in (put(place, None), remove(place, None, KEY), place.ask(LIST, None)):
        assert call.fault == (401, "AuthMissing")


def test_labelers_have_settings_of_their_own(place: Desk) -> None:
    """S135."""
    admin = place.staff()
    for scope in ("instance", "personal"):
        put(place, admin, scope=scope)
        assert keys(place, admin, scope=scope, aud=OTHER) == []
        assert remove(place, admin, KEY, scope=scope, aud=OTHER).status == 200
        assert put(place, admin, scope=scope, value={"other": 1}, aud=OTHER).status == 200
        (here,) = place.ask(LIST, admin, scope=scope).json["options"]
        (there,) = place.ask(LIST, admin, scope=scope, aud=OTHER).json["options"]
        assert (here["value"], there["value"]) == ({"a": 1}, {"other": 1})
        assert there["did"] == (OTHER if scope == "instance" else admin.did)


@pytest.mark.parametrize("key", [POLICIES, PROTECTED])
def test_what_moderation_goes_by_is_judged_when_it_is_written(place: Desk, key: str) -> None:
    admin, manager = place.staff(), Role.ADMIN.token
    good = {POLICIES: {"spam": {"name": "Spam", "description": "Unwanted."}}, PROTECTED: {"vip": {"roles": [manager]}}}
    assert put(place, admin, key, {"spam": {}}, managerRole=manager).fault == (400, "InvalidRequest")
    for role in (Role.MODERATOR, Role.TRIAGE, Role.VERIFIER):
        assert put(place, admin, key, good[key], managerRole=role.token).fault == (400, "InvalidRequest")
    assert put(place, place.staff(STAFF_MODERATOR), key, good[key], managerRole=None).status == 401
    assert put(place, admin, key, good[key], managerRole=None).json["option"]["managerRole"] == manager
    assert put(place, admin, key, {"spam": {}}, managerRole=manager).fault == (400, "InvalidRequest")
    assert put(place, admin, key, good[key], managerRole=Role.TRIAGE.token).fault == (400, "InvalidRequest")
    (option,) = place.ask(LIST, admin, keys=[key]).json["options"]
    assert (option["value"], option["managerRole"]) == (good[key], manager)
    assert put(place, admin, key, {"spam": {}}, scope="personal").status == 200, "one's own mean nothing"


BODY = {"key": KEY, "scope": "instance", "value": {}}
BAD: list[tuple[str, Any]] = [
    *((UPSERT, {name: value for name, value in BODY.items() if name != left}) for left in BODY),
    *((UPSERT, BODY | {"key": key}) for key in (None, "", 1, "queue", "a..b", "a.b.c" * 100, "tools.ozone.setting.*")),
    *((UPSERT, BODY | {"scope": scope}) for scope in (None, "", 1, "team", "Instance", ["instance"])),
    *((UPSERT, BODY | {"value": value}) for value in (None, 1, "text", [], True, {"$link": "x"}, {"$bytes": "eA"})),
    *((UPSERT, BODY | {"managerRole": role}) for role in (None, "", "admin", 4, "tools.ozone.team.defs#roleOwner")),
    *((UPSERT, BODY | {"description": text}) for text in (None, 1, "a" * 2001)),
    (UPSERT, json.dumps(BODY | {"value": {"a": 1.5}}).encode()),
    (UPSERT, b'{"key": "a.b.c", "key": "a.b.d", "scope": "instance", "value": {}}'),
    (UPSERT, b'{"key": "a.b.c", "scope": "instance", "value": {"a": "\\ud800"}}'),
    (UPSERT, b'{"key": "a.b.c", "scope": "instance", "value": ' + b'{"a":' * 80 + b"1" + b"}" * 81),
    (UPSERT, BODY | {"value": {"a": "x" * MOST_BYTES_OF_TEAM}}),
    (UPSERT, BODY | {"scope": "personal", "value": {"a": "x" * MOST_BYTES_OF_ONE}}),
    (REMOVE, {"keys": [KEY]}),
    (REMOVE, {"scope": "instance"}),
    (REMOVE, {"keys": [], "scope": "instance"}),
    (REMOVE, {"keys": [KEY] * 201, "scope": "instance"}),
    (REMOVE, {"keys": KEY, "scope": "instance"}),
    (REMOVE, {"keys": ["x"], "scope": "instance"}),
    (REMOVE, {"keys": [KEY, None], "scope": "instance"}),
    *((REMOVE, {"keys": [KEY], "scope": scope}) for scope in (None, "", "all", 1)),
    *itertools.product((UPSERT, REMOVE), ([], "x", b"", b"{", b"\xff")),
]


@pytest.mark.parametrize(("method", "body"), BAD, ids=lambda value: str(value)[:60])
def test_missing_malformed_and_oversized_fields(shared: Desk, method: str, body: Any) -> None:
    before = shared.rows("setting")
    assert shared.act(method, shared.staff(), body).fault == (400, "InvalidRequest")
    assert shared.rows("setting") == before


def test_s44_a_body_has_a_size(shared: Desk) -> None:
    assert shared.act(UPSERT, shared.staff(), b"x" * 140_000).fault == (413, "PayloadTooLarge")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=101", "limit=-1", "scope=team", "scope=", "scope=%FF", "keys=x", "keys=",
        "keys=a.b.c&keys=%20",
        "prefix=" + "a" * 318, "&".join(["keys=a.b.c"] * 101), "scope=instance&scope=personal", "keys=" + "a." * 200,
    ],
)  # fmt: skip
def test_lists_that_are_none(shared: Desk, query: str) -> None:
    sent = f"Bearer {shared.token(shared.staff(), LIST)}"
    assert shared.place.site.ask(query, sent, method=f"tools.ozone.{LIST}").fault == (400, "InvalidRequest")


def test_lists_by_prefix_and_by_keys(place: Desk) -> None:
    admin = place.staff()
    for key in ("a.b.c", "a.b.cd", "a.b.d", "a.bc.d", "b.b.c"):
        put(place, admin, key)
    assert keys(place, admin, prefix="a.b.") == ["a.b.c", "a.b.cd", "a.b.d"]
    assert keys(place, admin, prefix="a.b.c") == ["a.b.c", "a.b.cd"]
    assert keys(place, admin, prefix="%") == keys(place, admin, prefix="A.b") == []
    assert keys(place, admin, keys=["b.b.c", "a.b.d", "x.y.z", "b.b.c"]) == ["a.b.d", "b.b.c"]
    assert keys(place, admin, prefix="a.bc", keys=["b.b.c"]) == ["a.bc.d"], "keys are ignored then"
    assert len(keys(place, admin, keys=[f"x.y.z{n}" for n in range(99)] + ["a.b.c"])) == 1, "a hundred are taken"
    assert len(keys(place, admin, prefix="")) == 5


def test_s51_a_cursor_is_for_its_list(place: Desk) -> None:
    admin, who = place.staff(), place.member(Role.TRIAGE)
    for key, scope in itertools.product(("a.b.c", "a.b.d"), ("instance", "personal")):
        put(place, admin, key, scope=scope)
        put(place, admin, key, scope=scope, aud=OTHER)
        put(place, who, key, scope="personal")
    cursor = place.ask(LIST, admin, limit=1).cursor
    own = place.ask(LIST, admin, limit=1, scope="personal").cursor
    assert (
        cursor
        and own
        and keys(place, who, cursor=cursor) == keys(place, admin, scope="personal", cursor=own) == ["a.b.d"]
    )
    faults = [
        place.ask(LIST, admin, cursor=own),
        place.ask(LIST, who, cursor=own, scope="personal"),
        place.ask(LIST, admin, cursor=cursor, prefix="a"),
        place.ask(LIST, admin, cursor=cursor, keys=["a.b.d"]),
        place.ask(LIST, admin, cursor=cursor, aud=OTHER),
        *(place.ask(LIST, admin, cursor=one) for one in ("", "x", cursor[:-1], cursor + "00")),
    ]
    assert {reply.fault for reply in faults} == {(400, "InvalidCursor")}


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_paging_gives_what_stays_once_whatever_is_written_meanwhile(place: Desk, limit: int) -> None:
    admin = place.staff()
    stay, go = [f"a.b.stays{n:02}" for n in range(12)], [f"a.b.goes{n:02}" for n in range(12)]
    fill(place, [*stay, *go])
    seen: list[str] = []
    for page, meanwhile in itertools.zip_longest(place.every(LIST, admin, limit), range(10)):
        seen += [option["key"] for option in page or ()]
        if meanwhile is not None:
            fill(place, [f"a.b.new{meanwhile}", stay[meanwhile]])
            place.place.writer.sql("DELETE FROM setting WHERE key = ?", go.pop())
    assert len(seen) == len(set(seen)) and seen == sorted(seen) and set(stay) <= set(seen)


def fill(place: Desk, names: list[str], owner: str = "") -> None:
    """Rows of LABELER, past the door."""
    with writing(place.place.writer.database) as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO setting (labeler, owner, key, value, manager, at, made_by, changed_at, changed_by)"
            " SELECT id, ?, ?, '{}', iif(? = '', 2, 0), 1, 'did:plc:x', 1, 'did:plc:x' FROM labeler WHERE did = ?",
            [(owner, name, owner, LABELER) for name in names],
        )


def test_s166_there_is_an_end_of_settings(place: Desk) -> None:
    """Of one's own and of the team's; what is there can still be changed."""
    who, admin = place.place.moderator("python"), place.staff()
    fill(place, [f"a.b.n{n}" for n in range(MOST_OF_ONE)], who.did)
    fill(place, [f"a.b.n{n}" for n in range(MOST_OF_TEAM)])
    for account, scope in ((who, "personal"), (admin, "instance")):
        assert put(place, account, scope=scope).fault == (400, "InvalidRequest")
        assert put(place, account, "a.b.n1", scope=scope).status == 200
        assert remove(place, account, "a.b.n1", scope=scope).status == 200
        assert put(place, account, scope=scope).status == 200
    assert put(place, admin, scope="personal").status == 200, "everybody has as many"


def test_s23_a_token_is_used_once(place: Desk) -> None:
    who = place.member(Role.TRIAGE)
    for method, body in ((UPSERT, BODY | {"scope": "personal"}), (REMOVE, {"keys": [KEY], "scope": "personal"})):
        sent = place.token(who, method)
        with ThreadPoolExecutor(8) as pool:
            replies = [*pool.map(lambda _: place.act(method, who, body, sent=sent), range(16))]  # noqa: B023
        assert sorted(reply.status for reply in replies) == [200] + [401] * 15
        assert {reply.fault for reply in replies if reply.status != 200} == {(401, "JwtReplayed")}


def test_s137_what_else_a_body_says_is_not_believed(place: Desk) -> None:
    who = place.member(Role.TRIAGE)
    more = {
        "did": plc(1),
        "createdBy": plc(1),
        "lastUpdatedBy": plc(1),
        "owner": "",
        "createdAt": "2020-01-01T00:00:00Z",
    }
    option = put(place, who, scope="personal", **more).json["option"]
    assert {option[name] for name in ("did", "createdBy", "lastUpdatedBy")} == {who.did}
