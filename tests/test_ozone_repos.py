"""tools.ozone.moderation.getRepo(s), getSubjects and searchRepos: accounts as the network shows them."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from communities.casebook import append
from communities.mod_event import Kind, ModEvent
from models.database import writing
from models.mod_events import SubjectKey, key_of
from ozone.all_methods import LOOKUPS
from ozone.roles import Role
from ozone.sources import KEPT_SECONDS
from ozone.visit import moment
from tests.didnet import plc
from tests.feed_site import NOW
from tests.label_scene import LABELER
from tests.ozone_net import GET, PROFILE, PROFILES, SEARCH, SINCE, Net, answering, net, official_lexicons
from tests.ozone_site import NSID
from xrpc.lexicon import Catalog

DEFS = "tools.ozone.moderation.defs#"
NOBODY = plc(999_999)


@pytest.fixture(scope="module")
def lexicons(shared_data: Path) -> Catalog:
    return official_lexicons(shared_data)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, lexicons: Catalog) -> Iterator[Net]:
    with net(tmp_path_factory.mktemp("repos"), lexicons) as found:
        yield found


@pytest.fixture
def world(shared: Net) -> Net:
    """A clean one: nothing is kept from other tests."""
    shared.later()
    shared.answers.clear()
    shared.asked.clear()
    shared.profiles.clear()
    return shared


def test_an_account_as_the_appview_shows_it(world: Net) -> None:
    more = {"description": "Birds.", "avatar": "https://cdn.example/x", "followersCount": 5, "pronouns": 5}
    who = world.account(handle="alice.example.com", **more)
    world.label(who.did, "spam")
    now = moment(world.place.place.clock.micros())
    assert world.ask("getRepo", did=who.did).json == {
        "did": who.did,
        "handle": "alice.example.com",
        "relatedRecords": [{"$type": PROFILE, "displayName": "Somebody", "description": "Birds."}],
        "indexedAt": SINCE,
        "moderation": {},
        "labels": [{"ver": 1, "src": LABELER, "uri": who.did, "val": "spam", "cts": now}],
    }
    assert world.calls(GET) == [] and len(world.calls(PROFILES)) == 1


def test_one_that_the_appview_does_not_show_is_as_its_document_and_its_host_have_it(world: Net) -> None:
    who = world.account(handle="alice.example.com", shown=False)
    uri = f"at://{who.did}/{PROFILE}/self"
    now = moment(world.place.place.clock.micros())
    found = world.ask("getRepo", did=who.did).json
    assert (found["handle"], found["relatedRecords"], found["indexedAt"]) == ("alice.example.com", [], now)
    world.later()
    record = {"$type": PROFILE, "displayName": "Taken down", "avatar": {"$type": "blob"}}
    world.put(uri, record)
    assert world.ask("getRepo", did=who.did).json["relatedRecords"] == [record]
    world.later()
    del world.records[uri]
    world.evidence(uri, {"$type": PROFILE, "displayName": "As reported"})
    assert world.ask("getRepo", did=who.did).json["relatedRecords"][0]["displayName"] == "As reported"
    moderator = world.place.place.moderator("python")
    assert world.ask("getRepo", moderator, did=who.did).json["relatedRecords"] == [], "it was not reported to python"


@pytest.mark.parametrize(
    ("answer", "kept"),
    [(answering(500), 0), (answering(200, b"<", "text/html"), 0), (answering(400, {"error": "X"}), 10)],
)
def test_an_appview_that_is_down_hides_nobody(world: Net, answer: Any, kept: int) -> None:
    who = world.account(handle="alice.example.com")
    world.answers[PROFILES] = answer
    world.put(f"at://{who.did}/{PROFILE}/self", {"displayName": "Alice"})
    found = world.ask("getRepo", did=who.did).json
    assert (found["handle"], found["relatedRecords"]) == ("alice.example.com", [{"displayName": "Alice"}])
    assert world.ask("getRepo", did=NOBODY).fault == (502, "UpstreamFailure"), "which nobody can say now"
    world.answers.clear()
    world.later(kept)
    assert world.ask("getRepo", did=who.did).json["indexedAt"] == SINCE, "a failure is not kept"
    assert world.ask("getRepo", did=NOBODY).fault == (400, "RepoNotFound")


def test_an_account_of_which_the_index_alone_knows(world: Net) -> None:
    did = plc(777_777)
    assert world.ask("getRepo", did=did).fault == (400, "RepoNotFound")
    world.place.place.writer.sql("INSERT INTO actor (did, active, status) VALUES (?, 0, 'deleted')", did)
    found = world.ask("getRepo", did=did).json
    assert (found["did"], found["handle"], found["relatedRecords"]) == (did, "handle.invalid", [])


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ({"handle": "handle.invalid"}, {"handle": "handle.invalid"}),
        ({"handle": 5}, {"handle": "handle.invalid"}),
        ({"indexedAt": "yesterday", "createdAt": SINCE}, {"indexedAt": SINCE}),
        ({"displayName": {"a": 1}, "description": "x"}, {"relatedRecords": [{"$type": PROFILE, "description": "x"}]}),
    ],
)
def test_what_the_appview_shows_is_not_believed_to_be_as_the_lexicon_says(world: Net, shown: Any, told: Any) -> None:
    who = world.account(handle="alice.example.com")
    world.profiles[who.did] |= shown
    world.answers[PROFILES] = answering(
        200, {"profiles": [None, {"did": "x"}, {"did": 5}, {"did": NOBODY}, world.profiles[who.did]]}
    )
    found = world.ask("getRepo", did=who.did).json
    assert found | told == found


def test_a_hundred_accounts_at_once_in_their_order(world: Net) -> None:
    people = [world.account(shown=at % 9 != 0) for at in range(98)]
    dids = [NOBODY, *(who.did for who in people), "did:key:zQ3shunBKsXixLxKtC5qeSG9E4J5RkGN57im31pcTzbNQnm5w"]
    repos = world.ask("getRepos", dids=dids).json["repos"]
    assert [repo["did"] for repo in repos] == dids
    kinds = [repo["$type"].removeprefix(DEFS) for repo in repos]
    assert kinds == ["repoViewNotFound", *["repoViewDetail"] * 98, "repoViewNotFound"]
    assert repos[0] == {"$type": f"{DEFS}repoViewNotFound", "did": NOBODY}
    assert [len(call) for call in world.calls(PROFILES)] == [25] * 4
    asked = len(world.asked)
    assert world.ask("getRepos", dids=dids).json["repos"] == repos and len(world.asked) == asked, "kept"
    assert world.ask("getRepos", dids=[*dids, plc(1)]).fault == (400, "InvalidRequest")


def test_profiles_and_documents_are_kept_for_a_while(world: Net) -> None:
    who, hidden = world.account(), world.account(shown=False)
    lookups = world.place.place.site.net.lookups
    for _ in range(3):
        world.ask("getRepos", dids=[who.did, hidden.did])
    assert len(world.calls(PROFILES)) == 1 and lookups[f"/{hidden.did}"] == 1 and lookups[f"/{who.did}"] == 0
    world.later(KEPT_SECONDS - 1)
    world.ask("getRepo", did=who.did)
    assert len(world.calls(PROFILES)) == 1
    world.later(1)
    world.ask("getRepo", did=who.did)
    assert len(world.calls(PROFILES)) == 2


@pytest.mark.parametrize("did", ["alice.example.com", "did:plc", "", "at://did:plc:abc"])
def test_what_is_no_did(world: Net, did: str) -> None:
    assert world.ask("getRepo", did=did).fault == (400, "InvalidRequest")
    assert world.ask("getRepos", dids=[plc(1), did]).fault == (400, "InvalidRequest")


# Subjects


def test_subjects_with_all_that_there_is_of_them(world: Net, lexicons: Catalog) -> None:
    who, hidden = world.account(labels=[]), world.account(shown=False)
    uri, gone = world.post(who), f"at://{hidden.did}/app.bsky.feed.post/gone"
    wanted = [who.did, uri, hidden.did, gone, NOBODY, who.did]
    subjects = world.ask("getSubjects", subjects=wanted).json["subjects"]
    assert [one["subject"] for one in subjects] == wanted
    assert [one["type"] for one in subjects] == ["account", "record", "account", "record", "account", "account"]
    parts = [sorted(one.keys() - {"type", "subject"}) for one in subjects]
    full = ["profile", "repo"]
    assert parts == [full, ["profile", "record", "repo"], ["repo"], ["repo"], [], full]
    profile = subjects[0]["profile"]
    assert profile == world.profiles[who.did] | {"$type": "app.bsky.actor.defs#profileViewDetailed"}
    lexicons.check_output(PROFILES, {"profiles": [profile]})
    assert subjects[1]["profile"] == profile and subjects[1]["record"]["value"] == world.records[uri]
    assert subjects[0]["repo"] == world.ask("getRepo", did=who.did).json
    assert subjects[1]["record"] == world.ask("getRecord", uri=uri).json


def test_a_status_stands_with_every_subject_that_has_one(world: Net) -> None:
    """Where it is most urgent, of all that the caller looks into."""
    who = world.account()
    uri, town = world.post(who), world.place.place
    with writing(town.writer.database) as connection:
        for key, scope, kind in (
            (SubjectKey(who.did), 0, Kind.ACKNOWLEDGE),
            (key_of(who.did, uri), 0, Kind.COMMENT),
            (key_of(who.did, uri), town.id("python"), Kind.ESCALATE),
        ):
            append(connection, scope, key, ModEvent(kind, NOW, plc(1)))
    record, account, nobody = world.ask("getSubjects", subjects=[uri, who.did, NOBODY]).json["subjects"]
    assert record["status"]["reviewState"] == record["record"]["moderation"]["subjectStatus"]["reviewState"]
    assert (
        record["status"]["reviewState"] == f"{DEFS}reviewEscalated" and "community:python" in record["status"]["tags"]
    )
    for one in (record, account):
        assert one["repo"]["moderation"]["subjectStatus"]["reviewState"] == f"{DEFS}reviewClosed"
    assert account["status"]["subject"]["did"] == who.did and "status" not in nobody


@pytest.mark.parametrize("subject", ["x", "at://alice.example.com/a.b.c/x", f"at://{plc(1)}", "chat:1"])
def test_what_is_no_subject(world: Net, subject: str) -> None:
    reply = world.ask("getSubjects", subjects=[plc(1), subject])
    assert reply.fault == (400, "InvalidRequest") and "DID" in reply.json["message"]
    assert world.ask("getSubjects").fault == (400, "InvalidRequest")


# Search


def test_a_did_or_a_handle_is_that_account(world: Net) -> None:
    alice, bob = world.account(handle="alice.example.com"), world.account(displayName="alice.example.com")
    for text in (alice.did, "alice.example.com", "@alice.example.com", " Alice.Example.Com "):
        for name in ("q", "term"):
            found = world.ask("searchRepos", **{name: text}).json
            assert [repo["did"] for repo in found["repos"]] == [alice.did] and "cursor" not in found
    assert "labels" not in world.ask("searchRepos", q=alice.did).json["repos"][0]
    assert world.ask("searchRepos", q=NOBODY).json == {"repos": []}
    assert world.calls(SEARCH) == []
    world.profiles[alice.did]["handle"] = "handle.invalid"
    world.later()
    assert [repo["did"] for repo in world.ask("searchRepos", q="alice.example.com").json["repos"]] == [bob.did]


def test_anything_else_is_what_the_appview_finds_page_by_page(world: Net) -> None:
    people = [world.account(displayName=f"Bird {at}") for at in range(7)]
    world.account(displayName="Frog")
    pages = [
        [repo["did"] for repo in page]
        for page in world.place.every("moderation.searchRepos", world.place.staff(), 3, q="Bird")
    ]
    assert pages == [[who.did for who in part] for part in (people[:3], people[3:6], people[6:])]
    assert world.ask("searchRepos", q="Bird").json["repos"][0]["relatedRecords"][0]["displayName"] == "Bird 0"
    assert world.ask("searchRepos", q="Nobody").json == {"repos": []}
    assert world.ask("searchRepos").json == world.ask("searchRepos", q="  ").json == {"repos": []}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (answering(400, {"error": "InvalidRequest", "message": "Malformed cursor"}), (400, "InvalidRequest")),
        (answering(500), (502, "UpstreamFailure")),
        (answering(200, b"no"), (502, "UpstreamFailure")),
    ],
)
def test_a_search_that_the_appview_does_not_answer(world: Net, answer: Any, fault: tuple[int, str]) -> None:
    world.answers[SEARCH] = answer
    assert world.ask("searchRepos", q="birds", cursor="x").fault == fault


@pytest.mark.parametrize(
    "said", [{}, {"actors": 5}, {"actors": [], "cursor": "x"}, {"actors": [{"did": 5}], "cursor": 7}]
)
def test_an_odd_answer_of_a_search_is_an_end(world: Net, said: Any) -> None:
    world.answers[SEARCH] = answering(200, said)
    assert world.ask("searchRepos", q=f"odd {said}").json == {"repos": []}


@pytest.mark.parametrize("limit", [0, 101, "x"])
def test_limits(world: Net, limit: Any) -> None:
    assert world.ask("searchRepos", q="x", limit=limit).fault == (400, "InvalidRequest")


def test_a_role_that_is_taken_away_meanwhile_is_none(world: Net) -> None:
    """S139: it is read again with the answer."""
    who = world.place.member(Role.TRIAGE)

    async def answer(_: Any) -> Any:
        world.place.place.writer.sql("DELETE FROM team_member WHERE did = ?", who.did)
        return await answering(200, {"profiles": []})(_)

    world.answers[PROFILES] = answer
    assert world.ask("getRepo", who, did=plc(1)).fault == (401, "AuthenticationRequired")


TEXTS = (
    "", NOBODY, "did:key:z", "\0", "%", "é" * 100, "0", "-1", "true", f"at://{NOBODY}/a.b.c/x", f"at://{NOBODY}",
    "x" * 9000, "\u202e", "alice.test", "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq",
    "@", "did:", "' OR 1=1 --",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_s61_no_call_is_a_fault_of_ours(world: Net, seed: int) -> None:
    choose = random.Random(seed)
    people = [world.place.staff(), world.place.place.moderator("python"), world.place.place.person()]
    done = set()
    for _ in range(25):
        for lookup in LOOKUPS:
            names = ("uri", "cid", "uris", "did", "dids", "subjects", "q", "term", "limit", "cursor", "x")
            pairs = [(choose.choice(names), choose.choice(TEXTS)) for _ in range(choose.randrange(5))]
            sent = f"Bearer {world.place.token(choose.choice(people), lookup.name)}"
            asked = "&".join(f"{name}={quote(text)}" for name, text in pairs)
            reply = world.place.place.site.ask(asked, sent, method=NSID + lookup.name)
            assert reply.status < 500 and isinstance(reply.json, dict), (lookup.name, asked, reply.body)
            done.add(reply.status)
    assert done == {200, 400, 401}
