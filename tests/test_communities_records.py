"""What records of `social.communities.*` say: good ones of each collection, and the name of every refusal."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from communities.access import EVERYTHING, Posting, Role, Scope, State, Type
from communities.community import Community, Exclude, Include, Log, Require, Rule
from communities.limits import UNLIMITED, Limits
from communities.ranking import SORTS, Ranking
from communities.records import (
    BLOCK,
    COMMUNITY,
    FOLLOW,
    MEMBERSHIP,
    MOST_SELECTORS,
    ROLE,
    SUBMISSION,
    CommunityRecord,
    MembershipRecord,
    RecordRefusedError,
    RelationRecord,
    RoleRecord,
    Said,
    SubmissionRecord,
    read_said,
)
from lexicons.catalog import documents
from tests.didnet import plc
from xrpc.lexicon import Catalog

CATALOG = Catalog(documents())
OWNER, ALICE, BOB = plc(1), plc(2), plc(3)
BIRDS = f"at://{OWNER}/{COMMUNITY}/birds"
AT = "2026-01-02T03:04:05Z"
TID = "3kabcdefghij2"
CID = "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"
POST = f"at://{ALICE}/app.bsky.feed.post/{TID}"

PLAIN = {"type": "open", "name": "Birds", "createdAt": AT}
GIVEN = {"community": BIRDS, "subject": ALICE, "role": "moderator", "createdAt": AT}
JOINED = {"community": BIRDS, "createdAt": AT}
SUBMITTED = {"community": BIRDS, "post": {"uri": POST, "cid": CID}, "createdAt": AT}
BASE = {COMMUNITY: (OWNER, "birds", PLAIN), ROLE: (OWNER, TID, GIVEN), MEMBERSHIP: (ALICE, TID, JOINED),
        SUBMISSION: (ALICE, TID, SUBMITTED)}  # fmt: skip


def read(collection: str, did: str | None = None, rkey: str | None = None, **more: Any) -> Said:
    """A good record with other fields; None takes a field away."""
    author, key, record = BASE[collection]
    changed = {"$type": collection} | copy.deepcopy(record) | more
    changed = {name: value for name, value in changed.items() if value is not None}
    return read_said(CATALOG, did or author, collection, rkey or key, changed)


def refusal(collection: str, did: str | None = None, rkey: str | None = None, **more: Any) -> str:
    with pytest.raises(RecordRefusedError) as refused:
        read(collection, did, rkey, **more)
    assert str(refused.value)
    return refused.value.name


def community(**more: Any) -> Community:
    found = read(COMMUNITY, **more)
    assert isinstance(found, CommunityRecord)
    return found.community


def test_a_community_that_says_no_more_than_it_must() -> None:
    assert read(COMMUNITY) == CommunityRecord(
        Community(
            "birds", "Birds", owner=OWNER, feeds=tuple(SORTS), accepts_interactions=True, posting="members",
            join_by=("record", "xrpc"),
        )
    )  # fmt: skip


def test_a_community_that_says_everything() -> None:
    found = read(
        COMMUNITY,
        description="In short.",
        about="At length.",
        rules=[{"name": "Be kind", "text": "Always."}, {"name": "No nests"}],
        parent=f"at://{BOB}/{COMMUNITY}/animals",
        posting="approval",
        joinBy=["follow", "tag", "carrier-pigeon"],
        account=ALICE,
        include={
            "hashtags": ["#Birds", "ＢＩＲＤＳ", "#", "x\napproved"], "keywords": ["bird of the day", "!!"],
            "mentions": [ALICE], "members": [BOB], "lists": [f"at://{BOB}/app.bsky.graph.list/l"], "joined": True,
        },
        require={"languages": ["en"], "media": ["image"]},
        exclude={
            "hashtags": ["NotBirds"], "replies": True, "languages": ["de"], "media": ["gif"], "domains": ["x.example"],
            "dids": [BOB], "hashtagsOver": 5,
        },
        ranking={"halfLifeHours": 6, "weights": {"like": 0, "repost": 2, "reply": 3, "quote": 4}, "authorCap": 2},
        log={"who": "actor", "showSubject": True},
        state="archived",
        queueFeed=True,
        commands=["remove", "ban", "fly", "ban"],
        adminCommands=["ban"],
        predecessor=f"at://{BOB}/{COMMUNITY}/birds",
        successor=f"at://{ALICE}/{COMMUNITY}/birds",
    )  # fmt: skip
    assert found == CommunityRecord(
        Community(
            slug="birds",
            name="Birds",
            description="In short.",
            owner=OWNER,
            about="At length.",
            rules=(Rule("Be kind", "Always."), Rule("No nests")),
            parent=f"at://{BOB}/{COMMUNITY}/animals",
            posting="approval",
            join_by=("follow", "tag"),
            account=ALICE,
            accepts_interactions=True,
            feeds=tuple(SORTS),
            queue_feed=True,
            commands=("remove", "ban"),
            admin_commands=("ban",),
            include=Include(
                ("birds",), ("bird of the day",), (ALICE,), (BOB,), (f"at://{BOB}/app.bsky.graph.list/l",), joined=True
            ),
            require=Require(("en",), ("image",)),
            exclude=Exclude(("notbirds",), True, ("de",), ("gif",), ("x.example",), (BOB,), 5),
            ranking=Ranking(6, 0, 2, 3, 4, author_cap=2),
            log=Log("actor", show_subject=True),
            state="archived",
        ),
        predecessor=f"at://{BOB}/{COMMUNITY}/birds",
        successor=f"at://{ALICE}/{COMMUNITY}/birds",
    )


@pytest.mark.parametrize("kind", [*(kind.value for kind in Type if kind is not Type.OPEN), "secret", "", "Open"])
def test_types_that_cannot_be_kept_are_explained(kind: str) -> None:
    with pytest.raises(RecordRefusedError, match="public repository can be read by all") as refused:
        read(COMMUNITY, type=kind)
    assert refused.value.name == "TypeNotAvailable"


@pytest.mark.parametrize("slug", ["a", "A1", "1a", "-a", "_a", "a.b", "a:b", "a~1", "a" * 64, "self.x", "birdS"])
def test_a_key_that_is_no_slug(slug: str) -> None:
    assert refusal(COMMUNITY, rkey=slug) == "InvalidSlug"


def test_a_slug_that_stands_for_a_feed_of_the_service_is_refused() -> None:
    assert refusal(COMMUNITY, rkey="everything") == "ReservedSlug"


@pytest.mark.parametrize("slug", ["ab", "a1", "a-b", "a_b", "a" * 63])
def test_a_key_that_is_a_slug(slug: str) -> None:
    found = read(COMMUNITY, rkey=slug)
    assert isinstance(found, CommunityRecord) and found.community.slug == slug


UNKNOWN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "posting": ({"posting": "everybody-and-their-dog"}, {"posting": Posting.RESTRICTED}),
    "state": ({"state": "sleeping"}, {"state": State.PAUSED}),
    "log": ({"log": {"who": "everything"}}, {"log": Log("nobody")}),
    "no join ways": ({"joinBy": []}, {"join_by": ()}),
    "other join ways": ({"joinBy": ["letter"]}, {"join_by": ()}),
    "lists by handle": (
        {"include": {"lists": ["at://bob.example.com/app.bsky.graph.list/l", f"at://{BOB}/app.bsky.feed.post/l",
                               f"at://{BOB}/app.bsky.graph.list/l"]}},
        {"include": Include(lists=(f"at://{BOB}/app.bsky.graph.list/l",))},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_here_is_taken_for_the_strictest(name: str) -> None:
    said, meant = UNKNOWN[name]
    assert community(**said) == replace(community(), **meant)


def test_a_record_names_only_so_many() -> None:
    dids = [plc(number) for number in range(MOST_SELECTORS)]
    assert len(community(include={"members": dids}).include.members) == MOST_SELECTORS
    assert refusal(COMMUNITY, include={"members": [*dids, OWNER]}) == "TooLarge"
    parts = {"include": {"members": dids[1:]}, "exclude": {"domains": ["x.example"], "hashtagsOver": 9}}
    assert community(**parts).exclude.domains == ("x.example",)
    assert refusal(COMMUNITY, **parts, require={"languages": ["en"]}) == "TooLarge"


INVALID: list[tuple[str, dict[str, Any]]] = [
    (COMMUNITY, {"description": "x" * 10_000_000}),
    (COMMUNITY, {"name": "x" * 25}),
    (COMMUNITY, {"name": None}),
    (COMMUNITY, {"type": None}),
    (COMMUNITY, {"type": 5}),
    (COMMUNITY, {"createdAt": "yesterday"}),
    (COMMUNITY, {"account": "alice.example.com"}),
    (COMMUNITY, {"include": {"members": ["alice.example.com"]}}),
    (COMMUNITY, {"include": {"hashtags": "birds"}}),
    (COMMUNITY, {"include": []}),
    (COMMUNITY, {"exclude": {"hashtagsOver": 1001}}),
    (COMMUNITY, {"rules": [{"text": "nameless"}]}),
    (COMMUNITY, {"rules": [{"name": "x"}] * 51}),
    (COMMUNITY, {"ranking": {"halfLifeHours": 0}}),
    (COMMUNITY, {"$type": ROLE}),
    (ROLE, {"subject": "alice.example.com"}),
    (ROLE, {"subject": None}),
    (ROLE, {"role": 3}),
    (ROLE, {"scope": "posts"}),
    (ROLE, {"expiresAt": "never"}),
    *((ROLE, {name: value}) for name in ("labels", "collections", "reasons") for value in ("spam", [1], [""])),
    (ROLE, {"expiresAt": "2026-13-01T00:00:00Z"}),
    (ROLE, {"community": OWNER}),
    (MEMBERSHIP, {"community": None}),
    (MEMBERSHIP, {"community": 1}),
    (MEMBERSHIP, {"createdAt": None}),
    (SUBMISSION, {"post": POST}),
    (SUBMISSION, {"post": {"uri": POST}}),
    (SUBMISSION, {"post": {"uri": "x", "cid": CID}}),
    (SUBMISSION, {"post": None}),
]


@pytest.mark.parametrize(("collection", "more"), INVALID, ids=lambda value: str(value)[:60])
def test_what_the_lexicon_refuses(collection: str, more: dict[str, Any]) -> None:
    assert refusal(collection, **more) == "InvalidRecord"


@pytest.mark.parametrize(("collection", "rkey"), [(ROLE, "mine"), (SUBMISSION, "mine"), (MEMBERSHIP, "a b")])
def test_keys_that_the_lexicon_refuses(collection: str, rkey: str) -> None:
    assert refusal(collection, rkey=rkey) == "InvalidRecord"


@pytest.mark.parametrize("collection", [ROLE, MEMBERSHIP, SUBMISSION])
@pytest.mark.parametrize(
    "uri",
    [
        f"at://owner.example.com/{COMMUNITY}/birds",
        f"at://{OWNER}/app.bsky.feed.generator/birds",
        f"at://{OWNER}/{COMMUNITY}/B",
        f"at://{OWNER}/{COMMUNITY}",
        f"at://{OWNER}",
    ],
)
def test_a_community_is_named_by_its_record_and_a_did(collection: str, uri: str) -> None:
    assert refusal(collection, community=uri) == "InvalidCommunity"


# Roles


def role(did: str | None = None, **more: Any) -> RoleRecord:
    found = read(ROLE, did, **more)
    assert isinstance(found, RoleRecord)
    return found


def test_roles() -> None:
    assert role() == RoleRecord(BIRDS, ALICE, Role.MODERATOR, EVERYTHING, None)
    assert role(role="admin").role is Role.ADMIN
    assert role(scope=["posts", "pins", "settings"]).scope == {Scope.POSTS, Scope.PINS}
    assert role(scope=[]).scope == frozenset()
    assert role(role="admin", scope=["posts"]).scope == EVERYTHING  # an admin is one altogether
    limited = role(labels=["spam"], collections=["account", "message"], reasons=[])
    assert limited.limits == Limits(frozenset(("spam",)), frozenset(("account",)), frozenset())
    assert role().limits == role(role="admin", labels=["spam"]).limits == UNLIMITED
    assert role(expiresAt="1970-01-01T00:00:02.5Z").until == 2_500_000


def test_a_role_that_ended_before_time_began_has_ended() -> None:
    assert role(expiresAt="1960-01-01T00:00:00Z").until == 0


def test_only_the_owner_gives_roles() -> None:
    assert refusal(ROLE, BOB) == refusal(ROLE, ALICE) == "NotTheOwner"
    # A DID that begins like the owner's is somebody else.
    assert (
        refusal(ROLE, "did:web:a.example", community=f"at://did:web:a.example.com/{COMMUNITY}/birds") == "NotTheOwner"
    )


@pytest.mark.parametrize("name", ["emperor", "", "member", "Admin"])
def test_a_role_that_is_not_known_grants_nothing(name: str) -> None:
    assert refusal(ROLE, role=name) == "UnknownRole"


# Memberships, submissions, follows and blocks


def test_memberships() -> None:
    assert read(MEMBERSHIP) == MembershipRecord(BIRDS, 3)
    assert read(MEMBERSHIP, BOB, "any-key", volume=5) == MembershipRecord(BIRDS, 5)


def test_submissions() -> None:
    assert read(SUBMISSION) == SubmissionRecord(BIRDS, POST)


@pytest.mark.parametrize(
    "post",
    [
        f"at://{BOB}/app.bsky.feed.post/{TID}",
        f"at://{ALICE}/app.bsky.feed.like/{TID}",
        f"at://{ALICE}/app.bsky.feed.post",
        f"at://alice.example.com/app.bsky.feed.post/{TID}",
        f"at://{ALICE}",
    ],
)
def test_nobody_submits_but_a_post_of_their_own(post: str) -> None:
    assert refusal(SUBMISSION, post={"uri": post, "cid": CID}) == "NotYourPost"


@pytest.mark.parametrize("collection", [FOLLOW, BLOCK])
def test_follows_and_blocks(collection: str) -> None:
    assert read_said(CATALOG, ALICE, collection, TID, {"subject": BOB}) == RelationRecord(BOB)
    for subject in (None, 5, "", "bob.example.com", [BOB], {"did": BOB}, "did:plc:"):
        with pytest.raises(RecordRefusedError, match="DID") as refused:
            read_said(CATALOG, ALICE, collection, TID, {"subject": subject})
        assert refused.value.name == "InvalidRecord"
    with pytest.raises(RecordRefusedError):
        read_said(CATALOG, ALICE, collection, TID, {})
