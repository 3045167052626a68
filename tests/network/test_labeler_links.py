"""The chain from a decision to a label that is shown, on the real network: the canary says how long it takes, and with
one link broken at a time, canary and doctor name that one.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.network.label_town import LabelTown, label_town
from tests.network.netbox import Netbox

pytestmark = pytest.mark.network

SOON = "0.15"
"""Minutes that the canary waits where it is to wait in vain."""


@pytest.fixture(scope="module")
def town(box: Netbox, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[LabelTown]:
    """A labeler whose labels the AppView reads."""
    with label_town(box, tmp_path_factory.mktemp("chain"), pytestconfig, "chained") as town:
        town.declare("spoiler", "rude", "test")
        town.set_up()
        town.pump()
        assert town.failing() == {}
        yield town


def canary(town: LabelTown, minutes: str, code: int = 0) -> dict[str, Any]:
    """The canary, with a new post."""
    post = town.written("a bird in a mine")["uri"]
    told: dict[str, Any] = town.command("labeler", "canary", "--post", post, "--minutes", minutes, code=code)
    assert town.shown(post) == set()
    return told


def test_the_canary_says_how_long_it_took(town: LabelTown) -> None:
    told = canary(town, "1")
    assert told["missing"] == ""
    sent, shown, gone = told["sent_seconds"], told["shown_seconds"], told["gone_seconds"]
    print(f"canary: published after {sent:.2f} s, shown after {shown:.2f} s, gone after {gone:.2f} s")
    assert 0 <= sent <= shown < 60 and 0 <= gone < 60


def test_a_key_that_is_missing_in_the_did_document_is_named(town: LabelTown) -> None:
    (key,) = {one["key"] for one in town.command("labeler", "status")}
    town.box.ask("identify", did=town.labeler.did, verificationMethods={"atproto_label": None})
    try:
        found = town.failing()
        assert "has no key #atproto_label" in found["document"]
        assert found.keys() == {"document"}
        town.pump()
        told = canary(town, SOON, code=1)
        assert told["sent_seconds"] is not None and told["shown_seconds"] is None
        assert "knows the labeler and has not taken in the label" in told["missing"]
    finally:
        town.box.ask("identify", did=town.labeler.did, verificationMethods={"atproto_label": key})
        town.pump()
    assert town.failing() == {}


def test_an_endpoint_that_leads_elsewhere_is_named(town: LabelTown) -> None:
    entry = {"type": "AtprotoLabeler", "endpoint": "http://localhost:9"}
    town.box.ask("identify", did=town.labeler.did, services={"atproto_labeler": entry})
    try:
        found = town.failing()
        assert found.keys() == {"document"}
        assert f"leads to http://localhost:9, not to {town.endpoint}" in found["document"]
        town.pump()
        told = canary(town, SOON, code=1)
        assert "knows the labeler and has not taken in the label" in told["missing"]
    finally:
        town.box.ask(
            "identify", did=town.labeler.did, services={"atproto_labeler": entry | {"endpoint": town.endpoint}}
        )
        town.pump()
    assert town.failing() == {}


def test_a_record_that_is_missing_is_named(town: LabelTown) -> None:
    town.labeler.delete(f"at://{town.labeler.did}/app.bsky.labeler.service/self")
    town.settle()
    try:
        found = town.failing()
        assert found.keys() == {"record", "appview"}
        assert "there is no record app.bsky.labeler.service" in found["record"]
        told = canary(town, SOON, code=1)
        assert "does not know that the labeler says this" in told["missing"]
    finally:
        town.as_labeler("publish")
        town.settle()
    assert town.failing() == {}


def test_a_value_that_is_not_declared_is_refused_and_one_that_is_not_published_is_named(town: LabelTown) -> None:
    post = town.written("too late")["uri"]
    assert "late" in town.refused("label", "add", post, "late")
    town.declare("spoiler", "rude", "test", "late")
    try:
        found = town.failing()
        assert found.keys() == {"record", "appview"}
        assert "clients drop late" in found["record"] and "does not know late yet" in found["appview"]
        assert town.as_labeler("publish")["differences"] == ["+ label late"]
        town.settle()
        assert town.failing() == {}
        town.label("add", post, "late")
        town.pumped()
        assert town.shown(post) == {("late", "")}
        town.label("remove", post, "late")
    finally:
        town.declare("spoiler", "rude", "test")
        town.as_labeler("publish")
        town.settle()


def test_a_publisher_that_is_paused_is_named(town: LabelTown) -> None:
    town.as_labeler("rotate-key", "--pause")
    try:
        found = town.failing()
        assert found.keys() == {"key"}
        assert "labels wait" in found["key"]
        post = town.written("a bird in a mine")["uri"]
        assert "go on with `communities labeler rotate-key`" in town.refused("labeler", "canary", "--post", post)
    finally:
        town.command("labeler", "rotate-key", "--abandon")
    assert town.failing() == {}


def test_a_publisher_that_does_not_run_is_named(town: LabelTown) -> None:
    town.service.stop()
    try:
        found = town.failing()
        found.pop("clock", None)  # compared with the clock of our own server, too
        assert found.keys() == {"metadata", "stream"}
        assert all("cannot connect" in seen for seen in found.values())
        told = canary(town, SOON, code=1)
        assert told["sent_seconds"] is None and "the publisher has not signed it" in told["missing"]
    finally:
        town.start()
    assert town.failing() == {}
    # The subscriber comes back by itself.
    assert canary(town, "2")["missing"] == ""
