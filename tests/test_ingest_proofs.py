"""Whose commits are believed: signatures, keys that change, and the chain of those who matter (A60-A69, S85-S90)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.ingest_site import uris
from tests.trust_site import TrustSite
from tests.world import Account, Write, frames
from tests.world.faults import Script
from tests.world.keys import make_key

POST, ITEM = "app.bsky.feed.post", "app.bsky.graph.listitem"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[TrustSite]:
    async with TrustSite(tmp_path) as site:
        yield site


def stranger_says(account: Account, text: str, **wrong: Any) -> tuple[int, str]:
    """A commit with a post, sent as `wrong` has it; its seq and the post's URI."""
    rkey = account._clock.tid()
    value = {"$type": POST, "text": text, "tags": ["python"], "createdAt": account._clock.iso()}
    payload = account.commit(Write("create", f"{POST}/{rkey}", value), **wrong)
    return account._relay.send("#commit", payload), f"at://{account.did}/{POST}/{rkey}"


async def test_what_members_and_strangers_sign_is_shown(site: TrustSite) -> None:
    alice, carol = site.people("alice", "carol")
    posts = [alice.post("#python"), carol.post("#python"), site.world.account("p", "p256").post("#python")]
    await site.synced(alice)
    assert await site.feed() == uris(*reversed(posts))
    assert await site.feed("club") == [posts[0].uri]
    assert site.dropped == {}


@pytest.mark.parametrize("name", ["alice", "carol"])
async def test_s87_a_commit_that_somebody_else_signed_is_not_believed(site: TrustSite, name: str) -> None:
    (account,) = site.people(name)
    good = account.post("good #python")
    await site.caught_up()
    seq, _ = stranger_says(account, "bad", sign=make_key("k256", "somebody else").sign)
    await site.caught_up(seq)
    assert await site.feed() == [good.uri]
    assert sum(site.dropped.values()) == 1, site.dropped


async def test_s87_a_list_item_that_its_owner_did_not_sign_makes_nobody_a_member(site: TrustSite) -> None:
    """The rules believe an item before it is proven, so that a member's next post counts: no longer than that."""
    owner, bob, mallory = site.people("owner", "bob", "mallory")
    list_ = owner.list_("ours")
    await site.declare(f'[[community]]\nslug = "ours"\nname = "Ours"\ninclude.lists = ["{list_.uri}"]\n')
    await site.until("followed", lambda: site.state(owner) == "synced")
    owner.listitem(list_, bob)
    await site.caught_up()
    stale = "SELECT 1 FROM meta WHERE key = 'lists_changed' UNION ALL SELECT 1 FROM reapply"
    await site.until("compiled", lambda: not site.rows(stale))
    value = {"$type": ITEM, "list": list_.uri, "subject": mallory.did, "createdAt": owner._clock.iso()}
    write = Write("create", f"{ITEM}/{owner._clock.tid()}", value)
    forged = owner.commit(write, sign=make_key("k256", "somebody else").sign)
    owner._relay.send("#commit", forged)
    mallory.post("I am one of you")
    his = bob.post("so am I")
    await site.caught_up()
    await site.until("not believed", lambda: mallory.did not in site.ingest.scope.matcher.authors)
    await site.settled()
    mallory.post("am I not?")
    await site.caught_up()
    assert await site.feed("ours") == [his.uri]


