"""Decisions about accounts and roles through HTTP: each refusal by its name, each decision in the log."""

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
    assert place.give(admin, "birds", OWNER, "member").fault == (400, "IsAdmin")


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
        assert place.give(who, "secret", alice, "admin").fault == (400, "CommunityNotFound")


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
    reply = place.give(admin, "birds", alice, "moderator", scope=["pins", "posts"], expiresAt=moment(until))
    member = reply.json["member"]
    assert (member["role"], member["scope"], member["until"]) == ("moderator", ["posts", "pins"], moment(until))
    assert reply.json["decision"]["reason"] == "moderator: pins posts"
    assert set(place.ask("getViewer", alice, community="birds").json["decides"]) == {
        "approve", "remove", "restore", "pin", "unpin",
    }  # fmt: skip
    assert "scope" not in place.give(admin, "birds", alice, "moderator").json["member"]
    assert place.give(admin, "birds", alice, "member").json["member"]["role"] == "member"
    assert place.give(admin, "birds", alice, "member").fault == (400, "NoChange")
    assert place.give(admin, "birds", alice, "admin").json["member"]["role"] == "admin"
    assert place.give(admin, "birds", alice, "member").fault == (400, "IsAdmin")
    assert place.give(admin, "birds", place.person(), "moderator").fault == (400, "NotMember")


@pytest.mark.parametrize("deed", ["setRole", "expel", "ban"])
def test_what_is_decided_outdoes_the_older_records_of_the_owner(place: Town, deed: str) -> None:
    admin, alice, other = place.admin("birds"), place.member("birds"), place.member("birds")
    for who in (alice, other):
        place.writer.sql(
            "INSERT INTO declaration (actor, collection, rkey, cid, about, subject, record, at) VALUES (1, ?, ?, x'01',"
            " ?, ?, '{}', 0)",
            f"{NSID}role", who.did, f"at://{OWNER}/{NSID}community/birds", who.did,
        )  # fmt: skip
    if deed == "setRole":
        assert place.give(admin, "birds", alice, "moderator").status == 200
    else:
        assert place.decide(admin, "birds", deed, alice).status == 200
    faults = dict(place.writer.sql("SELECT subject, fault FROM declaration"))
    assert (faults[alice.did], faults[other.did]) == ("Superseded", None)


def test_s138_nobody_makes_more_of_themselves(place: Town) -> None:
    moderator, alice = place.moderator("birds"), place.member("birds")
    for who in (moderator, alice):
        for role in ("moderator", "admin"):
            fault = place.give(who, "birds", who, role).fault
            assert fault in ((403, "NotPermitted"), (400, "NoChange"))
    assert (place.status("birds", moderator), place.status("birds", alice)) == (("member", 2), ("member", 1))
    other = place.moderator("birds")
    assert place.give(moderator, "birds", other, "member").fault == (403, "NotPermitted")
    assert place.decide(moderator, "birds", "expel", other).fault == (403, "NotPermitted")
    assert place.give(moderator, "birds", moderator, "member").json["decision"]["role"] == "moderator"  # lays it down
    assert place.status("birds", moderator) == ("member", 1)


def test_a_role_that_has_ended_decides_nothing(place: Town) -> None:
    soon = place.clock.micros() + 60_000_000
    moderator, alice, bob = place.moderator("birds", until=soon), place.member("birds"), place.member("birds")
    assert place.decide(moderator, "birds", "ban", alice).status == 200
    place.clock.now += 61
    assert place.decide(moderator, "birds", "ban", bob).fault == (403, "NotPermitted")
    assert place.ask("getViewer", moderator, community="birds").json["membership"]["role"] == "member"
    assert moderator.did not in {m["did"] for m in place.every("listMembers", community="birds", role="moderator")}
    assert moderator.did in {m["did"] for m in place.every("listMembers", community="birds", role="member")}


def test_s139_a_role_is_read_when_it_is_used(place: Town) -> None:
    """A moderator who is demoted while two hundred decisions wait: none comes behind that."""
    admin, moderators = place.admin("fish"), [place.moderator("fish") for _ in range(4)]
    members = [place.member("fish") for _ in range(80)]
    jobs: list[Any] = [(moderators[n % 4], member) for n, member in enumerate(members)]
    jobs[40:40] = [(admin, moderator) for moderator in moderators]

    def run(job: tuple[Account, Account]) -> int:
        who, about = job
        if who is admin:
            return int(place.give(admin, "fish", about, "member").status)
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
        assert place.give(admin, "birds", alice, "moderator", expiresAt=bad).fault == (400, "InvalidRequest"), bad
    assert place.decide(admin, "birds", "expel", alice, expiresAt=moment(now + 9)).fault == (400, "InvalidRequest")
    assert place.give(admin, "birds", alice, "member", expiresAt=moment(now + 9)).fault == (400, "InvalidRequest")
    assert place.give(admin, "birds", alice, "admin", scope=["posts"]).fault == (400, "InvalidRequest")
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
