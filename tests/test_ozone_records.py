"""tools.ozone.moderation.getRecord(s): which version of a record is shown, from where, and to whom."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from communities.access import Role as Member
from ozone.roles import Role
from ozone.sources import RECORD_SECONDS
from ozone.visit import moment
from tests.didnet import plc
from tests.feed_site import NOW
from tests.label_scene import LABELER, OTHER
from tests.ozone_net import GET, PROFILES, SINCE, Net, answering, cid_of, net, official_lexicons

BLOB: dict[str, Any] = {
    "$type": "blob",
    "ref": {"$link": "bafkreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"},
    "mimeType": "image/png",
    "size": 5,
}
DEFS = "tools.ozone.moderation.defs#"
GONE = (400, "RecordNotFound")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Net]:
    with net(tmp_path_factory.mktemp("records"), official_lexicons(shared_data)) as found:
        yield found


@pytest.fixture
def world(shared: Net) -> Net:
    """A clean one: nothing is kept from other tests."""
    shared.later()
    shared.answers.clear()
    shared.asked.clear()
    return shared


def text(reply: Any) -> Any:
    """The text of the record that an answer shows."""
    assert reply.status == 200, reply.body
    return reply.json["value"]["text"]


def test_a_record_as_its_host_has_it(world: Net) -> None:
    author = world.account(handle="alice.example.com", description="Birds.")
    image = {"$type": "app.bsky.embed.images", "images": [{"image": BLOB, "alt": "x"}]}
    uri = world.post(author, embed=image, more={"$bytes": "/w"})
    cid = cid_of(world.records[uri])
    world.label(uri, "spam")
    world.label(uri, "spoiler", cid=cid)
    world.label(author.did, "spam")
    now = moment(world.place.place.clock.micros())
    assert world.ask("getRecord", uri=uri).json == {
        "uri": uri,
        "cid": cid,
        "value": world.records[uri],
        "blobs": [{"cid": BLOB["ref"]["$link"], "mimeType": "image/png", "size": 5, "createdAt": SINCE}],
        "labels": [
            {"ver": 1, "src": LABELER, "uri": uri, "val": "spam", "cts": now},
            {"ver": 1, "src": LABELER, "uri": uri, "val": "spoiler", "cid": cid, "cts": now},
        ],
        "indexedAt": SINCE,
        "moderation": {},
        "repo": {
            "did": author.did,
            "handle": "alice.example.com",
            "relatedRecords": [{"$type": "app.bsky.actor.profile", "displayName": "Somebody", "description": "Birds."}],
            "indexedAt": SINCE,
            "moderation": {},
        },
    }
    assert world.ask("getRecord", uri=uri, cid=cid).json["cid"] == cid


def test_labels_are_those_of_the_labeler_that_is_asked_and_of_the_version_that_is_shown(world: Net) -> None:
    author = world.account()
    uri = world.post(author)
    world.label(uri, "spam", cid=cid_of({"text": "before"}))
    assert world.ask("getRecord", uri=uri).json["labels"] == []
    world.label(uri, "spoiler")
    assert [label["val"] for label in world.ask("getRecord", uri=uri).json["labels"]] == ["spoiler"]
    other = world.place.member(labeler=OTHER)
    assert world.ask("getRecord", other, aud=OTHER, uri=uri).json["labels"] == []


def test_the_version_that_was_reported_is_the_one_that_is_asked_for(world: Net) -> None:
    author = world.account()
    uri = world.post(author, text="harmless")
    reported = world.evidence(
        uri, {"text": "rude", "createdAt": SINCE, "x": {"$link": cid_of({})}, "b": {"$bytes": "/w"}}
    )
    shown = world.ask("getRecord", uri=uri, cid=reported).json
    assert (shown["cid"], shown["value"]["text"]) == (reported, "rude") and world.calls(GET) == []
    assert shown["value"]["x"] == {"$link": cid_of({})} and shown["value"]["b"] == {"$bytes": "/w"}
    assert text(world.ask("getRecord", uri=uri)) == "harmless"
    assert text(world.ask("getRecord", uri=uri, cid=cid_of(world.records[uri]))) == "harmless"
    assert world.ask("getRecord", uri=uri, cid=cid_of({"text": "never"})).fault == GONE


def test_what_was_deleted_is_shown_as_it_was_reported_last(world: Net) -> None:
    author = world.account()
    uri = world.post(author)
    world.evidence(uri, {"text": "first"}, at=NOW - 2)
    last = world.evidence(uri, {"text": "last"}, at=NOW - 1)
    del world.records[uri]
    shown = world.ask("getRecord", uri=uri).json
    assert (shown["cid"], shown["value"]) == (last, {"text": "last"})
    assert world.ask("getRecord", uri=uri, cid=cid_of({"text": "other"})).fault == GONE
    assert world.ask("getRecord", uri=f"at://{author.did}/app.bsky.feed.post/other").fault == GONE


@pytest.mark.parametrize("error", ["RepoTakendown", "RepoDeactivated", "RepoSuspended", "RepoNotFound"])
def test_what_is_of_an_account_that_was_taken_down(world: Net, error: str) -> None:
    author = world.account(shown=False)
    uri = world.post(author)
    world.answers[GET] = answering(400, {"error": error, "message": "x"})
    assert world.ask("getRecord", uri=uri).fault == GONE
    world.evidence(uri, {"text": "rude"})
    shown = world.ask("getRecord", uri=uri).json
    assert shown["value"] == {"text": "rude"} and shown["repo"]["relatedRecords"] == []
    assert shown["repo"]["handle"].startswith("user-"), "of the document, since the AppView shows nothing"


def test_what_is_of_an_account_of_which_nothing_is_left(world: Net) -> None:
    did = plc(123_456)
    uri = f"at://{did}/app.bsky.feed.post/p1"
    assert world.ask("getRecord", uri=uri).fault == GONE
    world.evidence(uri, {"text": "rude"})
    shown = world.ask("getRecord", uri=uri).json
    assert shown["value"] == {"text": "rude"} and shown["repo"]["handle"] == "handle.invalid"


def test_a_host_that_cannot_be_asked_is_no_record_that_is_gone(world: Net) -> None:
    author = world.account()
    uri = world.post(author)
    world.answers[GET] = answering(503, b"")
    reply = world.ask("getRecord", uri=uri)
    assert reply.fault == (502, "UpstreamFailure") and "try again" in reply.json["message"]
    assert world.ask("getRecords", uris=[uri]).json["records"][0]["$type"] == f"{DEFS}recordViewNotFound"
    world.answers.clear()
    assert text(world.ask("getRecord", uri=uri)) == "hello", "a failure is not kept"
    world.later(RECORD_SECONDS)
    world.answers[GET] = answering(503, b"")
    world.evidence(uri, {"text": "rude"})
    assert text(world.ask("getRecord", uri=uri)) == "rude"


LYING: dict[str, Any] = {
    "another record": answering(200, {"cid": cid_of({"text": "b"}), "value": {"text": "a"}}),
    "no record": answering(200, {"cid": cid_of({"text": "b"}), "value": "a"}),
    "no JSON": answering(200, b"<html>", "text/html"),
    "too much": answering(200, {"cid": "x", "value": {"text": "a" * (1 << 20)}}),
    "a redirect": answering(302, Location="http://127.0.0.1:1/"),
}


@pytest.mark.parametrize("name", LYING)
def test_s112_a_host_that_gives_something_else_than_a_record_is_not_believed(world: Net, name: str) -> None:
    uri = world.post(world.account())
    world.answers[GET] = LYING[name]
    assert world.ask("getRecord", uri=uri).fault == (502, "UpstreamFailure")
    assert len(world.calls(GET)) == 1


@pytest.mark.parametrize("value", [BLOB, {"$link": cid_of({})}, {"$bytes": "/w"}], ids=["blob", "link", "bytes"])
def test_what_is_no_object_is_no_record(world: Net, value: Any) -> None:
    uri = world.post(world.account())
    world.answers[GET] = answering(200, {"cid": cid_of(value), "value": value})
    assert world.ask("getRecord", uri=uri).fault == GONE
    cid = world.evidence(uri, value)
    assert world.ask("getRecord", uri=uri, cid=cid).fault == GONE


@pytest.mark.parametrize(
    ("blob", "told"),
    [
        ({"mimeType": 5, "size": "x"}, {"mimeType": "application/octet-stream", "size": 0}),
        ({"mimeType": "a/b", "size": True}, {"mimeType": "a/b", "size": 0}),
        ({"ref": {"$link": cid_of({"x": 1})}}, {"cid": cid_of({"x": 1})}),
    ],
)
def test_blobs_are_as_their_record_names_them(world: Net, blob: Any, told: Any) -> None:
    author = world.account()
    uri = world.post(author, embed={"deep": [{"image": BLOB | blob}]})
    (shown,) = world.ask("getRecord", uri=uri).json["blobs"]
    assert shown | told == shown


def test_s107_a_host_that_is_not_public_is_not_asked(world: Net) -> None:
    author = world.account()
    uri = world.post(author)
    with socket.create_server(("127.0.0.2", 0)) as private:
        private.setblocking(False)
        world.move(author, f"http://127.0.0.2:{private.getsockname()[1]}")
        assert world.ask("getRecord", uri=uri).fault == (502, "UpstreamFailure")
        with pytest.raises(BlockingIOError):
            private.accept()


def test_hosts_are_asked_without_credentials_so_blocks_hide_nothing(world: Net) -> None:
    author, who = world.account(), world.place.member(Role.TRIAGE)
    assert text(world.ask("getRecord", who, uri=world.post(author))) == "hello"
    assert {asked.method for asked in world.asked} == {GET, PROFILES}
    for asked in world.asked:
        sent = {name.lower() for name in asked.headers}
        assert sent <= {"host", "accept", "accept-encoding", "user-agent", "atproto-accept-labelers"}
        assert who.did not in str(asked)


def test_a_record_is_asked_for_once_in_a_while(world: Net) -> None:
    uri = world.post(world.account())
    for _ in range(3):
        assert text(world.ask("getRecord", uri=uri)) == "hello"
    assert len(world.calls(GET)) == len(world.calls(PROFILES)) == 1
    world.records[uri] = {"text": "edited"}
    world.later(RECORD_SECONDS)
    assert text(world.ask("getRecord", uri=uri)) == "edited"
    assert len(world.calls(GET)) == 2 and len(world.calls(PROFILES)) == 1


def test_a_hundred_records_at_once_in_their_order(world: Net) -> None:
    authors = [world.account() for _ in range(30)]
    uris = [world.post(authors[at % 30], f"3kabcdefghi{at:02d}") for at in range(98)]
    uris[50] = f"at://{authors[0].did}/app.bsky.feed.post/none"
    uris += [uris[3], "at://alice.example.com/app.bsky.feed.post/p1"]
    records = world.ask("getRecords", uris=uris).json["records"]
    assert [record["uri"] for record in records] == uris
    missing = [at for at, record in enumerate(records) if record["$type"] == f"{DEFS}recordViewNotFound"]
    assert missing == [50, 99] and records[50] == {"$type": f"{DEFS}recordViewNotFound", "uri": uris[50]}
    assert {record["$type"] for record in records} == {f"{DEFS}recordViewDetail", f"{DEFS}recordViewNotFound"}
    assert len(world.calls(GET)) == 98 and [len(call) for call in world.calls(PROFILES)] == [25, 5]
    assert world.ask("getRecords", uris=[*uris, uris[0]]).fault == (400, "InvalidRequest")


def test_whoever_takes_too_long_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ozone.sources.ALL_SECONDS", 0.5)
    with net(tmp_path) as world:
        never, slow = asyncio.Event(), world.post(world.account())

        async def answer(request: web.Request) -> web.StreamResponse:
            if request.query["repo"] in slow:
                await never.wait()
            return web.json_response({"error": "RecordNotFound", "message": "x"}, status=400)

        world.answers[GET] = answer
        assert world.ask("getRecord", uri=slow).fault == (502, "UpstreamFailure")
        quick = f"at://{world.account().did}/app.bsky.feed.post/p1"
        assert world.ask("getRecord", uri=quick).fault == GONE
        world.place.place.site.run(_set(never))


async def _set(event: asyncio.Event) -> None:
    event.set()


def test_s118_what_one_moderator_can_make_us_ask_strangers_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ozone.sources.OF_CALLER", (0.001, 4))
    with net(tmp_path) as world:
        author = world.account()
        uris = [world.post(author, f"p{at}") for at in range(9)]
        found = [record["$type"] for record in world.ask("getRecords", uris=uris).json["records"]]
        assert found.count(f"{DEFS}recordViewDetail") == len(world.calls(GET)) == 3, "and one for the document"
        other = world.place.member(Role.TRIAGE)
        assert world.ask("getRecords", other, uris=uris[:5]).json["records"][4]["$type"] == f"{DEFS}recordViewDetail"


@pytest.mark.parametrize(
    "uri",
    ["at://alice.example.com/app.bsky.feed.post/p1", f"at://{plc(1)}", f"at://{plc(1)}/app.bsky.feed.post", "x", ""],
)
def test_what_names_no_record(world: Net, uri: str) -> None:
    assert world.ask("getRecord", uri=uri).fault == (400, "InvalidRequest")
    assert world.ask("getRecord", uri=f"at://{plc(1)}/app.bsky.feed.post/p1", cid="x").fault == (400, "InvalidRequest")


# Who sees evidence


def test_whoever_is_here_by_a_community_sees_what_was_reported_to_it_and_no_other_evidence(world: Net) -> None:
    town = world.place.place
    author = world.account()
    uri = f"at://{author.did}/app.bsky.feed.post/deleted"
    world.evidence(uri, {"text": "to rust"}, to="rust", at=NOW - 3)
    elsewhere = world.evidence(uri, {"text": "to the site"}, at=NOW - 2)
    python, rust = town.moderator("python"), town.moderator("rust")
    assert text(world.ask("getRecord", uri=uri)) == "to the site"
    assert text(world.ask("getRecord", rust, uri=uri)) == "to rust"
    assert world.ask("getRecord", python, uri=uri).fault == GONE
    for who in (python, rust):
        assert world.ask("getRecord", who, uri=uri, cid=elsewhere).fault == GONE
    triage = world.place.member(Role.TRIAGE)
    assert text(world.ask("getRecord", triage, uri=uri, cid=elsewhere)) == "to the site"
    both = world.place.member(Role.TRIAGE)
    town.put("python", both, role=Member.MODERATOR)
    assert text(world.ask("getRecord", both, uri=uri)) == "to the site", "the team comes first"


def test_a_community_that_the_labeler_does_not_serve_opens_nothing(world: Net) -> None:
    town = world.place.place
    author = world.account()
    uri = f"at://{author.did}/app.bsky.feed.post/deleted"
    world.evidence(uri, {"text": "to python"}, to="python")
    both = town.moderator("python")
    town.put("rust", both, role=Member.MODERATOR)
    assert text(world.ask("getRecord", both, uri=uri)) == "to python"
    assert world.ask("getRecord", both, aud=OTHER, uri=uri).fault == GONE


def test_nobody_without_a_role(world: Net) -> None:
    uri = world.post(world.account())
    stranger = world.place.place.person()
    for method, params in (
        ("getRecord", {"uri": uri}),
        ("getRecords", {"uris": [uri]}),
        ("getSubjects", {"subjects": [uri]}),
    ):
        assert world.ask(method, stranger, **params).fault == (401, "AuthenticationRequired")
    assert world.asked == [], "nothing is looked up for them"
