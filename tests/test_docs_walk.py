"""The examples of docs/FOUNDERS.md, MEMBERS.md and MODERATING.md, done as they stand there, one after the other: on the
simulated network's PDS, through its relay and the real ingest, and at the real web app.
"""

import io
import json
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from communities.community import Community
from communities.declaration import parse_declaration
from communities.records import COMMUNITY, MEMBERSHIP, SUBMISSION, CommunityRecord, read_said
from lexicons.catalog import documents
from service.cli import main
from tests.doc_calls import Call, blocks, calls, fill
from tests.town_site import TownSite
from tests.world import Account
from xrpc.lexicon import Catalog

SERVICE = "did:web:feeds.example.com"
OLGA = "did:plc:u67flkjuxwlzuwprxwie4kdl"
ALICE = "did:plc:v5pyzk3xbxzqo2ucmx4tbzfm"
NINA = "did:plc:bhr3a5wapvxvgjuzmxxu7v5e"
BIRDS, PASSED_TO, PASSED_FROM = blocks("FOUNDERS.md", "json")


@dataclass
class Reader:
    """Somebody who follows a page. `filled`: what stands for each `$NAME`."""

    site: TownSite
    account: Account
    people: dict[str, Account]
    filled: dict[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        """A text of the page with the accounts of this network, and what the reader fills in."""
        for did, account in self.people.items():
            text = text.replace(did, account.did)
        return fill(text, self.filled)

    async def do(self, call: Call, status: int = 200) -> Any:
        """Make a call, and give back the answer. What a PDS would send on is sent on as one does."""
        session, feeds = await self.site.door()
        proxied = call.headers.get("atproto-proxy")
        headers = {"Content-Type": "application/json"}
        if proxied is not None:
            assert self.text(proxied) == f"{SERVICE}#communities" and call.host == "$PDS"
            headers["Authorization"] = f"Bearer {self.account.service_jwt(self.text(proxied), call.method)}"
        elif "authorization" in call.headers:
            headers["Authorization"] = self.text(call.headers["authorization"])
        host = feeds if proxied is not None or call.host == "$FEEDS" else self.site.world.pds_url
        params = {name: self.text(value) for name, value in call.params.items()}
        data = None if call.body is None else self.text(call.body).encode()
        verb = "GET" if data is None else "POST"
        url = f"{host}/xrpc/{call.method}"
        async with session.request(verb, url, params=params, data=data, headers=headers) as answer:
            body = await answer.json()
        assert answer.status == status, (call, body)
        if "uri" in body:
            self.filled |= {"KEY": body["uri"].rpartition("/")[2]}
        return body

    async def sign_in(self, page: str, heading: str) -> None:
        """createSession, with the own name and password in the place of the example's."""
        (call,) = (call for call in calls(page, heading) if call.method.endswith("createSession"))
        assert call.body is not None
        assert json.loads(call.body).keys() == {"identifier", "password"}
        own = json.dumps({"identifier": self.account.handle, "password": self.account.password})
        session = await self.do(Call(call.host, call.method, {}, {}, own))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.filled |= {"DID": session["did"], "TOKEN": session["accessJwt"], "NOW": now}
        self.filled |= {"SERVICE": f"{SERVICE}#communities"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TownSite]:
    async with TownSite(tmp_path) as site:
        yield site


@dataclass
class Scene:
    """The founder, a member, whom the community passes to."""

    site: TownSite
    olga: Reader
    alice: Reader
    nina: Reader

    async def found(self) -> None:
        """Follow FOUNDERS.md as far as there is a community."""
        await self.olga.sign_in("FOUNDERS.md", "Signing in")
        write, self.look, self.ask = calls("FOUNDERS.md", "Founding", birds_json=self.olga.text(BIRDS))
        await self.olga.do(write)
        await self.until_there("birds", self.olga)

    async def until_there(self, slug: str, owner: Reader) -> None:
        uri = f"at://{owner.account.did}/{COMMUNITY}/{slug}"
        directory = self.site.ingest.index.admissions
        await self.site.until(slug, lambda: directory.directory.find(uri))
        await self.site.quiet()


@pytest.fixture
def scene(site: TownSite) -> Scene:
    olga, alice, nina = site.people("olga", "alice", "nina")
    people = {OLGA: olga, ALICE: alice, NINA: nina}
    return Scene(site, *(Reader(site, one, people) for one in (olga, alice, nina)))


async def test_founders(scene: Scene) -> None:
    site, olga, alice = scene.site, scene.olga, scene.alice
    await scene.found()
    view = await olga.do(scene.look)
    assert (view["slug"], view["owner"], view["posting"]) == ("birds", olga.account.did, "members")
    assert view["joinBy"] == ["record", "xrpc", "tag", "follow"] and len(view["rules"]) == 2

    role, by_call = calls("FOUNDERS.md", "People who help")
    await olga.do(role)
    site.join(alice.account, olga.account.read(f"{COMMUNITY}/birds"))
    await site.quiet()
    assert site.membership("birds", alice.account) == ("member", 2, "record")
    decided = await olga.do(by_call)
    assert decided["member"]["role"] == "moderator" and decided["member"]["scope"] == ["posts", "members"]

    child, listed = calls("FOUNDERS.md", "Communities within communities")
    await olga.do(child)
    await scene.until_there("owls", olga)
    assert [one["slug"] for one in (await olga.do(listed))["communities"]] == ["owls"]

    *generators, skeleton = calls("FOUNDERS.md", "Feeds")
    named = {one["uri"]: one["sort"] for one in view["feeds"]}
    published = []
    for call in generators:
        uri = (await olga.do(call))["uri"]
        record = call.json(**olga.filled)["record"]
        published.append(named[uri])
        assert record["did"] == SERVICE and len(record["displayName"]) <= 24
        assert record.get("contentMode", "").endswith("contentModeVideo") == (named[uri] == "video")
    assert published == ["newest", "hot", "video"]
    post = alice.account.post("#birds")
    owl = alice.account.post("#owls")
    await site.quiet()
    assert {item["post"] for item in (await olga.do(skeleton))["feed"]} == {post.uri, owl.uri}

    (end,) = calls("FOUNDERS.md", "Pausing and ending")
    await olga.do(end)
    await site.quiet()
    assert (await olga.do(listed))["communities"] == []
    assert {item["post"] for item in (await olga.do(skeleton))["feed"]} >= {post.uri}


async def test_what_a_founder_pauses_and_archives(scene: Scene) -> None:
    site, olga, alice = scene.site, scene.olga, scene.alice
    await scene.found()
    birds = olga.account.read(f"{COMMUNITY}/birds")
    site.join(alice.account, birds)
    await site.quiet()
    olga.account.update(birds, {"state": "paused"})
    await site.quiet()
    alice.account.post("#birds, too late")
    site.join(scene.nina.account, birds)
    await site.quiet()
    assert site.items("birds") == {} and site.membership("birds", scene.nina.account) is not None
    olga.account.update(birds, {"state": "archived"})
    await site.quiet()
    (bob,) = site.people("bob")
    site.join(bob, birds)
    await site.quiet()
    assert site.faults(bob) == ["Archived"]


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [({"name": ""}, "InvalidRecord"), ({"type": "private"}, "TypeChanged"), ({"posting": 7}, "InvalidRecord")],
)
async def test_a_faulty_change_ends_no_community_and_its_owner_is_told(
    scene: Scene, wrong: dict[str, Any], fault: str
) -> None:
    site, olga, alice = scene.site, scene.olga, scene.alice
    await scene.found()
    birds = olga.account.read(f"{COMMUNITY}/birds")
    site.join(alice.account, birds)
    post = alice.account.post("#birds")
    await site.quiet()
    view = await olga.do(scene.look)
    faulty = olga.account.update(birds, wrong | {"description": "not this"})
    await site.quiet()
    assert await olga.do(scene.look) == view
    (told,) = (await olga.do(scene.ask))["records"]
    assert (told["uri"], told["cid"], told["inEffect"]) == (faulty.uri, faulty.cid, False)
    assert told["fault"]["name"] == fault and "until then the community is as" in told["fault"]["message"]
    more = alice.account.post("#birds")
    await site.quiet()
    assert set(site.items("birds")) == {post.uri, more.uri}
    olga.account.update(faulty, birds.value | {"description": "Mended."})
    await site.quiet()
    assert (await olga.do(scene.look))["description"] == "Mended."
    (told,) = (await olga.do(scene.ask))["records"]
    assert told["inEffect"] and "fault" not in told


