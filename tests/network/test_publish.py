"""`communities publish` and `unpublish` against the real PDS, judged by what the real AppView then shows."""

import json
from typing import Any

import pytest

from tests.network.conftest import AVATAR, Site, declaration
from tests.network.person import XrpcFailure, xrpc
from tests.service_process import until

pytestmark = pytest.mark.network


def test_publish_appears_in_get_feed_generator_and_unpublish_removes_it(site: Site) -> None:
    uri = site.feed("gardens")
    rules = site.service.folder / "gardens.toml"
    rules.write_text(declaration("gardens"), encoding="utf-8")
    (site.service.folder / "avatar.png").write_bytes(AVATAR)

    def command(*words: str) -> dict[str, Any]:
        done = site.service.command_line(*words, "--json", rules=str(rules))
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def view() -> dict[str, Any] | None:
        try:
            answer = xrpc(site.appview, "app.bsky.feed.getFeedGenerator", {"feed": uri})
        except XrpcFailure as failure:
            assert failure.status == 400, failure
            return None
        shown: dict[str, Any] = answer["view"]
        return shown

    assert view() is None
    assert [feed["status"] for feed in command("publish")["feeds"]] == ["created"]
    shown = until("the feed generator", view)
    assert shown["uri"] == uri
    assert shown["did"] == site.did
    assert shown["creator"]["did"] == site.publisher.did
    assert shown["displayName"] == "About gardens"
    assert shown["description"] == "Posts with #gardens."
    assert shown["acceptsInteractions"] is True
    assert shown["avatar"].startswith("http")

    head = site.box.ask("head")
    assert [feed["status"] for feed in command("publish")["feeds"]] == ["unchanged"]
    assert site.box.ask("head") == head  # nothing was written

    rules.write_text(declaration("gardens").replace("About gardens", "Gardens"), encoding="utf-8")
    assert command("publish")["feeds"][0]["changed"] == ["displayName"]
    until("the new name", lambda: (view() or {}).get("displayName") == "Gardens")

    deleted = command("unpublish", "gardens", "--yes")["deleted"]
    assert [feed["uri"] for feed in deleted] == [uri]
    until("the AppView without the feed", lambda: view() is None)
