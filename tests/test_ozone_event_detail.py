"""tools.ozone.moderation.getEvent: an event, with what it is about."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.casebook import append
from communities.mod_event import Kind, ModEvent
from models.database import writing
from models.mod_events import SubjectKey, key_of
from ozone.roles import Role
from tests.didnet import plc
from tests.feed_site import NOW
from tests.label_scene import OTHER
from tests.ozone_net import Net, cid_of, net, official_lexicons
from tests.test_ozone_records import BLOB

DEFS = "tools.ozone.moderation.defs#"
NOT_THERE = (400, "InvalidRequest")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Net]:
    with net(tmp_path_factory.mktemp("events"), official_lexicons(shared_data)) as found:
        yield found


def put(world: Net, key: SubjectKey, *, to: str = "", **more: Any) -> int:
    """An event of somebody, for a community or the service."""
    town = world.place.place
    event = ModEvent(Kind.ACKNOWLEDGE, NOW, plc(1), comment="seen", **more)
    with writing(town.writer.database) as connection:
        return append(connection, town.id(to) if to else 0, key, event).id


def test_of_a_record_as_it_was_then(world: Net) -> None:
    author = world.account(handle="alice.example.com")
    image = {"$type": "app.bsky.embed.images", "images": [{"image": BLOB, "alt": "x"}]}
    uri = world.post(author, embed=image)
    seen = world.records[uri]
    link = BLOB["ref"]["$link"]
    number = put(world, key_of(author.did, uri), cid=cid_of(seen), blobs=(link,))
    view = world.ask("getEvent", id=number).json
    assert (view["id"], view["createdBy"], view["event"]) == (
        number,
        plc(1),
        {"$type": f"{DEFS}modEventAcknowledge", "comment": "seen"},
    )
    assert view["subject"]["$type"] == f"{DEFS}recordView" and view["subject"]["value"] == seen
    assert view["subject"]["repo"]["handle"] == "alice.example.com" and view["subject"]["blobCids"] == [link]
    assert view["subject"]["moderation"]["subjectStatus"]["reviewState"] == f"{DEFS}reviewClosed"
    assert [blob["cid"] for blob in view["subjectBlobs"]] == [link]
    # Another version than the one that was seen is not shown in its place.
    world.post(author, text="changed")
    world.later()
    assert world.ask("getEvent", id=number).json["subject"] == {"$type": f"{DEFS}recordViewNotFound", "uri": uri}
    world.evidence(uri, seen)
    assert world.ask("getEvent", id=number).json["subject"]["value"] == seen


def test_of_an_account_and_of_a_conversation(world: Net) -> None:
    author = world.account()
    view = world.ask("getEvent", id=put(world, SubjectKey(author.did))).json
    assert view["subject"]["$type"] == f"{DEFS}repoView" and view["subject"]["did"] == author.did
    nobody = plc(998_877)
    view = world.ask("getEvent", id=put(world, SubjectKey(author.did, convo="c1"))).json
    assert view["subject"] == {"$type": f"{DEFS}convoView", "did": author.did, "convoId": "c1"}
    found = world.ask("getEvent", id=put(world, SubjectKey("did:plc:" + "q" * 24))).json["subject"]
    assert found["$type"] == f"{DEFS}repoViewNotFound" and nobody not in str(found)


def test_what_is_not_ones_own_is_not_there(world: Net) -> None:
    place, author = world.place, world.account()
    here, there = put(world, SubjectKey(author.did), to="python"), put(world, SubjectKey(author.did))
    moderator, other = place.place.moderator("python"), place.place.moderator("rust")
    assert world.ask("getEvent", moderator, id=here).status == 200
    assert world.ask("getEvent", place.member(Role.VERIFIER), id=here).status == 200
    refused = [
        world.ask("getEvent", moderator, id=there),
        world.ask("getEvent", other, id=here),
        world.ask("getEvent", place.member(Role.ADMIN, labeler=OTHER), aud=OTHER, id=here),
        world.ask("getEvent", id=10**9),
    ]
    assert {reply.fault for reply in refused} == {NOT_THERE}
    assert len({reply.body.replace(str(number).encode(), b"") for reply, number in zip(
        refused, (there, here, here, 10**9), strict=True)}) == 1  # fmt: skip
    for bad in ("0", "-1", "x", "1.5", str(1 << 70)):
        assert world.ask("getEvent", id=bad).fault == NOT_THERE