async def test_passing_on(scene: Scene) -> None:
    site, olga, nina, alice = scene.site, scene.olga, scene.nina, scene.alice
    await scene.found()
    record = site.join(alice.account, olga.account.read(f"{COMMUNITY}/birds"))
    await site.quiet()
    nina.account.create(COMMUNITY, json.loads(nina.text(PASSED_TO)), "birds")
    old = olga.account.read(f"{COMMUNITY}/birds")
    olga.account.update(old, json.loads(olga.text(PASSED_FROM)))
    await scene.until_there("birds", nina)
    view = await nina.do(Call("$FEEDS", "social.communities.getCommunity", {"community": "birds"}, {}, None))
    assert view["owner"] == nina.account.did and view["memberCount"] == 1
    assert view["description"] == "Birds and the people who watch them."
    post = alice.account.post("#birds")
    await site.quiet()
    assert set(site.items("birds")) == {post.uri}
    # Who joined by a record that names the old one leaves by deleting it.
    alice.account.delete(record)
    await site.quiet()
    assert site.membership("birds", alice.account) is None


def test_the_file_says_the_same_as_the_record() -> None:
    (text,) = blocks("FOUNDERS.md", "toml")
    (declared,) = parse_declaration(text)
    said = read_said(Catalog(documents()), OLGA, COMMUNITY, "birds", json.loads(BIRDS))
    assert isinstance(said, CommunityRecord)
    differs = {
        name
        for name, value in said.community.to_json().items()
        if declared.to_json()[name] != value
    }  # fmt: skip
    assert differs == {"feeds", "accepts_interactions", "join_by"}
    assert {*said.community.join_by} - {*declared.join_by} == {"record"}
    assert Community.from_json(declared.to_json()) == declared


