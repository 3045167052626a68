"""Moderators and members call the service through the real PDS; what they do is seen in the real AppView."""

import json
from pathlib import Path

import pytest

from tests.network.conftest import Site
from tests.network.person import Person, XrpcFailure, xrpc
from tests.network.test_token import claims_of
from tests.network.town import NSID, Community, found

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def moderator(site: Site) -> Person:
    """Signed in as docs/MODERATING.md says: with an app password."""
    return site.person("mona").with_app_password()


@pytest.fixture(scope="module")
def ducks(site: Site, moderator: Person) -> Community:
    """A community with a founder, a moderator and a member, alice."""
    rules = [{"name": "Ducks only", "text": "Geese have a place of their own."}]
    community = found(site, "ducks", rules=rules)
    community.moderator(moderator)
    community.join(site.person("alice"))
    return community


def refused(who: Person, community: Community, method: str, **body: object) -> str:
    """The name of the error with which a call is refused, as the PDS passes it on."""
    with pytest.raises(XrpcFailure) as caught:
        community.act(who, method, **body)
    assert caught.value.status in (400, 403)
    return caught.value.name


def test_a_moderator_removes_and_restores_a_post(site: Site, ducks: Community, moderator: Person) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    kept, goose = alice.post("a duck", "ducks"), alice.post("a goose", "ducks")
    site.caught_up()
    before = ducks.shown(bob)
    assert before[:2] == [goose["uri"], kept["uri"]]

    entry = ducks.decide(moderator, "remove", goose, reason="That is a goose.", rule="Ducks only")
    assert (entry["actor"], entry["role"], entry["subject"]) == (moderator.did, "moderator", goose["uri"])
    assert ducks.shown(bob) == [uri for uri in before if uri != goose["uri"]]
    claims = claims_of(site.door.last(f"{NSID}decide").token or "")
    assert (claims["iss"], claims["aud"], claims["lxm"]) == (moderator.did, site.did, f"{NSID}decide")

    told = ducks.ask(alice, "explain", post=goose["uri"])
    assert told["state"] == "removed" and told["evidences"] == ["hashtag:ducks"]
    assert told["decision"]["reason"] == "That is a goose." and "actor" not in told["decision"]
    assert ducks.ask(moderator, "explain", post=goose["uri"])["decision"]["actor"] == moderator.did
    with pytest.raises(XrpcFailure) as caught:
        ducks.ask(bob, "explain", post=goose["uri"])
    assert (caught.value.status, caught.value.name) == (403, "NotPermitted")

    ducks.decide(moderator, "restore", goose)
    assert ducks.shown(bob) == before
    assert ducks.ask(alice, "explain", post=goose["uri"])["state"] == "admitted"


def test_nobody_else_decides(site: Site, ducks: Community) -> None:
    alice, bob = site.person("alice"), site.person("bob")
    post = alice.post("mine", "ducks")
    site.caught_up()
    subject = {"$type": "com.atproto.repo.strongRef"} | post
    for who in (alice, bob):
        assert refused(who, ducks, "decide", action="remove", subject=subject) == "NotPermitted"
    assert post["uri"] in ducks.shown(bob)


def test_a_role_counts_until_its_record_is_deleted(site: Site, ducks: Community) -> None:
    alice, helper = site.person("alice"), site.person("hank")
    role = ducks.moderator(helper)
    post = alice.post("look at this", "ducks")
    site.caught_up()
    assert "remove" in ducks.ask(helper, "getViewer")["decides"]
    ducks.decide(helper, "pin", post)
    assert ducks.shown(site.person("bob"))[0] == post["uri"]
    ducks.founder.delete(role["uri"])
    site.caught_up()
    assert ducks.ask(helper, "getViewer")["decides"] == []
    subject = {"$type": "com.atproto.repo.strongRef"} | post
    assert refused(helper, ducks, "decide", action="unpin", subject=subject) == "NotPermitted"


