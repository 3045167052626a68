"""What moderators look at, by the client library of the Ozone web app, through the real PDS, from the real AppView."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ozone.appview import PASSED_ON
from tests.network.label_town import LabelTown, label_town
from tests.network.netbox import FOLDER, Netbox, node
from tests.network.person import XrpcFailure
from tests.service_process import PATIENCE

pytestmark = pytest.mark.network

PROGRAM = """
import { AtpAgent } from '@atproto/api'
const [service, identifier, password, labeler, author, handle, uri, gone, feed, list] = process.argv.slice(1)
const signedIn = new AtpAgent({ service })
await signedIn.login({ identifier, password })
signedIn.configureLabelers([labeler])
const through = signedIn.withProxy('atproto_labeler', labeler)
const { moderation } = through.tools.ozone
const { actor, feed: feeds, graph } = through.app.bsky
const steps = {
  record: () => moderation.getRecord({ uri }),
  records: () => moderation.getRecords({ uris: [uri, gone] }),
  goneRecord: () => moderation.getRecord({ uri: gone }),
  repo: () => moderation.getRepo({ did: author }),
  repos: () => moderation.getRepos({ dids: [author, 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'] }),
  subjects: () => moderation.getSubjects({ subjects: [author, uri] }),
  exact: () => moderation.searchRepos({ q: handle }),
  found: () => moderation.searchRepos({ q: 'ornithologist' }),
  'actor.getProfile': () => actor.getProfile({ actor: handle }),
  'actor.getProfiles': () => actor.getProfiles({ actors: [author, handle] }),
  'actor.searchActorsTypeahead': () => actor.searchActorsTypeahead({ q: 'Ornith' }),
  'feed.getAuthorFeed': () => feeds.getAuthorFeed({ actor: author }),
  'feed.searchPosts': () => feeds.searchPosts({ q: 'kingfisher' }),
  'feed.getPostThread': () => feeds.getPostThread({ uri }),
  'feed.getFeedGenerator': () => feeds.getFeedGenerator({ feed }),
  'feed.getLikes': () => feeds.getLikes({ uri }),
  'feed.getRepostedBy': () => feeds.getRepostedBy({ uri }),
  'graph.getFollows': () => graph.getFollows({ actor: author }),
  'graph.getFollowers': () => graph.getFollowers({ actor: author }),
  'graph.getList': () => graph.getList({ list }),
  'graph.getLists': () => graph.getLists({ actor: author }),
  'graph.getStarterPack': () => graph.getStarterPack({ starterPack: `at://${author}/app.bsky.graph.starterpack/none` }),
  'graph.getStarterPacks': () => graph.getStarterPacks({ uris: [`at://${author}/app.bsky.graph.starterpack/none`] }),
  'graph.getActorStarterPacks': () => graph.getActorStarterPacks({ actor: author }),
}
const said = {}
for (const [name, step] of Object.entries(steps)) {
  try {
    const { data, headers } = await step()
    said[name] = { data, labelers: headers['atproto-content-labelers'] ?? null }
  } catch (error) {
    said[name] = { error: [error.status, error.error] }
  }
}
console.log(JSON.stringify(said))
"""


@pytest.fixture(scope="module")
def town(box: Netbox, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[LabelTown]:
    """A labeler, and alice among the admins of the service."""
    admins = box.info["accounts"]["alice"]["did"]
    with label_town(box, tmp_path_factory.mktemp("reads"), pytestconfig, "readslike", admins=admins) as town:
        town.declare("spoiler")
        town.set_up()
        yield town


def test_a_moderator_sees_what_there_is_also_of_somebody_who_blocks_them(town: LabelTown) -> None:
    alice, author = town.person("alice"), town.person("ornithologist")
    blob = author.upload(bytes.fromhex("89504e470d0a1a0a"), "image/png")
    author.put("app.bsky.actor.profile", "self", displayName="Ornithologist", description="Looks up.")
    embed = {"$type": "app.bsky.embed.images", "images": [{"image": blob, "alt": "a bird"}]}
    post = author.create("app.bsky.feed.post", text="a kingfisher", embed=embed)
    deleted = author.create("app.bsky.feed.post", text="nothing")["uri"]
    wanted = author.create("app.bsky.graph.list", name="Birds", purpose="app.bsky.graph.defs#curatelist")["uri"]
    author.create("app.bsky.graph.block", subject=alice.did)
    town.person("bob").create("app.bsky.feed.like", subject=post)
    author.delete(deleted)
    town.settle()

    person = alice.with_app_password()
    words = [str(node()), "--input-type=module", "-e", PROGRAM, person.pds, person.handle, person.password]
    feed = f"at://{author.did}/app.bsky.feed.generator/none"
    words += [town.labeler.did, author.did, author.handle, post["uri"], deleted, feed, wanted]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)

    record = said["record"]["data"]
    assert (record["uri"], record["cid"]) == (post["uri"], post["cid"]) and record["value"]["text"] == "a kingfisher"
    assert [one["cid"] for one in record["blobs"]] == [blob["ref"]["$link"]]
    assert record["repo"]["handle"] == author.handle
    assert said["goneRecord"]["error"] == [400, "RecordNotFound"]
    kinds = [one["$type"].partition("#")[2] for one in said["records"]["data"]["records"]]
    assert kinds == ["recordViewDetail", "recordViewNotFound"]
    repo = said["repo"]["data"]
    assert (repo["did"], repo["handle"]) == (author.did, author.handle)
    assert repo["relatedRecords"][0]["displayName"] == "Ornithologist"
    kinds = [one["$type"].partition("#")[2] for one in said["repos"]["data"]["repos"]]
    assert kinds == ["repoViewDetail", "repoViewNotFound"]
    account, subject = said["subjects"]["data"]["subjects"]
    assert account["profile"]["displayName"] == subject["profile"]["displayName"] == "Ornithologist"
    assert subject["record"] == record and account["repo"] == repo
    for search in ("exact", "found"):
        assert [one["did"] for one in said[search]["data"]["repos"]] == [author.did], (search, said[search])

    passed_on = {name: said[name.removeprefix("app.bsky.")] for name in PASSED_ON}
    refused = {name: one["error"] for name, one in passed_on.items() if "error" in one}
    assert refused == {
        "app.bsky.feed.getFeedGenerator": [400, "InvalidRequest"],
        "app.bsky.graph.getStarterPack": [400, "InvalidRequest"],
    }, "which there are not"
    profile = said["actor.getProfile"]
    assert profile["data"]["displayName"] == "Ornithologist" and profile["labelers"] == town.labeler.did
    assert said["feed.getPostThread"]["data"]["thread"]["post"]["record"]["text"] == "a kingfisher"
    assert [one["post"]["uri"] for one in said["feed.getAuthorFeed"]["data"]["feed"]] == [post["uri"]]
    assert [one["actor"]["did"] for one in said["feed.getLikes"]["data"]["likes"]] == [town.person("bob").did]
    assert said["graph.getList"]["data"]["list"]["name"] == "Birds"
    with pytest.raises(XrpcFailure) as blocked:
        alice.ask("app.bsky.feed.getAuthorFeed", actor=author.did)
    assert blocked.value.name == "BlockedByActor", "in her own name she is not shown it"
