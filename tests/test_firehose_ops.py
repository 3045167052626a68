"""The operations of a commit, from payloads of any shape: never an exception, never more than the limits allow."""

from typing import Any

import libipld
from cbrrr import encode_dag_cbor
from hypothesis import given
from hypothesis import strategies as st

from communities.declaration import parse_declaration
from communities.matching import compile_rules
from firehose.known import Known
from firehose.ops import POST, Commit, Delete, PutEngagement, PutListItem, PutPost, Scope
from firehose.triage import MAX_OPS, read_commit
from tests.bad_commits import JSON_LIKE, commit_blocks
from tests.world import Account, World, Write, frames

RULES = '[[community]]\nslug = "python"\nname = "Python"\ninclude.hashtags = ["python"]\n'
LIST_URI = "at://{did}/app.bsky.graph.list/list"


def scope(*known: str, lists: tuple[str, ...] = ()) -> Scope:
    """Rules for #python; these posts and their authors are known, and so are these lists."""
    dids = [uri[5:].partition("/")[0] for uri in known]
    matcher = compile_rules(enumerate(parse_declaration(RULES)), {})
    owners = frozenset(uri[5:].partition("/")[0] for uri in lists)
    return Scope(Known.of(known, len(known)), Known.of(dids, len(dids)), matcher, frozenset(lists), owners)


