"""`communities explain` of posts that are not indexed: they are fetched from their author's PDS and held against the
rules and decisions, as ingest would. For indexed ones see test_civic_explain.py.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from communities.access import Action
from communities.post_decisions import PostDecision, decide_post
from communities.refs import read_cid, read_post_uri
from firehose.times import now_micros
from models.database import writing
from service.cli import main
from tests.feed_site import DAY, NOW, iso
from tests.ingest_site import Site
from tests.world import Record

OWNER = "did:plc:ownerownerownerownerowne"
RULES = f'[[community]]\nslug = "python"\nname = "Python"\nowner = "{OWNER}"\ninclude.hashtags = ["python"]\n'
Explain = Callable[[str], Awaitable[dict[str, Any]]]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path, rules=RULES) as site:
        yield site


@pytest.fixture
def explain(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Explain:
    """The command on a post; its answer about the one community, with the note about the post."""
    for name in [name for name in os.environ if name.startswith("COMMUNITIES_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    settings = {
        "data": str(site.path.parent), "plc_url": site.world.plc_url, "appview_url": site.world.pds_url,
        "egress_allow": "127.0.0.1",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(f"COMMUNITIES_{name.upper()}", value)

    async def run(target: str) -> dict[str, Any]:
        code = await asyncio.to_thread(main, ["explain", target, "--json"])
        said = json.loads(capsys.readouterr().out)
        (entry,) = said.pop("communities")
        assert code == (0 if entry["shown"] else 1)
        return said | entry

    return run


def decide(site: Site, action: Action, post: Record) -> None:
    """The owner decides about a post."""
    ref = read_post_uri(post.uri)
    assert ref is not None
    with writing(site.ingest.database) as connection:
        now = now_micros()
        places = site.ingest.in_force.places
        python = places.find("python")
        assert python is not None
        wanted = PostDecision(action, ref, read_cid(post.cid), "as a test")
        decide_post(connection, places, python, OWNER, wanted, now)


async def test_a_post_of_elsewhere_is_fetched(site: Site, explain: Explain) -> None:
    (alice,) = site.people("alice")
    post = alice.post("#rust")
    await site.caught_up()
    said = await explain(post.uri)
    assert (said["indexed"], said["cid"]) == (False, post.cid)
    assert (said["state"], said["why"], said["hidden"]) == ("refused", "nothing selects it", None)
    assert said["note"] == "it is not in the index, which holds only what some community admits"
    assert (await explain(f"https://bsky.app/profile/alice.test/post/{post.rkey}"))["uri"] == post.uri


async def test_a_post_that_was_missed_is_said_to_be(site: Site, explain: Explain) -> None:
    (alice,) = site.people("alice")
    await site.stop()
    post = alice.post("#python", created_at=iso(NOW - 100 * DAY))
    said = await explain(post.uri)
    assert (said["state"], said["matches"]) == ("admitted", ["hashtag:python"])
    assert said["why"] == said["note"] and "it is 100 days old, and posts leave the index after 90" in said["why"]
    assert said["hiddenBy"] == [said["why"]]
    await site.start()
    fresh = alice.post("#python")
    await site.caught_up()
    assert (await explain(fresh.uri))["shown"]


async def test_decisions_about_it_are_known(site: Site, explain: Explain) -> None:
    (alice,) = site.people("alice")
    await site.stop()
    post, tagged = alice.post("nothing of the kind"), alice.post("#nofeed")
    decide(site, Action.APPROVE, post)
    said = await explain(post.uri)
    assert (said["state"], said["decision"]["action"]) == ("admitted", "approve")
    assert said["decision"]["reason"] == "as a test" and said["decision"]["role"] == "owner"
    assert not said["shown"] and said["why"].startswith("it is not in the index")
    decide(site, Action.REMOVE, post)
    said = await explain(post.uri)
    assert (said["state"], said["why"]) == ("removed", "a moderator removed it")
    decide(site, Action.APPROVE, tagged)  # nobody here knows yet what it says
    said = await explain(tagged.uri)
    assert (said["state"], said["why"]) == ("withdrawn", "its author opted out with #nofeed")
    await site.start()


async def test_what_its_host_does_not_have_is_explained_by_the_rows(site: Site, explain: Explain) -> None:
    (alice,) = site.people("alice")
    await site.stop()
    post = alice.post("gone")
    decide(site, Action.APPROVE, post)
    alice.delete(post)
    said = await explain(post.uri)
    assert "has no such post: was it deleted?" in said["note"] and said["state"] == "refused"
    assert said["why"] == "a moderator approved it, and it comes when its author's repository has been read"
    await site.start()
