"""Commits that contradict themselves or whose blocks cannot be trusted (S85, S86, S90, S91): dropped whole with a
reason, or one operation of them, and everything else goes on.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cbrrr import CID, encode_dag_cbor

from tests.bad_commits import POST, Payload, commit_blocks, longer_varint, recar, record_cid
from tests.ingest_site import Site, uris
from tests.world import Account, Write
from tests.world.car import cid_of, varint

Bad = Callable[[Payload], Payload]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with Site(tmp_path) as site:
        yield site


def tagged(site: Site, **more: Any) -> dict[str, Any]:
    return {"$type": POST, "text": "", "tags": ["python"], "createdAt": site.world.clock.iso(), **more}


def matching(site: Site, account: Account, rkey: str = "bad", **more: Any) -> Payload:
    return account.commit(Write("create", f"{POST}/{rkey}", tagged(site, **more)))


async def dropped_whole(site: Site, make: Callable[[Site, Account], Payload], reason: str) -> None:
    """The commit that `make` gives leaves no trace but a count, and what is around it is applied."""
    alice, bob = site.people("alice", "bob")
    first = alice.post("before #python")
    site.world.relay.send("#commit", make(site, alice))
    second, third = bob.post("behind #python"), alice.post("behind, by the same #python")
    await site.caught_up()
    assert await site.feed() == uris(third, second, first)
    assert site.dropped == {reason: 1}
    assert len(site.world.relay.sessions) == 1


def without_record(payload: Payload) -> Payload:
    return recar(payload, lambda blocks: blocks.pop(record_cid(payload)))


def forged_record(payload: Payload) -> Payload:
    return recar(payload, lambda blocks: blocks.update({record_cid(payload): blocks[record_cid(payload)][:-1] + b"x"}))


def other_root(payload: Payload) -> Payload:
    return recar(payload, lambda blocks: None, [record_cid(payload)])


def at_boundary(payload: Payload) -> Payload:
    car = payload["blocks"]
    at = car.rindex(record_cid(payload).cid_bytes)
    return payload | {"blocks": car[: at - 1 if car[at - 1] < 0x80 and car[at - 2] < 0x80 else at - 2]}


CARS: dict[str, tuple[Bad, str]] = {
    "a block that is not what its CID says": (forged_record, "block does not match its hash"),
    "no block for the record": (without_record, "record block missing"),
    "a root that is not the commit": (other_root, "CAR root is not the commit"),
    "no root": (lambda p: recar(p, lambda b: None, []), "CAR has not one root"),
    "two roots": (lambda p: recar(p, lambda b: None, [p["commit"], record_cid(p)]), "CAR has not one root"),
    "the commit twice as root": (lambda p: recar(p, lambda b: None, [p["commit"]] * 2), "CAR has not one root"),
    "cut in the record": (lambda p: p | {"blocks": p["blocks"][:-5]}, "blocks cut short"),
    "cut at the boundary of a block": (at_boundary, "record block missing"),
    "cut in the header": (lambda p: p | {"blocks": p["blocks"][:20]}, "CAR header unreadable"),
    "nothing": (lambda p: p | {"blocks": b""}, "CAR header unreadable"),
    "version 2": (
        lambda p: p | {"blocks": (h := encode_dag_cbor({"version": 2, "roots": [p["commit"]]})) and varint(len(h)) + h},
        "CAR version is not 1",
    ),
    "a header that is a list": (lambda p: p | {"blocks": b"\x02\x81\x01" + p["blocks"]}, "CAR version is not 1"),
    "a header of endless length": (lambda p: p | {"blocks": b"\xff" * 40}, "varint too long"),
    "a length one byte too long": (lambda p: longer_varint(p, 1), "varint not minimal"),
    "a length two bytes too long": (lambda p: longer_varint(p, 2), "varint not minimal"),
    "a length nine bytes too long": (lambda p: longer_varint(p, 9), "varint too long"),
    "blocks above 2,000,000 bytes": (
        lambda p: recar(p, lambda b: b.update({cid_of(bytes(2_000_000)): bytes(2_000_000)})),
        "blocks too large",
    ),
    "blocks that are a text": (lambda p: p | {"blocks": "x"}, "commit malformed"),
    "no blocks": (lambda p: {k: v for k, v in p.items() if k != "blocks"}, "commit malformed"),
    "no commit": (lambda p: p | {"commit": None}, "commit malformed"),
    "a commit that is no CID": (lambda p: p | {"commit": b"x" * 36}, "CAR root is not the commit"),
}


@pytest.mark.parametrize("name", CARS)
async def test_s85_s86_blocks_that_cannot_be_trusted(site: Site, name: str) -> None:
    bad, reason = CARS[name]
    await dropped_whole(site, lambda site, alice: bad(matching(site, alice)), reason)


async def test_s86_a_record_above_one_megabyte(site: Site) -> None:
    await dropped_whole(site, lambda site, alice: matching(site, alice, pad="x" * 1_000_000), "record too large")


@pytest.mark.parametrize("change", [
    {"ops": None}, {"ops": {}}, {"ops": "x"},
    {"ops": [{"action": "delete", "path": f"{POST}/{number}"} for number in range(201)]},
    {"repo": None}, {"repo": 5}, {"repo": "did:plc:short"}, {"repo": "did:plc:" + "A" * 24}, {"repo": "x" * 5000},
    {"rev": None}, {"rev": 5}, {"rev": ""}, {"rev": "3kabc"}, {"rev": "z" * 13}, {"rev": "2" * 5000},
], ids=lambda change: str(change)[:30])  # fmt: skip
async def test_s86_s87_a_payload_of_another_shape(site: Site, change: Payload) -> None:
    await dropped_whole(site, lambda site, alice: matching(site, alice) | change, "commit malformed")


@pytest.mark.parametrize("flag", ["tooBig", "rebase"])
async def test_kinds_of_commits_that_were_removed(site: Site, flag: str) -> None:
    await dropped_whole(
        site, lambda site, alice: matching(site, alice) | {flag: True}, "commit of a removed kind (tooBig, rebase)"
    )


OPS: dict[str, tuple[Callable[[Payload], list[Any]], str]] = {
    "the same path twice": (lambda p: p["ops"] * 2, "op contradicts itself"),
    "made and deleted": (
        lambda p: [*p["ops"], {"action": "delete", "path": p["ops"][0]["path"], "cid": None}],
        "op contradicts itself",
    ),
    "an unknown action": (lambda p: [p["ops"][0] | {"action": "move"}], "op contradicts itself"),
    "an action that is a list": (lambda p: [p["ops"][0] | {"action": ["create"]}], "op contradicts itself"),
    "a delete with a CID": (lambda p: [p["ops"][0] | {"action": "delete"}], "op contradicts itself"),
    "a create without a CID": (lambda p: [p["ops"][0] | {"cid": None}], "op contradicts itself"),
    "an op that contradicts itself elsewhere": (
        lambda p: [*p["ops"], {"action": "?", "path": "app.bsky.graph.follow/x", "cid": None}],
        "op contradicts itself",
    ),
    "a CID that is not in the blocks": (lambda p: [p["ops"][0] | {"cid": cid_of(b"other")}], "record block missing"),
    "a CID of another kind": (
        lambda p: [p["ops"][0] | {"cid": CID.cidv1_raw_sha256_32_from(b"raw")}],
        "op cid malformed",
    ),
    "a CID that is a text": (lambda p: [p["ops"][0] | {"cid": "bafy"}], "op cid malformed"),
    "an op that is no map": (lambda p: [*p["ops"], 5], "op malformed"),
    "no path": (lambda p: [*p["ops"], {"action": "delete", "cid": None}], "op malformed"),
    "a path that is a list": (lambda p: [*p["ops"], {"action": "delete", "path": ["x"], "cid": None}], "op malformed"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPS)
async def test_s90_operations_that_contradict_themselves_or_the_blocks(site: Site, name: str) -> None:
    bad, reason = OPS[name]

    def make(site: Site, alice: Account) -> Payload:
        payload = matching(site, alice)
        return payload | {"ops": bad(payload)}

    await dropped_whole(site, make, reason)


async def test_two_hundred_operations_are_allowed(site: Site) -> None:
    (alice,) = site.people("alice")
    alice.write(*(Write("create", f"{POST}/{number}", tagged(site)) for number in range(200)))
    await site.caught_up()
    assert (site.rows("SELECT count(*) FROM post"), site.dropped) == ([(200,)], {})


BAD_RKEYS = [
    "../x",
    "a/b",
    ".",
    "..",
    "",
    "x" * 513,
    "nul\0",
    "ü",
    "a b",
    "new\nline",
    "x\n",
    "%2e",
    "a?b",
    "a#b",
    "🎉",
]


@pytest.mark.parametrize("rkey", BAD_RKEYS, ids=ascii)
async def test_s91_a_bad_path_is_dropped_alone(site: Site, rkey: str) -> None:
    (alice,) = site.people("alice")
    alice.write(*(Write("create", f"{POST}/{key}", tagged(site)) for key in ("good", rkey, "longest" + "x" * 505)))
    alice.write(Write("create", f"notansid/{rkey}", tagged(site)), Write("create", f"{POST}/last", tagged(site)))
    await site.caught_up()
    prefix = f"at://{alice.did}/{POST}/"
    assert set(await site.feed()) == {prefix + key for key in ("good", "longest" + "x" * 505, "last")}
    assert site.dropped == {"path malformed": 1}


async def test_blocks_in_any_order_twice_and_with_others_between(site: Site) -> None:
    """A62: duplicate and extra blocks are tolerated, in any order, and so is one that names the record's CID."""
    (alice,) = site.people("alice")
    orders: list[Bad] = [
        lambda p: recar(p, lambda b: b.update({cid: b.pop(cid) for cid in list(b)[::-1]})),
        lambda p: recar(p, lambda b: b.update({cid_of(bytes(n)): bytes(n) for n in range(5)})),
        lambda p: p | {"blocks": p["blocks"] + p["blocks"][p["blocks"].index(b"version\x01") + 8 :]},
        lambda p: recar(p, lambda b: b.update({cid_of(n): n for n in [record_cid(p).cid_bytes + b"inside another"]})),
    ]
    for number, change in enumerate(orders):
        site.world.relay.send("#commit", change(matching(site, alice, f"{number}")))
    await site.caught_up()
    assert len(await site.feed()) == len(orders)
    assert site.dropped == {}


async def test_a_large_post_among_small_blocks(site: Site) -> None:
    """Blocks of 16 KiB and more have a length of three bytes."""
    (alice,) = site.people("alice")
    sizes = [100, 127, 128, 16_000, 16_347, 16_348, 16_400, 900_000]
    for size in sizes:
        site.world.relay.send("#commit", matching(site, alice, f"size{size}", pad="x" * size))
    await site.caught_up()
    assert len(await site.feed()) == len(sizes)


async def test_an_empty_commit_and_one_of_nothing_of_ours(site: Site) -> None:
    (alice,) = site.people("alice")
    alice.write()
    site.world.relay.send("#commit", commit_blocks(alice, {"com.example.thing/x": b"\xff not even CBOR"}))
    post = alice.post("#python")
    await site.caught_up()
    assert (await site.feed(), site.dropped) == ([post.uri], {})