def received(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload as it comes out of a frame: CIDs are bytes."""
    parts: Any = libipld.decode_dag_cbor_multi(frames.message("#commit", payload))
    return dict(parts[1])


def read(payload: dict[str, Any], seen: Scope) -> Commit | None:
    return read_commit(received(payload), 1, seen)


def alice() -> Account:
    return World().account("alice")


def post(**more: Any) -> dict[str, Any]:
    return {"$type": POST, "text": "", "createdAt": "2026-01-01T00:00:00Z", **more}


# Any shape

KEYS = ("repo", "rev", "commit", "blocks", "ops", "time", "tooBig", "rebase", "since", "prevData")
OP_KEYS = ("action", "path", "cid", "prev")
PATHS = st.sampled_from(
    [
        f"{POST}/a",
        f"{POST}/../x",
        "app.bsky.feed.like/b",
        "app.bsky.graph.listitem/c",
        "app.bsky.graph.list/d",
        POST,
        "",
    ]
)
OPS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "action": st.sampled_from(["create", "update", "delete", "move"]) | JSON_LIKE,
            "path": PATHS | JSON_LIKE,
            "cid": st.none() | st.binary(min_size=36, max_size=36) | JSON_LIKE,
            "prev": JSON_LIKE,
        },
    )
    | JSON_LIKE,
    max_size=6,
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON_LIKE) | st.fixed_dictionaries({"repo": st.text(), "ops": OPS}))
def test_any_payload_gives_a_commit_or_a_counted_refusal(payload: dict[str, Any]) -> None:
    seen = scope()
    assert read_commit(payload, 1, seen) is None
    assert all(isinstance(reason, str) and len(reason) < 100 for reason in seen.dropped)


@given(st.data())
def test_a_good_commit_with_anything_in_one_place(data: st.DataObject) -> None:
    payload = received(GOOD)
    key = data.draw(st.sampled_from(KEYS))
    if key == "ops" and data.draw(st.booleans()):
        op = data.draw(st.sampled_from(payload["ops"]))
        op[data.draw(st.sampled_from(OP_KEYS))] = data.draw(JSON_LIKE)
    else:
        payload[key] = data.draw(JSON_LIKE)
    seen = scope(f"at://{payload['repo']}/{POST}/old")
    found = read_commit(payload, 1, seen)
    if found is not None:
        assert found.ops and len(found.ops) <= MAX_OPS
        assert all(isinstance(op, PutPost | PutEngagement | Delete) for op in found.ops)


@given(JSON_LIKE)
def test_any_record_is_used_or_passed_over(value: Any) -> None:
    account = alice()
    known = f"at://{account.did}/{POST}/known"
    wanted = LIST_URI.format(did=account.did)
    for collection in (POST, "app.bsky.feed.like", "app.bsky.graph.listitem", "app.bsky.graph.list"):
        for record in (
            value,
            {"$type": collection, "tags": ["python"], "subject": value, "list": value, "text": value},
        ):
            payload = commit_blocks(account, {f"{collection}/x": encode_dag_cbor(record)})
            found = read(payload, scope(known, lists=(wanted,)))
            # The second stands where the first stood, and is no more what may be indexed of it.
            assert found is None or found.ops == [Delete(collection, "x")]


def _good() -> dict[str, Any]:
    account = alice()
    account.post("#python", rkey="old")
    writes = [Write("create", f"{POST}/{rkey}", post(tags=["python"])) for rkey in "abc"]
    return account.commit(*writes, Write("delete", f"{POST}/old"))


GOOD = _good()


# What matters


def test_only_what_can_matter_is_left() -> None:
    account = alice()
    known = f"at://{account.did}/{POST}/known"
    like = {"$type": "app.bsky.feed.like", "createdAt": "2026-01-01T00:00:00Z"}
    payload = account.commit(
        Write("create", f"{POST}/matches", post(tags=["Python"])),
        Write("create", f"{POST}/another", post(tags=["cooking"])),
        Write("create", f"{POST}/answers", post(reply={"parent": {"uri": known}, "root": {"uri": known}})),
        Write("create", "app.bsky.feed.like/this", like | {"subject": {"uri": known}}),
        Write("create", "app.bsky.feed.like/that", like | {"subject": {"uri": known + "x"}}),
        Write("create", "app.bsky.feed.repost/none", {"subject": {"uri": known}}),
        Write("create", "app.bsky.graph.follow/x", {"subject": account.did}),
    )
    seen = scope(known)
    found = read(payload, seen)
    assert found is not None
    assert [(type(op).__name__, op.rkey) for op in found.ops] == [
        ("PutPost", "matches"),
        ("PutPost", "answers"),
        ("PutEngagement", "this"),
    ]
    assert (found.did, found.rev) == (account.did, payload["rev"])
    assert seen.dropped == {"record is not of its collection": 1}


def test_deletions_are_looked_at_for_known_accounts_only() -> None:
    account = alice()
    account.post("x", rkey="x")
    payload = account.commit(Write("delete", f"{POST}/x"))
    assert read(payload, scope()) is None
    found = read(payload, scope(f"at://{account.did}/{POST}/other"))
    assert found is not None and found.ops == [Delete(POST, "x")]


def test_a_list_is_heard_of_from_its_owner_only_and_a_new_name_of_it_takes_nobody_off() -> None:
    account = alice()
    uri = LIST_URI.format(did=account.did)
    item = {"$type": "app.bsky.graph.listitem", "list": uri, "subject": account.did}
    account.create("app.bsky.graph.list", {"name": "before"}, "list")
    changes = [
        Write("update", "app.bsky.graph.list/list", {"$type": "app.bsky.graph.list", "name": "after"}),
        Write("create", "app.bsky.graph.listitem/a", item),
        Write("create", "app.bsky.graph.listitem/b", item | {"list": uri + "x"}),
        Write("create", "app.bsky.graph.listitem/c", item | {"subject": "alice.test"}),
    ]
    payload = account.commit(*changes)
    assert read(payload, scope()) is None
    found = read(payload, scope(f"at://{account.did}/{POST}/known", lists=(uri,)))
    assert found is not None and found.ops == [PutListItem("a", uri, account.did)]
    gone = account.commit(
        Write("update", "app.bsky.graph.listitem/a", item | {"list": uri + "x"}), Write("delete", changes[0].path)
    )
    found = read(gone, scope(lists=(uri,)))
    assert found is not None
    assert found.ops == [Delete("app.bsky.graph.listitem", "a"), Delete("app.bsky.graph.list", "list")]


def test_s86_many_paths_to_one_block_cost_one_reading() -> None:
    account = alice()
    block = post(tags=["python"], text="x" * 200)
    payload = account.commit(*(Write("create", f"{POST}/{number}", block) for number in range(MAX_OPS)))
    found = read(payload, scope())
    assert found is not None
    assert [op.rkey for op in found.ops] == [f"{number}" for number in range(MAX_OPS)]
