"""Decisions about accounts, roles, and who sees what of whom, through HTTP; each refusal by its name, each decision in
the log.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from communities import logbook
from communities.access import Action, Role, Scope, Status
from communities.community import Rule
from communities.decision_view import moment
from communities.log import genesis, verify
from communities.membership import OTHERS
from tests.civic_site import NSID, OWNER, Town, town
from tests.didnet import Account, plc
from tests.feed_site import PUBLISHER

ADMIN, MODERATOR = plc(801), plc(802)
POST = f"at://{plc(1)}/app.bsky.feed.post/3kznmn7xqxl22"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("members")
    with town(folder, admins=f"{ADMIN},{PUBLISHER}", moderators=MODERATOR) as found:
        found.found("birds", rules=(Rule("No baiting"),))
        found.found("fish")
        found.found("asked", kind="private")
        found.found("secret", kind="hidden")
        found.found("old", state="archived")
        yield found


def give(place: Town, who: Account, slug: str, about: Account | str, role: str, **more: Any) -> Any:
    did = about if isinstance(about, str) else about.did
    return place.act("setRole", who, {"community": slug, "subject": did, "role": role, **more})


def log(place: Town, slug: str) -> list[Any]:
    """The whole log of a community, which must verify; the newest last."""
    connection = place.writer.connection
    found = list(logbook.read(connection, place.id(slug)))
    assert verify(found, genesis(slug)) == logbook.head(connection, place.id(slug), slug)
    return found


# Every step, and every refusal by its name


def test_every_action_about_an_account(place: Town) -> None:
    moderator, alice = place.moderator("asked"), place.person()
    steps: list[tuple[str, tuple[str, int] | None]] = [
        ("accept", ("member", 1)), ("ban", ("banned", 1)), ("unban", ("member", 1)), ("expel", None),
        ("invite", ("invited", 1)), ("expel", None),
    ]  # fmt: skip
    place.act("join", alice, {"community": "asked"})
    for action, status in steps:
        reply = place.decide(moderator, "asked", action, alice, reason=f"because of {action}")
        assert reply.status == 200, reply.body
        assert place.status("asked", alice) == status
        assert ("member" in reply.json) == (status is not None)
        entry = reply.json["decision"]
        assert (entry["action"], entry["subject"], entry["actor"]) == (action, alice.did, moderator.did)
        assert (entry["role"], entry["reason"]) == ("moderator", f"because of {action}")
    place.act("join", alice, {"community": "asked"})
    assert place.decide(moderator, "asked", "decline", alice).status == 200
    assert place.status("asked", alice) is None
    assert [event.action for event in log(place, "asked")][-7:] == [*(action for action, _ in steps), "decline"]


HELD: dict[str, tuple[Status, Role] | None] = {
    "none": None,
    "requested": (Status.REQUESTED, Role.MEMBER),
    "invited": (Status.INVITED, Role.MEMBER),
    "member": (Status.MEMBER, Role.MEMBER),
    "moderator": (Status.MEMBER, Role.MODERATOR),
    "admin": (Status.MEMBER, Role.ADMIN),
    "banned": (Status.BANNED, Role.MEMBER),
}
REFUSED = """
        none      requested         invited         member         moderator      admin          banned