async def test_s87_a_list_item_that_is_dropped_before_it_is_proven_makes_nobody_a_member(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, mallory = site.people("owner", "mallory")
    list_ = owner.list_("ours")
    await site.declare(f'[[community]]\nslug = "ours"\nname = "Ours"\ninclude.lists = ["{list_.uri}"]\n')
    await site.until("followed", lambda: site.state(owner) == "synced")
    assert site.proofs is not None
    monkeypatch.setattr(site.proofs, "judge", lambda *_: None)
    value = {"$type": ITEM, "list": list_.uri, "subject": mallory.did, "createdAt": owner._clock.iso()}
    payload = owner.commit(Write("create", f"{ITEM}/{owner._clock.tid()}", value))
    seq = owner._relay.send("#commit", payload)
    await site.until("waits", lambda: site.ingest.pipeline.received >= seq)
    assert mallory.did in site.ingest.scope.matcher.authors
    site.ingest.pipeline.restore()  # as when another source is turned to
    await site.until("not believed", lambda: mallory.did not in site.ingest.scope.matcher.authors)


async def test_s87_a_key_that_was_just_changed_is_looked_up_once_more(site: TrustSite) -> None:
    (carol,) = site.people("carol")
    first = carol.post("#python")
    await site.caught_up()
    before = site.world.plc.calls[carol.did]
    # The directory knows the new key, but nothing on the stream has said so yet.
    carol.key = carol.repo.key = make_key("p256", "new")
    second = carol.post("#python")
    await site.caught_up()
    assert await site.feed() == uris(second, first)
    assert site.world.plc.calls[carol.did] == before + 1 and site.dropped == {}


async def test_a45_an_identity_event_has_the_document_looked_up_anew(site: TrustSite) -> None:
    (carol,) = site.people("carol")
    first = carol.post("#python")
    await site.caught_up()
    carol.rotate_key("p256")
    second = carol.post("#python")
    await site.caught_up()
    assert await site.feed() == uris(second, first) and site.dropped == {}


async def test_s90_a_record_that_is_not_in_the_signed_tree_is_not_believed(site: TrustSite) -> None:
    """The relay puts another record into a commit that the account has signed; its hash is right."""
    (carol,) = site.people("carol")
    await site.caught_up()
    value = {"$type": POST, "text": "mine", "tags": ["python"], "createdAt": carol._clock.iso()}
    other = {**value, "text": "never said"}
    rkey = carol._clock.tid()
    forger = Account("forger", "f", "k256", clock=carol._clock, relay=carol._relay, handles={})
    forged = forger.commit(Write("create", f"{POST}/{rkey}", other))
    payload = carol.commit(Write("create", f"{POST}/{rkey}", value))
    payload["ops"][0]["cid"] = forged["ops"][0]["cid"]
    payload["blocks"] += forged["blocks"][59:]
    seq = carol._relay.send("#commit", payload)
    await site.caught_up(seq)
    assert await site.feed() == []
    assert sum(site.dropped.values()) == 1, site.dropped


async def test_a67_a_commit_of_a_member_that_was_lost_has_the_repository_read(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    kept = alice.post("kept #python")
    gone = alice.post("gone #python")
    await site.synced(alice)
    lose = Script(edits={1: lambda frame: (), 2: lambda frame: ()})
    site.world.relay.faults.add(lose)
    await site.world.relay.drop()
    alice.delete(gone)
    missed = alice.post("missed #python")
    last = alice.post("last #python")
    await site.synced(alice)
    assert await site.feed() == uris(last, missed, kept)
    assert site.count("chain broken") == 1


async def test_the_chain_of_a_member_goes_on_over_what_does_not_concern_the_index(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    read = site.count("repository read")
    for number in range(30):
        alice.follow(f"did:plc:{number:024d}".replace("0", "a").replace("1", "b"))
        alice.profile(f"Alice {number}")
    await site.synced(alice)
    assert site.count("repository read") == read and site.count("chain broken") == 0


async def test_a50_an_empty_commit_takes_the_chain_further(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    read = site.count("repository read")
    alice.write()
    post = alice.post("#python")
    await site.synced(alice)
    assert await site.feed("club") == [post.uri] and site.count("repository read") == read


async def test_a68_a_commit_without_prev_data_is_taken_by_its_since(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    read = site.count("repository read")
    rkey = alice._clock.tid()
    value = {"$type": POST, "text": "old style", "createdAt": alice._clock.iso()}
    payload = alice.commit(Write("create", f"{POST}/{rkey}", value))
    del payload["prevData"]
    alice._relay.send("#commit", payload)
    last = alice.post("new style")
    await site.synced(alice)
    assert await site.feed("club") == [last.uri, f"at://{alice.did}/{POST}/{rkey}"]
    assert site.count("repository read") == read
    assert site.count("commit without prevData") == 1


@pytest.mark.parametrize("flag", ["tooBig", "rebase"])
async def test_a50_a_member_whose_commit_is_of_a_removed_kind_is_read_anew(site: TrustSite, flag: str) -> None:
    """Its operations are not believed, whatever they say."""
    (alice,) = site.people("alice")
    gone = alice.post("gone #python")
    await site.synced(alice)
    value = {"$type": POST, "text": "all of it", "tags": ["python"], "createdAt": alice._clock.iso()}
    came = Write("create", f"{POST}/{alice._clock.tid()}", value)
    payload = alice.commit(came, Write("delete", gone.path))
    alice._relay.send("#commit", payload | {flag: True, "ops": []})
    await site.synced(alice)
    assert await site.feed() == [f"at://{alice.did}/{came.path}"]
    assert site.dropped["commit of a removed kind (tooBig, rebase)"] >= 1


async def test_a69_s89_a_member_whose_operations_lead_elsewhere_is_read_anew(site: TrustSite) -> None:
    """The chain goes on and the signature is good, but one of the operations was left out."""
    (alice,) = site.people("alice")
    gone = alice.post("gone #python")
    await site.synced(alice)
    value = {"$type": POST, "text": "came", "tags": ["python"], "createdAt": alice._clock.iso()}
    came = Write("create", f"{POST}/{alice._clock.tid()}", value)
    payload = alice.commit(came, Write("delete", gone.path))
    ops = [op for op in payload["ops"] if op["action"] == "create"]
    assert len(ops) == 1
    alice._relay.send("#commit", payload | {"ops": ops})
    await site.synced(alice)
    assert await site.feed() == [f"at://{alice.did}/{came.path}"]


async def test_a45_what_was_signed_before_the_key_was_changed_is_read_with_its_repository(site: TrustSite) -> None:
    """The stream brings it with the news of the other key behind it, and no document has the key of before."""
    (carol,) = site.people("carol")
    post = carol.post("the last one with this key #python")
    carol.rotate_key()
    carol.follow(carol)  # signed with the new one, as an export is then
    await site.caught_up()
    await site.until("the post", lambda: site.counts(post))
    assert site.dropped == {"signature is not the account's": 1}
    assert await site.feed() == [post.uri]


async def test_rules_that_change_hold_for_what_waits_too(site: TrustSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read under those of before; and what is said of it meanwhile counts."""
    carol, dave = site.people("carol", "dave")
    await site.caught_up()
    with monkeypatch.context() as nobody_answers:
        nobody_answers.setattr(site.proofs, "judge", lambda *_: None)
        post = carol.post("#python #rust")
        await site.until("waits", lambda: site.ingest.pipeline.received >= post.seq)
        await site.declare(site.rules.read_text().replace('"python"]', '"snakes"]'))
        seq = dave.like(post).seq
        await site.until("waits", lambda: site.ingest.pipeline.received >= seq)
        assert site.counts(post) is None
    await site.caught_up()
    await site.settled()
    assert await site.feeds("python", "rust") == {"python": set(), "rust": {post.uri}}
    assert site.counts(post) == (1, 0, 0, 0)


async def test_a69_a_bad_signature_has_nothing_read(site: TrustSite) -> None:
    """Anybody could make this service busy at an account's host otherwise."""
    (alice,) = site.people("alice")
    await site.synced(alice)
    before = [site.count(what) for what in ("repositories read", "account desynchronized")]
    payload = alice.commit(sign=make_key("k256", "somebody else").sign)
    await site.caught_up(alice._relay.send("#commit", payload))
    assert site.state(alice) == "synced"
    assert [site.count(what) for what in ("repositories read", "account desynchronized")] == before


async def test_a51_sync_with_another_tree_has_the_repository_read(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    first = alice.post("one")
    await site.synced(alice)
    second = Write("create", f"{POST}/{alice._clock.tid()}", {**first.value, "text": "two"})
    alice.commit(second)  # never sent
    alice.sync()
    await site.synced(alice)
    assert await site.feed("club") == [f"at://{alice.did}/{second.path}", first.uri]


async def test_events_keep_their_order_while_a_key_is_looked_up(site: TrustSite) -> None:
    """A like of a post whose author is looked up waits behind it."""
    carol, dora = site.people("carol", "dora")
    await site.caught_up()
    site.resolver.forget(carol.did)
    post = carol.post("#python")
    dora.like(post)
    dora.reply(post, "yes")
    await site.caught_up()
    assert site.counts(post) == (1, 0, 1, 0)


async def test_a_directory_that_is_down_holds_nothing_for_ever(
    site: TrustSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firehose.proofs.TRIES", 2)
    carol, alice = site.people("carol", "alice")
    await site.synced(alice)
    site.world.plc.failing = 503
    lost = carol.post("#python")
    await site.caught_up(lost.seq)
    assert await site.feed() == [] and site.dropped == {"key not to be had": 1}
    site.world.plc.failing = None
    await site.until("read later", lambda: site.counts(lost))
    assert await site.feed() == [lost.uri]


async def test_too_much_that_waits_stops_the_reading_and_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firehose.batch.BATCH_EVENTS", 4)
    monkeypatch.setattr("firehose.batch.MOST_WAITING", 8)
    monkeypatch.setattr("firehose.watches.LONGEST_HOLD", 0.1)
    async with TrustSite(tmp_path) as site:
        answer, asked = asyncio.Event(), asyncio.Event()
        resolve = site.resolver.resolve

        async def slow(did: str, **how: Any) -> Any:
            asked.set()
            await answer.wait()
            return await resolve(did, **how)

        monkeypatch.setattr(site.resolver, "resolve", slow)
        people = site.people(*(f"person{number}" for number in range(40)))
        posts = [person.post("#python") for person in people]
        await asked.wait()
        await site.until("left", lambda: site.closes.get("too much waits"))
        answer.set()
        await site.caught_up()
        assert await site.feed() == uris(*reversed(posts))


async def test_without_verification_nobody_is_looked_up(tmp_path: Path) -> None:
    async with TrustSite(tmp_path, verify="none") as site:
        (alice,) = site.people("alice")
        post = alice.post("#python")
        await site.caught_up()
        assert await site.feed() == [post.uri] and not site.world.plc.calls and site.state(alice) is None


async def test_all_asks_likes_for_their_signature_too(tmp_path: Path) -> None:
    async with TrustSite(tmp_path, verify="all") as site:
        carol, dora = site.people("carol", "dora")
        post = carol.post("#python")
        dora.like(post)
        await site.caught_up()
        assert site.counts(post) == (1, 0, 0, 0) and site.world.plc.calls[dora.did] == 1
        like = {"$type": "app.bsky.feed.like", "subject": post.ref, "createdAt": dora._clock.iso()}
        erin = site.world.account("erin")
        write = Write("create", f"app.bsky.feed.like/{erin._clock.tid()}", like)
        erin._relay.send("#commit", erin.commit(write, sign=make_key("k256", "x").sign))
        await site.caught_up()
        assert site.counts(post) == (1, 0, 0, 0) and sum(site.dropped.values()) == 1


async def test_garbage_in_the_name_of_a_member_stops_nothing(site: TrustSite) -> None:
    (alice,) = site.people("alice")
    await site.synced(alice)
    whole = alice.commit()
    for change in ({"blocks": b""}, {"blocks": b"\x00" * 100}, {"commit": None}, {"since": 7}, {"prevData": "x"}):
        site.world.relay.emit(
            frames.message("#commit", whole | {"seq": site.world.relay.head + 1, "time": ""} | change), did=alice.did
        )
    post = alice.post("still here")
    await site.synced(alice)
    assert await site.feed("club") == [post.uri]
