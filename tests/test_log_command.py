"""`communities log`: what was decided is shown, verified, and written for the public, who can verify that too."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from communities import logbook
from communities.access import Action
from communities.community import Community, Log
from communities.log import Acting, Decision
from models.communities import declare
from models.database import open_database, sql, writing
from service.cli import main

Capture = pytest.CaptureFixture[str]
AT = 1_790_000_000_000_000
DAY = 86_400_000_000
POST = "at://did:plc:author/app.bsky.feed.post/3k"
REMOVE = Decision(
    Action.REMOVE, "did:plc:mod", Acting.MODERATOR, POST, "bafyrei", "not about\x1b[2J birds", "on-topic"
)  # fmt: skip
BAN = Decision(
    Action.BAN, "did:plc:boss", Acting.ADMIN, "did:plc:banned", reason="they insult", until=AT + 86_400_000_000
)
EDIT = Decision(Action.EDIT, "did:plc:boss", Acting.OWNER)
LOGS = {"birds": Log(), "trees": Log("actor", True), "bees": Log("nobody")}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three communities, the first of which is no longer declared: its log stays."""
    monkeypatch.chdir(tmp_path)
    with closing(open_database(tmp_path / "data" / "communities.db")) as database:
        rules = [Community(slug, slug, log=log).to_json() for slug, log in LOGS.items()]
        with writing(database) as connection:
            declare(connection, rules, AT)
            declare(connection, rules[1:], AT)
    return tmp_path


def write(folder: Path, slug: str, *made: Decision) -> list[str]:
    """Append to a log; returns its heads."""
    with closing(open_database(folder / "data" / "communities.db")) as database, writing(database) as connection:
        (number,) = connection.execute("SELECT id FROM community WHERE slug = ?", (slug,)).fetchone()
        events = [logbook.write(connection, number, slug, AT, decision) for decision in made]
    return [f"{event.seq}:{event.hash.hex()}" for event in events]


def damage(folder: Path, statement: str) -> None:
    """What somebody can do who has the file."""
    with closing(apsw.Connection(str(folder / "data" / "communities.db"))) as connection:
        for name in ("update", "delete", "insert"):
            connection.execute(f"DROP TRIGGER IF EXISTS decision_{name}")
        connection.execute(statement)


def said(capsys: Capture, *words: str, code: int = 0) -> str:
    """What the command prints; every line of it can be shown on a terminal."""
    capsys.readouterr()
    assert main(["log", *words]) == code
    captured = capsys.readouterr()
    assert captured.err == "" or code
    assert all(line.isprintable() for line in captured.out.split("\n"))
    return captured.out + captured.err


def export(capsys: Capture, folder: Path, slug: str) -> list[dict[str, Any]]:
    """The public log, also left in the file `log.jsonl`."""
    told = said(capsys, "export", slug)
    (folder / "log.jsonl").write_text(told)
    return [json.loads(line) for line in told.splitlines()]


def test_the_newest_decisions_come_first(folder: Path, capsys: Capture) -> None:
    assert said(capsys, "show", "birds") == "no decision is in the log\n"
    assert json.loads(said(capsys, "show", "birds", "--json")) == []
    write(folder, "birds", REMOVE, BAN, EDIT)
    write(folder, "trees", REMOVE)
    edit, ban, remove = said(capsys, "show", "birds").splitlines()
    assert edit == "     3  2026-09-21T14:13:20Z  edit      by owner did:plc:boss  about nothing"
    assert ban.endswith("about did:plc:banned  until 2026-09-22T14:13:20Z  because they insult")
    assert remove.endswith(rf"about {POST} (bafyrei)  rule on-topic  because not about\x1b[2J birds")
    shown = json.loads(said(capsys, "show", "birds", "--json", "--limit", "2"))
    assert [one["seq"] for one in shown] == [3, 2] and shown[1]["subject"] == "did:plc:banned"
    assert json.loads(said(capsys, "--json", "show", "birds", "--before", "2"))[0]["reason"] == "not about\x1b[2J birds"
    assert [one["seq"] for one in json.loads(said(capsys, "show", "birds", "--subject", POST, "--json"))] == [1]


