"""`communities quarantine`: what was passed over is listed, taken apart for people, and deleted (A22)."""

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from firehose.quarantine import MOST_BYTES, put
from models.database import open_database, sql, writing
from service.cli import main
from tests.ingest_site import Site
from tests.test_ingest_poison import GARBAGE
from tests.world import frames

Capture = pytest.CaptureFixture[str]
WHEN = 1_790_000_000_000_000
OP = {"action": "create", "path": "app.bsky.feed.post/3k\x1b[2J", "cid": None, "prev": 5}
COMMIT = frames.message("#commit", {"seq": 7, "repo": "did:plc:\x1b]0;x\x07\u202e", "ops": [OP, 3], "blocks": bytes(9)})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def keep(folder: Path, *kept: bytes, reason: str = "because") -> None:
    with closing(open_database(folder / "data" / "communities.db")) as database, writing(database) as connection:
        for number, frame in enumerate(kept, 1):
            put(connection, "wss://relay.example", number, reason, frame, WHEN + number * 1_000_000)


def left(folder: Path) -> list[int]:
    with closing(open_database(folder / "data" / "communities.db", readonly=True)) as database:
        return [row[0] for row in sql(database).execute("SELECT id FROM quarantine ORDER BY id").fetchall()]


def said(capsys: Capture, *words: str, code: int = 0) -> str:
    """What the command prints; every line of it can be shown on a terminal."""
    capsys.readouterr()
    assert main(["quarantine", *words]) == code
    captured = capsys.readouterr()
    assert captured.err == "" or code
    assert all(line.isprintable() for line in captured.out.split("\n"))
    return captured.out if code == 0 else captured.out + captured.err


def test_the_newest_come_first(folder: Path, capsys: Capture) -> None:
    keep(folder)
    assert said(capsys) == "nothing is kept\n" and json.loads(said(capsys, "--json")) == []
    keep(folder, b"one", b"two", bytes(2000), reason="frame is no\nDAG-CBOR\x1b[31m")
    lines = said(capsys).splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["3", "2", "1"]
    assert "2026-09-21T" in lines[0] and "2,000 B" in lines[0] and "wss://relay.example" in lines[0]
    assert lines[0].endswith(r"frame is no\nDAG-CBOR\x1b[31m") and lines[3].startswith("3 of 3;")
    assert len(said(capsys, "--limit", "2").splitlines()) == 3
    first, *others = json.loads(said(capsys, "--json", "--limit", "2"))
    assert first == {
        "id": 3, "source": "wss://relay.example", "seq": 3, "reason": "frame is no\nDAG-CBOR\x1b[31m",
        "at": first["at"], "size": 2000,
    }  # fmt: skip
    assert first["at"].startswith("2026-09-21T") and [one["id"] for one in others] == [2]


def test_one_is_taken_apart(folder: Path, capsys: Capture) -> None:
    keep(folder, COMMIT)
    shown = said(capsys, "show", "1")
    assert 'header     {"t": "#commit", "op": 1}' in shown
    assert "\n  seq: 7\n" in shown and '\n  blocks: {"bytes": 9}\n' in shown
    assert r"did:plc:\u001b]0;x\u0007\u202e" in shown
    assert "ops        2\n" + r"  create app.bsky.feed.post/3k\x1b[2J cid null prev 5" + "\n  3\n" in shown
    assert f"size       {len(COMMIT)} bytes\n" in shown and "ends" not in shown
    found = json.loads(said(capsys, "show", "1", "--json"))
    assert found["frame"]["payload"]["ops"] == [OP, 3] and found["frame"]["fault"] == ""
    assert json.loads(said(capsys, "--json", "show", "1")) == found


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_shown(folder: Path, capsys: Capture, name: str) -> None:
    keep(folder, GARBAGE[name])
    shown = said(capsys, "show", "1")
    assert shown.startswith("id         1\n") and "\nbytes      " in shown and len(shown) < 5000
    found = json.loads(said(capsys, "show", "1", "--json"))["frame"]
    assert (found["fault"] in shown) and ("ends " in shown) == bool(found["fault"])


def test_its_bytes_are_written(folder: Path, capsys: Capture) -> None:
    long = bytes(range(256)) * (MOST_BYTES // 256 + 1)
    keep(folder, COMMIT, long)
    assert f"{len(COMMIT)} bytes to out.bin" in said(capsys, "show", "1", "--raw", "out.bin")
    assert (folder / "out.bin").read_bytes() == COMMIT
    assert "size       1,048,576 bytes (the first of more, perhaps)" in said(capsys, "show", "2", "--raw", "out.bin")
    assert (folder / "out.bin").read_bytes() == long[:MOST_BYTES]
    assert "cannot be written" in said(capsys, "show", "1", "--raw", str(folder), code=1)
    assert "no message 3 is in quarantine" in said(capsys, "show", "3", code=1)


def test_they_are_deleted(folder: Path, capsys: Capture) -> None:
    keep(folder, *(b"%d" % number for number in range(6)))
    assert said(capsys, "clear", "2", "4") == "2 deleted\n"
    assert left(folder) == [1, 3, 5, 6]
    assert said(capsys, "clear", "2", "5", "5", code=1) == "1 deleted; not there: 2\n"
    assert json.loads(said(capsys, "clear", "9", "6", "--json", code=1)) == {"deleted": 1, "missing": [9]}
    assert said(capsys, "clear") == "2 deleted\n" and left(folder) == []
    assert json.loads(said(capsys, "clear", "--json")) == {"deleted": 0, "missing": []}


def test_nothing_is_made_by_looking_or_deleting(folder: Path, capsys: Capture) -> None:
    for words in ([], ["show", "1"], ["clear"]):
        assert "no such database" in said(capsys, *words, code=1)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [["show"], ["show", "0"], ["show", "x"], ["clear", "-1"], ["clear", "1" * 30], ["--limit", "0"], ["move"]],
    ids=" ".join,
)
def test_wrong_usage_is_code_2(words: list[str], capsys: Capture) -> None:
    assert main(["quarantine", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "usage: communities quarantine" in captured.err


async def test_beside_an_ingest_that_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """What the ingest passes over is found by the command, cleared by it, and kept again when it comes again."""
    monkeypatch.setenv("COMMUNITIES_DATA", str(tmp_path / "data"))

    async def command(*words: str) -> Any:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["quarantine", *words, "--json"])
        assert code == 0
        return json.loads(capsys.readouterr().out)

    async with Site(tmp_path) as site:
        (alice,) = site.people("alice")
        first = alice.post("#python")
        for _ in range(2):
            site.world.emit(b"poison")
            last = alice.post("#python")
            await site.caught_up(last.seq)
            (kept,) = await command()
            assert (kept["reason"], kept["size"]) == ("frame is no DAG-CBOR", 6) and kept["seq"] >= first.seq
            shown = await command("show", str(kept["id"]))
            assert shown["frame"]["fault"].startswith("at byte ")
            assert await command("clear") == {"deleted": 1, "missing": []}
        assert len(await site.feed()) == 3