async def test_members(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    site, olga, alice, nina = scene.site, scene.olga, scene.alice, scene.nina
    await scene.found()
    by_size, found, one, members = calls("MEMBERS.md", "Finding")
    assert "birds" in [entry["slug"] for entry in (await alice.do(by_size))["communities"]]
    assert [entry["slug"] for entry in (await alice.do(found))["communities"]] == ["birds"]
    assert (await alice.do(one))["uri"] == f"at://{olga.account.did}/{COMMUNITY}/birds"

    await alice.sign_in("MEMBERS.md", "Signing in")
    by_record, by_call, mine = calls("MEMBERS.md", "Joining")
    assert (await alice.do(mine)) == {}
    await alice.do(by_record)
    await site.quiet()
    assert (await alice.do(mine))["membership"]["status"] == "member"
    assert site.membership("birds", alice.account) == ("member", 1, "record")
    await nina.sign_in("MEMBERS.md", "Signing in")
    assert (await nina.do(by_call))["viewer"]["volume"] == 4
    (bob, carol) = site.people("bob", "carol")
    bob.post("#addbirds")
    carol.follow(olga.account)
    await site.quiet()
    ways = {site.membership("birds", who) for who in (bob, carol)}
    assert ways == {("member", 1, "tag"), ("member", 1, "follow")}
    listed = {entry["did"] for entry in (await alice.do(members))["members"]}
    assert listed == {who.did for who in (olga.account, alice.account, nina.account, bob, carol)}

    plain = alice.account.post("no tag")
    await site.quiet()
    alice.filled |= {"POST": plain.uri, "CID": plain.cid}
    (explain,) = calls("MEMBERS.md", "Why is my post here, or not?")
    (submit,) = calls("MEMBERS.md", "Posting")
    (withdraw,) = calls("MEMBERS.md", "Taking a post out")
    await alice.do(submit)
    await site.quiet()
    assert set(site.items("birds")) == {plain.uri}
    assert (await alice.do(explain))["state"] == "admitted"
    assert withdraw.json(**alice.filled)["collection"] == SUBMISSION
    await alice.do(withdraw)
    await site.quiet()
    assert site.items("birds") == {}
    assert (await alice.do(explain))["state"] in ("withdrawn", "refused")

    # What a moderator decides, by the page for moderators.
    bad = alice.account.post("#birds, planes")
    await site.quiet()
    await olga.sign_in("MODERATING.md", "Calling it")
    olga.filled |= {"POST": bad.uri}
    (decide,) = (call for call in calls("MODERATING.md", "Calling it") if call.method.endswith("decide"))
    assert decide.body is not None
    seen = Call(decide.host, decide.method, {}, decide.headers, decide.body.replace("bafyrei...", bad.cid))
    assert (await olga.do(seen))["decision"]["action"] == "remove"
    (why,) = calls("MODERATING.md", "Why is this post here, or not?")
    assert (await olga.do(why))["state"] == "removed"
    (decisions,) = calls("MODERATING.md", "What was decided")
    assert [one["rule"] for one in (await olga.do(decisions))["decisions"]] == ["Birds only"]

    # What its author is told, and says against it; whoever decided is refused, another moderator grants.
    about_me, appeal = calls("MEMBERS.md", "What was decided about me?")
    alice.filled |= {"POST": bad.uri, "CID": bad.cid}
    (told,) = (await alice.do(about_me))["decisions"]
    assert (told["subject"], told["rule"], told["appeal"]["audience"]) == (
        bad.uri,
        "Birds only",
        alice.filled["SERVICE"],
    )
    assert told["appeal"]["method"] == appeal.method
    assert appeal.json(**alice.filled)["reasonType"] == told["appeal"]["reasonType"]
    await alice.do(appeal)
    (told,) = (await alice.do(about_me))["decisions"]
    assert told["appeal"]["state"] == "open"
    (resolve,) = calls("MODERATING.md", "Appeals")
    assert (await olga.do(resolve, 403))["error"] == "NotPermitted"
    helps = json.dumps({"community": "birds", "subject": nina.account.did, "role": "moderator"})
    await olga.do(Call("$PDS", "social.communities.setRole", {}, resolve.headers, helps))
    nina.filled |= {"POST": bad.uri}
    assert (await nina.do(resolve))["appeals"][0]["state"] == "granted"
    assert (await alice.do(about_me))["decisions"] == []
    (became,) = calls("MEMBERS.md", "What became of my reports?")
    assert [one["outcome"] for one in (await alice.do(became))["reports"][0]["places"]] == ["granted"]
    (in_numbers,) = calls("MEMBERS.md", "How is a community moderated?")
    assert (await alice.do(in_numbers))["community"] == "birds"

    # The log, by anybody.
    (script,) = blocks("MEMBERS.md", "python")
    session, feeds = await site.door()
    answers = {}

    async def ask(url: str) -> None:
        async with session.get(url.replace("https://feeds.example.com", feeds)) as answer:
            answers[url] = await answer.read()

    await ask("https://feeds.example.com/xrpc/social.communities.getDecisions?community=birds&limit=100")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(urllib.request, "urlopen", lambda url: io.BytesIO(answers[url]))
    exec(script, {})
    assert main(["log", "verify", "--file", "birds.jsonl"]) == 0
    assert "birds: good, 3 decisions, head 3:" in capsys.readouterr().out

    leave, listing, delete = calls("MEMBERS.md", "Leaving")
    (ask,) = calls("MEMBERS.md", "Does my record count?")
    (told,) = (await alice.do(ask))["records"]
    assert told["inEffect"] and told["collection"] == MEMBERSHIP
    left = await alice.do(leave)
    (told,) = (await alice.do(ask))["records"]
    assert (told["inEffect"], told["fault"]["name"]) == (False, "Left")
    (kept,) = (await alice.do(listing))["records"]
    assert left["record"] == kept["uri"] and "membership" not in left["viewer"]
    alice.filled |= {"KEY": kept["uri"].rpartition("/")[2]}
    await alice.do(delete)
    assert (await alice.do(listing))["records"] == []
    bob.post("#removebirds")
    await site.quiet()
    assert site.membership("birds", bob) is None
    assert not any(path.startswith(MEMBERSHIP) for path in alice.account.repo.records)