def test_whole_logs_verify_and_say_their_heads(folder: Path, capsys: Capture) -> None:
    *_, head = write(folder, "birds", REMOVE, BAN, EDIT)
    (other,) = write(folder, "trees", REMOVE)
    lines = said(capsys, "verify").splitlines()
    assert lines[0].startswith("bees: good, 0 decisions, head 0:")
    assert lines[1:] == [f"birds: good, 3 decisions, head {head}", f"trees: good, 1 decisions, head {other}"]
    assert said(capsys, "verify", "birds", "birds") == lines[1] + "\n"
    assert json.loads(said(capsys, "verify", "birds", "--json")) == [
        {"community": "birds", "good": True, "decisions": 3, "head": head}
    ]


@pytest.mark.parametrize(
    ("statement", "seq", "why"),
    [
        ("UPDATE decision SET reason = 'another' WHERE seq = 2", 2, "what it says has the hash "),
        ("DELETE FROM decision WHERE seq = 1", 1, "in its place stands number 2"),
        ("UPDATE decision SET prev = zeroblob(32) WHERE seq = 3", 3, "it follows 0000"),
    ],
)
def test_a_broken_log_is_code_1_and_says_where(
    folder: Path, capsys: Capture, statement: str, seq: int, why: str
) -> None:
    write(folder, "birds", REMOVE, BAN, EDIT)
    damage(folder, statement)
    assert f"birds: BROKEN at {seq}: {why}" in said(capsys, "verify", code=1)
    bees, birds, trees = json.loads(said(capsys, "verify", "--json", code=1))
    assert bees["good"] and trees["good"] and birds["fault"]["seq"] == seq and birds["fault"]["why"].startswith(why)
    assert said(capsys, "verify", "trees", "bees")
    told = said(capsys, "export", "birds", code=1)
    assert len(told.splitlines()) == seq and f"the log of birds is broken at {seq}: {why}" in told


def test_a_head_that_was_seen_must_still_be_there(folder: Path, capsys: Capture) -> None:
    heads = write(folder, "birds", REMOVE, BAN, EDIT)
    export(capsys, folder, "birds")
    other = f"2:{heads[2][2:]}"
    for words in (["birds"], ["--file", "log.jsonl"]):
        for head in heads:
            assert "birds: good, 3" in said(capsys, "verify", *words, "--head", head)
        assert "BROKEN at 2: its hash was" in said(capsys, "verify", *words, "--head", other, code=1)
        assert "BROKEN at 4: it is missing" in said(capsys, "verify", *words, "--head", f"9:{heads[2][2:]}", code=1)
    damage(folder, "DELETE FROM decision WHERE seq = 3")
    assert "birds: good, 2" in said(capsys, "verify", "birds")
    assert "BROKEN at 3: it is missing: the log went to 3" in said(
        capsys, "verify", "birds", "--head", heads[2], code=1
    )
    for names in ([], ["birds", "trees"]):
        assert "name its community" in said(capsys, "verify", *names, "--head", heads[0], code=2)


def test_everybody_can_verify_the_public_log(folder: Path, capsys: Capture) -> None:
    for slug, hidden in {
        "birds": ["did:plc", "bafyrei", "insult", "not about", "2026-09-22"],
        "trees": ["did:plc:banned", "insult", "2026-09-22"],
        "bees": ["did:plc", "bafyrei", "insult", "not about", "moderator", "admin", "2026-09-22"],
    }.items():
        *_, head = write(folder, slug, REMOVE, BAN, EDIT)
        told = export(capsys, folder, slug)
        assert [one["action"] for one in told] == ["remove", "ban", "edit"] and told[0]["rule"] == "on-topic"
        text = (folder / "log.jsonl").read_text()
        assert [word for word in hidden if word in text] == []
        assert said(capsys, "verify", "--file", "log.jsonl") == f"{slug}: good, 3 decisions, head {head}\n"
        assert f"{slug}: good, 3 decisions, head {head}\n" in said(capsys, "verify")
    birds, trees, bees = LOGS
    assert [one.get("role") for one in export(capsys, folder, birds)] == ["moderator", "admin", "owner"]
    assert export(capsys, folder, trees)[0]["subject"] == POST
    assert export(capsys, folder, trees)[1]["actor"] == "did:plc:boss"
    assert "role" not in export(capsys, folder, bees)[0]


