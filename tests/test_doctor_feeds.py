"""`communities doctor`: the checks of feeds and tokens, each made to fail."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests import doctor_scene
from tests.doctor_scene import DESCRIBE, DID, SKELETON, Examine, Scene
from xrpc.auth import ServiceAuth

scene, examine = doctor_scene.scene, doctor_scene.examine

# Feeds


@pytest.mark.parametrize(
    ("body", "status", "seen"),
    [
        ({"did": DID, "feeds": []}, "fail", "app.bsky.feed.generator/cats is not listed"),
        ({"did": "did:web:x.org", "feeds": "both"}, "fail", "it says it is did:web:x.org"),
        ({"did": DID, "feeds": "and those that need no word"}, "ok", "4 feeds listed"),
        ({"did": DID, "feeds": "and another"}, "warn", "generator/birds is listed and not declared here"),
        ({"error": "NotFound", "message": "gone"}, "fail", "answered 200 NotFound gone"),
        ([], "fail", "answered 200"),
    ],
)
async def test_describe(scene: Scene, examine: Examine, *, body: Any, status: str, seen: str) -> None:
    slugs = {"both": ("cats", "dogs"), "and another": ("cats", "dogs", "birds")}
    if isinstance(body, dict) and isinstance(body.get("feeds"), str):
        keys = slugs.get(body["feeds"], ("cats", "dogs", "everything"))
        uris = [f"at://{scene.publisher.did}/app.bsky.feed.generator/{slug}" for slug in keys]
        uris += ["at://did:web:other.example/app.bsky.feed.generator/x"] * (body["feeds"] not in slugs)
        body = body | {"feeds": [{"uri": uri} for uri in uris]}
    scene.door.answers[DESCRIBE] = lambda _: web.json_response(body)
    finding = await examine("describe")
    assert finding.status == status
    assert seen in finding.seen


POST = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/3k"


def page(*items: Any, **more: Any) -> dict[str, Any]:
    return {"feed": list(items)} | more


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ({"feed": None}, "answered 200"),
        ([], "answered 200"),
        (page({"post": POST.replace("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "a.test")}), "item 1 is no post: at://a.test"),
        (page({"post": POST.replace("feed.post", "feed.like")}), "item 1 is no post"),
        (page({"post": POST}, {"post": 7}), "item 2 is no post: 7"),
        (page("text"), "item 1 is no post"),
        (page({"post": POST}, {"post": POST}), "a post stands twice in a page"),
        (page(*({"post": f"{POST}{n}"} for n in range(11))), "11 items where 10 were asked for"),
        (page({"post": POST}, cursor=None), "cursor is no text"),
        (page({"post": POST}, cursor=""), "cursor is no text"),
        (page(cursor="5"), "an empty page has a cursor"),
        (page({"post": POST, "reason": {"$type": "x.y#z"}}), "item 1 has an unknown reason"),
        (page({"post": POST, "reason": None}), "item 1 has an unknown reason"),
        (page({"post": POST, "feedContext": "c" * 2001}), "item 1 has a feedContext"),
        (page({"post": POST}, cursor="5"), "page 2: repeats 1 posts of page 1"),
    ],
)
async def test_skeleton(scene: Scene, examine: Examine, *, body: Any, seen: str) -> None:
    scene.door.answers[SKELETON] = lambda _: web.json_response(body)
    finding = await examine("skeleton")
    assert finding.status == "fail"
    assert seen in finding.seen
    assert "cats" in finding.seen
    assert "dogs" in finding.seen


async def test_skeleton_second_page(scene: Scene, examine: Examine) -> None:
    asked = []

    def stuck(request: web.Request) -> web.Response:
        asked.append(request.query.get("cursor"))
        return web.json_response(page({"post": f"{POST}{len(asked)}"}, cursor="same"))

    scene.door.answers[SKELETON] = stuck
    finding = await examine("skeleton")
    assert finding.status == "fail"
    assert "page 2: has the cursor of page 1 again" in finding.seen
    assert asked.count("same") == 2


async def test_skeleton_empty_or_refused(scene: Scene, examine: Examine) -> None:
    scene.door.posts = []
    empty = await examine("skeleton")
    assert empty.status == "warn"
    assert empty.seen == "cats is empty; dogs is empty"
    scene.door.answers[SKELETON] = lambda _: web.json_response({"error": "UnknownFeed", "message": "?"}, status=400)
    assert "answered 400 UnknownFeed ?" in (await examine("skeleton")).seen


async def test_skeleton_says_how_many_feeds_it_asked(scene: Scene, examine: Examine) -> None:
    rules = "".join(f'[[community]]\nslug = "c{n}"\nname = "C"\ninclude.hashtags = ["t{n}"]\n' for n in range(60))
    Path(scene.settings["rules"]).write_text(rules, encoding="utf-8")
    assert (await examine("skeleton")).seen == "good pages of the first 50 of 60 feeds"


# Tokens


async def test_signed(scene: Scene, examine: Examine) -> None:
    assert (await examine("signed")).seen == "a token of publisher.test is accepted"
    elsewhere = await examine("signed", hostname="moved.example.org")
    assert elsewhere.status == "fail"
    assert "401 BadJwtAudience" in elsewhere.seen
    assert "COMMUNITIES_HOSTNAME" in elsewhere.fix
    assert (await examine("signed", app_password="")).status == "skipped"
    refused = await examine("signed", app_password="wr0ng-one")
    assert refused.status == "fail"
    assert "401 AuthenticationRequired" in refused.seen
    assert "wr0ng-one" not in refused.seen


async def test_signed_with_a_key_that_the_service_does_not_find(scene: Scene, examine: Examine) -> None:
    document = scene.publisher.document
    scene.publisher.rotate_key()
    scene.world.plc.overrides[scene.publisher.did] = document
    finding = await examine("signed")
    assert "401 BadJwtSignature" in finding.seen
    assert "COMMUNITIES_PLC_URL" in finding.fix


async def test_tampered(scene: Scene, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await examine("tampered")).seen == "refused with BadJwtSignature"
    # A service that sees that a token is wrong but answers as though there were none.
    monkeypatch.setattr(ServiceAuth, "verify", believing)
    believed = await examine("tampered")
    assert believed.status == "fail"
    assert "answered 200, where 401 was due" in believed.seen


async def believing(*_: Any, **__: Any) -> None:
    return None


async def test_tampered_when_no_token_can_be_checked(scene: Scene, examine: Examine) -> None:
    scene.world.plc.failing = 500
    finding = await examine("tampered")
    assert finding.status == "fail"
    assert "502 UpstreamFailure" in finding.seen
    assert "COMMUNITIES_PLC_URL" in finding.fix
