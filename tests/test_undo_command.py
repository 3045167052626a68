"""`communities undo`: the operator undoes what was done, in every community and on the site."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from communities.access import Role as Member
from service.cli import main
from tests.civic_posts import decide, hidden
from tests.didnet import plc
from tests.feed_site import HOST, PUBLISHER
from tests.ozone_site import Desk
from tests.undo_site import LABEL, REVERSE, TAG, TAKEDOWN, emit, site, state


class Console:
    """The command, on the machine of a site that runs."""

    def __init__(self, place: Desk, capsys: pytest.CaptureFixture[str]) -> None:
        self.place = place
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        assert main(["undo", *words]) == code, self._capsys.readouterr()
        said = self._capsys.readouterr()
        return said.out if code == 0 else said.err

    def json(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self(*words, "--json").splitlines()]


@pytest.fixture
def undo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Console]:
    given = {
        "HOSTNAME": HOST, "PUBLISHER_DID": PUBLISHER, "DATA": tmp_path / "data", "RULES": tmp_path / "communities.toml",
        "LABELS": tmp_path / "with-takedown.toml",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(f"COMMUNITIES_{name}", str(value))
    with site(tmp_path) as place:
        yield Console(place, capsys)


def test_a_batch_in_every_scope_and_on_the_site(undo: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.undo.PIECE", 2)
    place, town = undo.place, undo.place.place
    who, staff, uri = town.moderator("python"), place.staff(), town.writer.post(1)
    author = uri.split("/")[2]
    town.clock.now += 60
    before = state(place)
    numbers = [
        emit(place, who, uri, TAKEDOWN, batch="b"),
        emit(place, staff, author, TAKEDOWN, batch="b"),
        emit(place, staff, uri, TAKEDOWN, batch="b"),
        emit(place, staff, uri, LABEL, batch="b", createLabelVals=["!warn"], negateLabelVals=[]),
        emit(place, who, uri, TAG, batch="b", add=["x"], remove=[]),
    ]
    after = state(place)
    assert hidden(town, "python", uri) == 1 | 4 | 16
    *listed, summary = undo.json("--batch", "b", "--dry-run")
    assert [one["id"] for one in listed] == numbers[::-1] and all(one["undone"] for one in listed)
    assert summary == {"events": 5, "undone": 5, "dryRun": True} and state(place) == after
    assert all(one["undone"] and one["by"] == [] for one in listed), "there are no such events yet"
    assert undo("--batch", "b").splitlines()[-1] == "5 were undone (5 events looked at)"
    assert state(place) == before
    assert town.writer.sql("SELECT allowed FROM actor WHERE did = ?", author) == [(1,)]
    rows = town.writer.sql("SELECT DISTINCT actor, role FROM mod_event WHERE undoes IS NOT NULL")
    assert rows == [(f"did:web:{HOST}", "site")]
    log = town.ask("getDecisions", who, community="python")
    assert log.status == 200 and log.json["decisions"][0]["action"] == "restore"
    assert "0 were undone (5 events looked at)" in undo("--batch", "b")


def test_in_one_community(undo: Console) -> None:
    place, town = undo.place, undo.place.place
    uri = town.writer.post(1, tags=("python", "rust"))
    who = town.moderator("python")
    town.put("rust", who, role=Member.MODERATOR)
    for slug in ("python", "rust"):
        emit(place, who, uri, TAKEDOWN, slug=slug, policies=["kind"])
    undo("--actor", who.did, "--community", "rust")
    assert (hidden(town, "python", uri), hidden(town, "rust", uri)) == (4, 0)
    undo("--rule", "kind")
    assert (hidden(town, "python", uri), hidden(town, "rust", uri)) == (0, 0)


def test_what_the_site_gave_back_is_taken_down_again(undo: Console) -> None:
    place, town = undo.place, undo.place.place
    staff, uri = place.staff(), town.writer.post(1)
    emit(place, staff, uri, TAKEDOWN)
    before = state(place)
    number = emit(place, staff, uri, REVERSE)
    assert hidden(town, "python", uri) == 0 and state(place)["labels"] == []
    undo("--event", str(number))
    assert state(place) == before and hidden(town, "python", uri) == 16


def test_what_the_site_has_taken_down_for_another_reason_stays_down(undo: Console) -> None:
    place, town = undo.place, undo.place.place
    uri, author = town.writer.post(1), plc(1)
    assert main(["takedown", author]) == 0
    number = emit(place, place.staff(), author, TAKEDOWN)
    assert hidden(town, "python", uri) == 1
    undo("--event", str(number))
    assert hidden(town, "python", uri) == 1 and state(place)["labels"] == []
    undo("--actor", "cli")
    assert hidden(town, "python", uri) == 0


def test_faults(undo: Console) -> None:
    town = undo.place.place
    who, uri = town.moderator("python"), town.writer.post(1)
    assert decide(town, who, "python", "remove", uri).status == 200
    (number,) = town.writer.sql("SELECT id FROM mod_event")[0]
    assert "no event" in undo("--event", "99", code=1)
    assert "no event" in undo("--event", str(number), "--community", "rust", code=1)
    assert "no community" in undo("--event", str(number), "--community", "nowhere", code=1)
    assert "empty" in undo("--batch", "", code=2)
    assert "--event --batch --rule --actor is required" in undo(code=2)
    assert "must be a whole number" in undo("--event", "x", code=2)
    assert "not allowed with" in undo("--event", "1", "--batch", "x", code=2)
    assert undo.json("--actor", plc(99)) == [{"events": 0, "undone": 0, "dryRun": False}]
    assert hidden(town, "python", uri) == 4