def test_a_public_log_needs_no_database_and_no_settings(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "birds", REMOVE)
    export(capsys, folder, "birds")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    assert "birds: good, 1" in said(capsys, "verify", "--file", str(folder / "log.jsonl"))
    assert list(elsewhere.iterdir()) == []


def test_a_public_log_that_was_changed_is_broken(folder: Path, capsys: Capture) -> None:
    write(folder, "birds", REMOVE, BAN, EDIT)
    export(capsys, folder, "birds")
    one, two, three = (folder / "log.jsonl").read_bytes().splitlines()

    def broken(*lines: bytes) -> dict[str, Any]:
        (folder / "changed.jsonl").write_bytes(b"\n".join(lines))
        (found,) = json.loads(said(capsys, "verify", "--file", "changed.jsonl", "--json", code=1))
        fault: dict[str, Any] = found["fault"]
        return fault

    assert broken(one, three)["seq"] == 2 and broken(one, one)["seq"] == 2 and broken(two)["seq"] == 1
    assert broken(one, two.replace(b"admin", b"owner"), three)["seq"] == 2
    assert "another community" in broken(one, two.replace(b"birds", b"trees"))["why"]
    assert broken(*(line.replace(b"birds", b"trees") for line in (one, two, three)))["seq"] == 1
    twice = two.replace(b'"role": "admin"', b'"role": "owner", "role": "admin"')
    assert broken(one, twice) == {"seq": 2, "why": "its line cannot be read: a key stands there twice"}
    for line in (b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b"null", b'{"seq": NaN}', b'"' + b"x" * (2 << 20)):
        assert broken(one, line, three)["seq"] == 2
    assert "is unknown" in broken(one, two.replace(b'"seq"', b'"\\u001b[2J": 1, "seq"'))["why"]


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", b"\xff", b"[]", b'{"community": 5}'])
def test_a_file_that_is_no_log_is_code_1(folder: Path, capsys: Capture, content: bytes) -> None:
    (folder / "log.jsonl").write_bytes(content)
    assert "log.jsonl: " in said(capsys, "verify", "--file", "log.jsonl", code=1)
    assert ("it is empty" in said(capsys, "verify", "--file", "log.jsonl", code=1)) == (content == b"")
    assert "cannot be read" in said(capsys, "verify", "--file", "none.jsonl", code=1)
    assert "cannot be read" in said(capsys, "verify", "--file", ".", code=1)


def test_a_community_that_is_not_known(folder: Path, capsys: Capture) -> None:
    for words in (["show", "x"], ["verify", "birds", "x"], ["export", "x"]):
        assert "no community 'x' is known" in said(capsys, *words, code=1)


def test_nothing_is_made_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["show", "x"], ["verify"], ["export", "x"]):
        assert "no such database" in said(capsys, *words, code=1)
    assert list(tmp_path.iterdir()) == []
    with closing(open_database(tmp_path / "data" / "communities.db")) as database:
        assert sql(database).execute("SELECT count(*) FROM community").fetchone() == (0,)
    assert said(capsys, "verify") == "there is no community\n" and said(capsys, "verify", "--json") == "[]\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["show"],
        ["export"],
        ["show", "a", "b"],
        ["export", "a", "b"],
        ["show", "a", "--limit", "0"],
        ["show", "a", "--before", "x"],
        ["verify", "a", "--file", "f"],
        ["verify", "--head", "1:00"],
        ["verify", "a", "--head", "0" * 64],
        ["move"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_code_2(words: list[str], capsys: Capture) -> None:
    assert main(["log", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "usage: communities" in captured.err
