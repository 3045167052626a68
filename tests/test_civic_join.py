"""Joining and leaving through HTTP: every way in and out, each refusal by its name, each token once."""

from collections.abc import Iterator

import pytest

from tests.civic_site import Town, town


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("join")) as place:
        place.found("birds")
        place.found("closed", join_by=())
        place.found("records", join_by=("record", "follow"))
        place.found("old", state="archived")
        place.found("quiet", state="paused")
        place.found("asked", kind="private")
        place.found("secret", kind="hidden")
        yield place


@pytest.fixture
def birds(shared: Town) -> Town:
    return shared


def test_somebody_joins_and_leaves(birds: Town) -> None:
    alice = birds.person()
    reply = birds.act("join", alice, {"community": "birds"})
    viewer = reply.json["viewer"]
    assert viewer["membership"]["did"] == alice.did and viewer["membership"]["status"] == "member"
    assert (viewer["post"], viewer["volume"], "joinsAs" in viewer) == ("admitted", 3, False)
    assert birds.status("birds", alice) == ("member", 1)
    assert birds.act("leave", alice, {"community": "birds"}).json["viewer"]["joinsAs"] == "member"
    assert birds.status("birds", alice) is None
    assert birds.act("leave", alice, {"community": "birds"}).fault == (400, "NotFound")