invite  -         AlreadyRequested  AlreadyInvited  AlreadyMember  AlreadyMember  AlreadyMember  Banned
accept  NotFound  -                 NotRequested    NotRequested   NotRequested   NotRequested   NotRequested
decline NotFound  -                 NotRequested    NotRequested   NotRequested   NotRequested   NotRequested
ban     NotFound  -                 IsInvited       -              DemoteFirst    DemoteFirst    Banned
unban   NotFound  NotBanned         NotBanned       NotBanned      NotBanned      NotBanned      -
expel   NotFound  -                 -               -              -              IsAdmin        -
"""
CASES = [
    (action, name, error)
    for action, *errors in (line.split() for line in REFUSED.strip().splitlines()[1:])
    for name, error in zip(HELD, errors, strict=True)
    if error != "-"
]


@pytest.mark.parametrize(("action", "name", "error"), CASES)
def test_what_cannot_be_is_refused_by_name(place: Town, action: str, name: str, error: str) -> None:
    admin, alice, held = place.admin("fish"), place.person(), HELD[name]
    if held is not None:
        place.put("fish", alice, *held)
    before, entries = place.status("fish", alice), len(log(place, "fish"))
    assert place.decide(admin, "fish", action, alice).fault == (400, error)
    assert place.status("fish", alice) == before and len(log(place, "fish")) == entries


def test_the_owner_is_beyond_all_decisions(place: Town) -> None:
    admin = place.admin("birds")
    for action, error in (("ban", "DemoteFirst"), ("expel", "IsAdmin"), ("invite", "AlreadyMember")):
        assert place.decide(admin, "birds", action, OWNER).fault == (400, error)
    assert give(place, admin, "birds", OWNER, "member").fault == (400, "IsAdmin")


def test_nobody_is_invited_to_what_is_archived(place: Town) -> None:
    admin, alice = place.admin("old"), place.person()
    assert place.decide(admin, "old", "invite", alice).fault == (400, "Archived")


# S134, S135, S138: who may


@pytest.mark.parametrize("action", sorted(OTHERS))
def test_s134_who_may_decide(place: Town, action: Action) -> None:
    """Each action by everybody who may not, here and in another community."""
    held = {"accept": Status.REQUESTED, "decline": Status.REQUESTED, "unban": Status.BANNED}
    alice, others = place.person(), {
        "nobody": place.person(),
        "member": place.member("birds"),
        "asks": place.person(),
        "of posts": place.moderator("birds", scope=frozenset((Scope.POSTS, Scope.PINS))),
        "of nothing": place.moderator("birds", scope=frozenset()),
        "elsewhere": place.admin("fish"),
        "site moderator": place.person(802),
    }  # fmt: skip
    place.put("birds", others["asks"], Status.REQUESTED)
    if action is not Action.INVITE:
        place.put("birds", alice, held.get(action, Status.MEMBER))
    before, entries = place.status("birds", alice), len(log(place, "birds"))
    for name, other in others.items():
        assert place.decide(other, "birds", action, alice).fault == (403, "NotPermitted"), name
    assert place.status("birds", alice) == before and len(log(place, "birds")) == entries
    moderator = place.moderator("birds", scope=frozenset((Scope.MEMBERS,)))
    assert place.decide(moderator, "birds", action, alice).status == 200


def test_s134_the_banned_and_the_unknown_do_not_learn_of_a_hidden_community(place: Town) -> None:
    alice, banned = place.member("secret"), place.person()
    place.put("secret", banned, Status.BANNED)
    for who in (place.person(), banned):
        assert place.decide(who, "secret", "ban", alice).fault == (400, "CommunityNotFound")
        assert give(place, who, "secret", alice, "admin").fault == (400, "CommunityNotFound")


def test_an_admin_of_any_community_above_decides(place: Town) -> None:
    """S134: inherited administration walks all ancestors, three levels up."""
    uri = place.found("animals")
    for slug in ("fowl", "ducks", "mallards"):
        uri = place.found(slug, parent=uri)
    alice, far = place.member("mallards"), place.admin("animals")
    assert place.decide(far, "mallards", "ban", alice).json["decision"]["role"] == "admin"
    below = place.admin("mallards")
    bob = place.member("animals")
    assert place.decide(below, "animals", "ban", bob).fault == (403, "NotPermitted")
    near = place.moderator("ducks")
    assert place.decide(near, "mallards", "unban", alice).fault == (403, "NotPermitted")


def test_the_admin_of_the_site_decides_as_the_site(place: Town) -> None:
    admin, alice = place.person(801), place.member("fish")
    assert place.decide(admin, "fish", "ban", alice).json["decision"]["role"] == "site"
    assert place.status("fish", alice) == ("banned", 1)
    place.put("fish", admin, role=Role.MODERATOR)
    assert place.decide(admin, "fish", "unban", alice).json["decision"]["role"] == "moderator"
    owner = place.person(800)
    assert place.decide(owner, "fish", "expel", alice).json["decision"]["role"] == "owner"


def test_s142_roles_of_the_site_are_whole_dids(place: Town) -> None:
    alice = place.member("fish")
    for number in (8010, 80):
        assert place.decide(place.person(number), "fish", "ban", alice).fault == (403, "NotPermitted")


# Roles


def test_roles_are_given_and_taken(place: Town) -> None:
    admin, alice = place.admin("birds"), place.member("birds")
    until = place.clock.micros() + 3_600_000_000
    reply = give(place, admin, "birds", alice, "moderator", scope=["pins", "posts"], expiresAt=moment(until))
    member = reply.json["member"]
    assert (member["role"], member["scope"], member["until"]) == ("moderator", ["posts", "pins"], moment(until))
    assert reply.json["decision"]["reason"] == "moderator: pins posts"
    assert set(place.ask("getViewer", alice, community="birds").json["decides"]) == {
        "approve", "remove", "restore", "pin", "unpin",
    }  # fmt: skip
    assert "scope" not in give(place, admin, "birds", alice, "moderator").json["member"]
    assert give(place, admin, "birds", alice, "member").json["member"]["role"] == "member"
    assert give(place, admin, "birds", alice, "member").fault == (400, "NoChange")
    assert give(place, admin, "birds", alice, "admin").json["member"]["role"] == "admin"
    assert give(place, admin, "birds", alice, "member").fault == (400, "IsAdmin")
    assert give(place, admin, "birds", place.person(), "moderator").fault == (400, "NotMember")


def test_s138_nobody_makes_more_of_themselves(place: Town) -> None:
    moderator, alice = place.moderator("birds"), place.member("birds")
    for who in (moderator, alice):
        for role in ("moderator", "admin"):
            fault = give(place, who, "birds", who, role).fault
            assert fault in ((403, "NotPermitted"), (400, "NoChange"))
    assert (place.status("birds", moderator), place.status("birds", alice)) == (("member", 2), ("member", 1))
    other = place.moderator("birds")
    assert give(place, moderator, "birds", other, "member").fault == (403, "NotPermitted")
    assert place.decide(moderator, "birds", "expel", other).fault == (403, "NotPermitted")
    assert give(place, moderator, "birds", moderator, "member").json["decision"]["role"] == "moderator"  # lays it down
    assert place.status("birds", moderator) == ("member", 1)


def test_a_role_that_has_ended_decides_nothing(place: Town) -> None:
    soon = place.clock.micros() + 60_000_000
    moderator, alice, bob = place.moderator("birds", until=soon), place.member("birds"), place.member("birds")
    assert place.decide(moderator, "birds", "ban", alice).status == 200
    place.clock.now += 61
    assert place.decide(moderator, "birds", "ban", bob).fault == (403, "NotPermitted")
    assert place.ask("getViewer", moderator, community="birds").json["membership"]["role"] == "member"
    assert moderator.did not in {m["did"] for m in every(place, community="birds", role="moderator")}
    assert moderator.did in {m["did"] for m in every(place, community="birds", role="member")}


def test_s139_a_role_is_read_when_it_is_used(place: Town) -> None:
    """A moderator who is demoted while two hundred decisions wait: none comes behind that."""
    admin, moderators = place.admin("fish"), [place.moderator("fish") for _ in range(4)]
    members = [place.member("fish") for _ in range(80)]
    jobs: list[Any] = [(moderators[n % 4], member) for n, member in enumerate(members)]
    jobs[40:40] = [(admin, moderator) for moderator in moderators]

    def run(job: tuple[Account, Account]) -> int:
        who, about = job
        if who is admin:
            return int(give(place, admin, "fish", about, "member").status)
        return place.decide(who, "fish", "ban", about).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(run, jobs))
    assert set(statuses) <= {200, 403} and statuses.count(200) > 4
    demoted: set[str] = set()
    for event in log(place, "fish"):
        if event.action == "setRole":
            demoted.add(event.get("subject"))
        assert event.get("actor") not in demoted
    assert {moderator.did for moderator in moderators} <= demoted


# Bans


def test_a_ban_hides_posts_in_its_community_alone_and_ends(place: Town) -> None:
    with_posts = place.person(55)
    uri = place.writer.post(55, tags=["python", "rust"])
    site = place.person(801)
    for slug in ("python", "rust"):
        place.put(slug, with_posts)
    shown = place.site.all
    assert uri in shown("python") and uri in shown("rust")
    until = place.clock.micros() + 60_000_000
    reply = place.decide(site, "python", "ban", with_posts, expiresAt=moment(until))
    assert reply.json["member"] | {"since": ""} == {
        "did": with_posts.did, "status": "banned", "role": "member", "until": moment(until), "since": "",
    }  # fmt: skip
    assert uri not in shown("python") and uri in shown("rust")
    assert place.act("join", with_posts, {"community": "python"}).fault == (400, "Banned")
    place.clock.now += 61
    assert "membership" not in place.ask("getViewer", with_posts, community="python").json
    assert place.decide(site, "python", "unban", with_posts).fault == (400, "NotFound")
    assert place.act("join", with_posts, {"community": "python"}).status == 200
    assert uri in shown("python")
    assert place.decide(site, "python", "ban", with_posts).status == 200
    assert uri not in shown("python")
    assert place.decide(site, "python", "expel", with_posts).status == 200
    assert uri in shown("python")


def test_when_something_ends_must_be_to_come(place: Town) -> None:
    admin, alice = place.admin("birds"), place.member("birds")
    now = place.clock.micros()
    for bad in (moment(now), moment(now - 1), "1969-12-31T23:59:59Z", "tomorrow", "", 5, "2026-13-01T00:00:00Z"):
        assert place.decide(admin, "birds", "ban", alice, expiresAt=bad).fault == (400, "InvalidRequest"), bad
        assert give(place, admin, "birds", alice, "moderator", expiresAt=bad).fault == (400, "InvalidRequest"), bad
    assert place.decide(admin, "birds", "expel", alice, expiresAt=moment(now + 9)).fault == (400, "InvalidRequest")
    assert give(place, admin, "birds", alice, "member", expiresAt=moment(now + 9)).fault == (400, "InvalidRequest")
    assert give(place, admin, "birds", alice, "admin", scope=["posts"]).fault == (400, "InvalidRequest")
    assert place.status("birds", alice) == ("member", 1)


def test_the_rule_is_one_of_the_communitys(place: Town) -> None:
    admin, alice = place.admin("birds"), place.member("birds")
    assert place.decide(admin, "birds", "ban", alice, rule="No cats").fault == (400, "InvalidRequest")
    assert place.decide(admin, "birds", "ban", alice, rule="No baiting").json["decision"]["rule"] == "No baiting"


@pytest.mark.parametrize(
    "change",
    [
        {"action": "delete"}, {"action": "setRole"}, {"action": None}, {"subject": {"did": plc(1)}},
        {"subject": {"$type": f"{NSID}defs#account", "did": "alice.example.com"}},
        {"subject": {"$type": f"{NSID}defs#account"}}, {"subject": plc(1)}, {"subject": []},
        {"subject": {"$type": f"{NSID}defs#communityRef", "slug": "birds", "name": "Birds"}},
        {"action": "remove"}, {"action": "pin"}, {"reason": "x" * 5001}, {"reason": 1}, {"reason": "a\0b"},
        {"rule": ""}, {"community": None},
    ],
)  # fmt: skip
def test_what_is_no_decision_is_refused(place: Town, change: dict[str, Any]) -> None:
    alice = place.member("birds")
    body = {
        "community": "birds", "action": "ban", "subject": {"$type": f"{NSID}defs#account", "did": alice.did},
    } | change  # fmt: skip
    assert place.act("decide", place.admin("birds"), body).fault == (400, "InvalidRequest")
    assert place.status("birds", alice) == ("member", 1)


# Who sees whom


def every(place: Town, who: Account | None = None, limit: int = 100, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        reply = place.ask("listMembers", who, limit=limit, cursor=cursor, **params)
        assert reply.status == 200, reply.body
        found += reply.json["members"]
        cursor = reply.cursor
        if cursor is None:
            return found


def test_the_list_begins_with_the_owner_and_those_with_roles(place: Town) -> None:
    place.found("choir")
    people = [place.member("choir") for _ in range(3)]
    moderator, admin = place.moderator("choir"), place.admin("choir")
    place.put("choir", OWNER)
    listed = every(place, community="choir", limit=2)
    assert [one["did"] for one in listed] == [OWNER, admin.did, moderator.did, *(one.did for one in people)]
    assert [one["role"] for one in listed] == ["admin", "admin", "moderator", "member", "member", "member"]
    for role, count in (("admin", 2), ("moderator", 1), ("member", 3)):
        assert {one["role"] for one in every(place, community="choir", limit=1, role=role)} == {role}
        assert len(every(place, community="choir", limit=1, role=role)) == count


def test_s136_who_asks_is_invited_or_banned_is_for_moderators(place: Town) -> None:
    place.found("club")
    moderator, member = place.moderator("club", scope=frozenset((Scope.POSTS,))), place.member("club")
    people = {status: place.person() for status in (Status.REQUESTED, Status.INVITED, Status.BANNED)}
    for status, person in people.items():
        place.put("club", person, status)
    for status, person in people.items():
        for who in (None, member, person, people[Status.INVITED]):
            asked = place.ask("listMembers", who, community="club", status=status.value)
            assert asked.fault == (
                (400, "CommunityNotFound") if who is people[Status.BANNED] else (403, "NotPermitted")
            )
            if who is not person and who is not None:
                assert place.ask("getMembership", who, community="club", member=person.did).json == {}
        assert place.ask("getMembership", None, community="club", member=person.did).json == {}
        own = place.ask("getMembership", person, community="club").json["membership"]
        assert (own["did"], own["status"]) == (person.did, status.value)
        for who in (moderator, place.person(802)):
            seen = place.ask("listMembers", who, community="club", status=status.value).json["members"]
            assert [one["did"] for one in seen] == [person.did]
            assert place.ask("getMembership", who, community="club", member=person.did).json["membership"] == own
    shown = {one["did"] for one in every(place, community="club")}
    assert shown == {OWNER, moderator.did, member.did}
    assert place.ask("listMembers", moderator, community="club", status="banned", role="admin").status == 400


def test_a_ban_that_has_ended_is_listed_no_more(place: Town) -> None:
    moderator, alice = place.moderator("birds"), place.person()
    place.put("birds", alice, Status.BANNED, until=place.clock.micros() + 1_000_000)
    listed = [one["did"] for one in every(place, moderator, community="birds", status="banned")]
    assert alice.did in listed
    place.clock.now += 2
    assert alice.did not in [one["did"] for one in every(place, moderator, community="birds", status="banned")]
    assert place.ask("getMembership", alice, community="birds").json == {}


def test_members_of_a_private_community_are_for_its_members(place: Town) -> None:
    member, stranger = place.member("asked"), place.person()
    for who in (None, stranger):
        assert place.ask("listMembers", who, community="asked").fault == (403, "NotPermitted")
        assert place.ask("getMembership", who, community="asked", member=member.did).fault == (403, "NotPermitted")
    assert member.did in {one["did"] for one in every(place, member, community="asked")}
    assert place.ask("listMembers", stranger, community="secret").fault == (400, "CommunityNotFound")
    assert place.ask("getMembership", stranger, community="asked").json == {}


def test_ones_own_needs_a_token_and_a_bad_one_is_never_nobody(place: Town) -> None:
    assert place.ask("getMembership", None, community="birds").fault == (401, "AuthMissing")
    reply = place.site.ask("community=birds", "Bearer x.y.z", method=f"{NSID}getMembership")
    assert reply.status == 401


def test_the_banned_are_told_so(place: Town) -> None:
    alice = place.person()
    place.put("birds", alice, Status.BANNED)
    state = place.ask("getViewer", alice, community="birds").json
    assert (state["membership"]["status"], state["canDiscover"], state["canRead"]) == ("banned", False, False)
    assert (state["post"], state["decides"], "joinsAs" in state) == ("refused", [], False)
    assert place.ask("listMembers", alice, community="birds").fault == (400, "CommunityNotFound")


def test_what_somebody_unknown_may(place: Town) -> None:
    state = place.ask("getViewer", None, community="birds").json
    assert state == {"canDiscover": True, "canRead": True, "post": "refused", "decides": [], "joinsAs": "member"}


def test_s52_paging_is_exact_while_people_come_and_go(place: Town) -> None:
    place.found("crowd", owner=plc(803))
    stay = [place.member("crowd") for _ in range(30)]
    leaving = [place.member("crowd") for _ in range(10)]
    cursor: str | None = None
    listed: list[str] = []
    for page in range(100):
        reply = place.ask("listMembers", None, community="crowd", limit=3, cursor=cursor)
        listed += [one["did"] for one in reply.json["members"]]
        cursor = reply.cursor
        if cursor is None:
            break
        if leaving:
            place.act("leave", leaving.pop(), {"community": "crowd"})
        place.clock.now += 1
        place.act("join", place.person(), {"community": "crowd"})
        assert page < 60
        if page > 20:
            place.act("leave", place.member("crowd"), {"community": "crowd"})
        if page > 12:
            place.writer.sql("DELETE FROM membership WHERE community = ? AND via = 'xrpc'", place.id("crowd"))
    assert len(listed) == len(set(listed))
    assert {one.did for one in stay} <= set(listed)


def test_s51_cursors_of_others(place: Town) -> None:
    for _ in range(3):
        place.member("birds")
    good = place.ask("listMembers", None, community="birds", limit=1).cursor
    assert good is not None
    for bad in (good[:-1] + ("0" if good[-1] != "0" else "1"), good[2:], good.upper(), f"{good} ", "x", "", good * 9):
        reply = place.ask("listMembers", None, community="birds", limit=1, cursor=bad)
        assert reply.fault in ((400, "InvalidCursor"), (400, "InvalidRequest")), bad
    for other in ({"community": "fish"}, {"community": "birds", "role": "member"}):
        assert place.ask("listMembers", None, cursor=good, **other).fault == (400, "InvalidCursor")
    assert place.ask("listMembers", None, community="birds", limit=2, cursor=good).status == 200


@pytest.mark.parametrize("value", ["0", "101", "abc", "", "-1", "+5", "1e3", "%EF%BC%91"])
def test_s48_limits(place: Town, value: str) -> None:
    reply = place.site.ask(f"community=birds&limit={value}", method=f"{NSID}listMembers")
    assert reply.fault == (400, "InvalidRequest")


def test_bad_parameters(place: Town) -> None:
    for query in ("", "community=", "community=birds&status=gone", "community=birds&role=owner",
                  "community=birds&community=fish", "community=%FF", f"community={'x' * 2300}"):  # fmt: skip
        assert place.site.ask(query, method=f"{NSID}listMembers").fault == (400, "InvalidRequest"), query
    assert place.site.ask("community=birds&member=x", method=f"{NSID}getMembership").fault == (400, "InvalidRequest")