def test_a_ban_hides_its_account_here_and_its_end_shows_it_again(
    site: Site, ducks: Community, moderator: Person
) -> None:
    frank, bob = site.person("frank"), site.person("bob")
    geese = found(site, "geese")
    for community in (ducks, geese):
        community.join(frank)
    post = frank.post("both", "ducks", "geese")["uri"]
    site.caught_up()
    assert post in ducks.shown(bob) and post in geese.shown(bob)
    members = ducks.ask(bob, "getCommunity")["memberCount"]

    answer = ducks.decide_account(moderator, "ban", frank, reason="Quacks at night.")
    assert answer["member"]["status"] == "banned"
    during = frank.post("while banned", "ducks", "geese")["uri"]
    site.caught_up()
    assert not {post, during} & set(ducks.shown(bob)) and {post, during} <= set(geese.shown(bob))
    assert ducks.ask(frank, "getMembership")["membership"]["status"] == "banned"
    assert refused(frank, ducks, "join") == "Banned"
    # Bans stay private: who looks on sees a decision, and not about whom.
    assert ducks.ask(bob, "getCommunity")["memberCount"] == members - 1
    assert frank.did not in {one["did"] for one in ducks.ask(bob, "listMembers")["members"]}
    ban = ducks.ask(bob, "getDecisions", limit=1)["decisions"][0]
    assert ban["action"] == "ban" and frank.did not in json.dumps(ban)

    assert ducks.decide_account(moderator, "unban", frank)["member"]["status"] == "member"
    again = frank.post("I shall be quiet", "ducks")["uri"]
    site.caught_up()
    assert {post, again} <= set(ducks.shown(bob))


def test_joining_and_leaving_by_calls_and_by_a_record(site: Site, ducks: Community) -> None:
    grace, bob = site.person("grace"), site.person("bob")
    before = ducks.ask(grace, "getViewer")
    assert (before["joinsAs"], before["post"], before["decides"]) == ("member", "refused", [])
    viewer = ducks.act(grace, "join", volume=4)["viewer"]
    assert (viewer["membership"]["status"], viewer["volume"], viewer["post"]) == ("member", 4, "admitted")
    post = grace.post("here I am", "ducks")["uri"]
    site.caught_up()
    assert post in ducks.shown(bob)
    assert ducks.ask(bob, "getCommunity")["uri"] == ducks.uri
    assert "membership" not in ducks.act(grace, "leave")["viewer"]
    late = grace.post("I left", "ducks")["uri"]
    site.caught_up()
    assert late not in ducks.shown(bob)

    (record,) = ducks.join(grace)
    left = ducks.act(grace, "leave")
    assert left["record"] == record["uri"] and "membership" not in left["viewer"]
    grace.delete(left["record"])
    site.caught_up()
    assert "membership" not in ducks.ask(grace, "getViewer")


def test_what_get_decisions_answers_verifies(site: Site, ducks: Community, moderator: Person, tmp_path: Path) -> None:
    alice = site.person("alice")
    post = alice.post("to be decided about", "ducks")
    site.caught_up()
    for action in ("remove", "restore", "remove"):
        ducks.decide(moderator, action, post, reason="Let us see.")
    heads = set()
    for who in (alice, moderator):
        entries: list[dict[str, object]] = []
        cursor: dict[str, str] = {}
        while True:
            page = ducks.ask(who, "getDecisions", limit=2, **cursor)
            entries += page["decisions"]
            if "cursor" not in page:
                break
            cursor = {"cursor": page["cursor"]}
        file = tmp_path / "log.jsonl"
        file.write_text("".join(f"{json.dumps(entry)}\n" for entry in reversed(entries)), encoding="utf-8")
        said = site.service.command_line("log", "verify", "--file", str(file), "--json")
        (verdict,) = json.loads(said.stdout)
        assert said.returncode == 0 and verdict["good"] and verdict["decisions"] == len(entries) >= 3, verdict
        heads.add(verdict["head"])
    assert len(heads) == 1
    # The public log at the service itself, and without an account.
    public = xrpc(site.service.url, f"{NSID}getDecisions", {"community": "ducks", "limit": 1})
    assert f"{public['decisions'][0]['seq']}:{public['decisions'][0]['hash']}" in heads
    assert "reason" not in public["decisions"][0]
