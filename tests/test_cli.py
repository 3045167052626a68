"""The command line: every command's help and flags, exit codes, JSON on standard output, faults on standard error."""

import json
import subprocess
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

import service.cursor
from models.database import open_database, writing
from service.cli import ABOUT, COMMANDS, main
from service.config import Config
from tests.service_process import clean_environ, console_script, free_port

RULES = '[[community]]\nslug = "ab"\nname = "AB"\ninclude.hashtags = ["x"]\n'
SECRET = "canary-1234-5678"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and nothing of this machine's settings."""
    import os

    for key in list(os.environ):
        if key.startswith("COMMUNITIES_"):
            monkeypatch.delenv(key)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The installed console script, to its end."""
    return subprocess.run(
        [console_script(), *words],
        env=clean_environ(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_command_is_told_of() -> None:
    assert COMMANDS.keys() == ABOUT.keys()
    ran = script("--help")
    assert ran.returncode == 0 and ran.stderr == ""
    said = " ".join(ran.stdout.split())
    assert all(f" {name} {about}" in said for name, about in ABOUT.items())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_the_common_flags(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr()
    assert said.err == "" and f"usage: communities {command}" in said.out
    assert "--json" in said.out and "--env-file" in said.out
    assert "--supervised" not in said.out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nothing"],
        ["--nothing"],
        ["status", "--nothing"],
        ["status", "more"],
        ["cursor"],
        ["cursor", "move"],
        ["cursor", "reset", "--to", "x"],
        ["cursor", "reset", "--to", "-5"],
        ["cursor", "reset", "--to", "１"],
        ["cursor", "reset", "--to", "1" * 30],
        ["explain"],
        ["log"],
        ["label"],
        ["label", "add", "did:plc:x"],
        ["label", "retract", "--event", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_code_2(words: list[str], capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and "usage: communities" in said.err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        name
        for name in COMMANDS
        if name not in ("explain", "cursor", "unpublish", "backfill", "takedown", "undo", "log", "label", "labeler")
    ],
)
def test_wrong_settings_are_code_2_and_told_at_once(
    command: str, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "my.env").write_text(f"COMMUNITIES_LISTEN_PORT=x\nCOMMUNITIES_APP_PASSWORDS={SECRET}\n")
    assert main([command, "--env-file", "my.env"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("communities: configuration: ")
    assert "COMMUNITIES_LISTEN_PORT" in said.err and "COMMUNITIES_APP_PASSWORDS" in said.err
    assert SECRET not in said.err


@pytest.mark.parametrize("words", [["takedown", "did:plc:" + "a" * 24], ["cursor", "reset"]], ids=" ".join)
def test_in_the_wrong_folder_nothing_is_said_to_be_done(
    words: list[str], capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.out == "" and "no such database" in said.err
    assert list(folder.iterdir()) == []


def test_the_env_file_of_the_working_directory_is_read(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / ".env").write_text("COMMUNITIES_SOURCE=wss://relay.example\nCOMMUNITIES_DATA=elsewhere\n")
    open_database(folder / "elsewhere" / "communities.db").close()
    main(["status", "--json"])
    assert json.loads(capsys.readouterr().out)["source"] == "wss://relay.example"


@pytest.mark.parametrize("command", ["run", "ingest"])
def test_faults_of_the_rules_are_code_2_each_with_its_line(command: str, folder: Path) -> None:
    (folder / "communities.toml").write_text(RULES + "colour = 1\nname2 = 2\n")
    ran = script(command, source=f"ws://127.0.0.1:{free_port()}")
    assert ran.returncode == 2 and ran.stdout == ""
    assert "communities.toml:5: community[1].colour" in ran.stderr
    assert "communities.toml:6: community[1].name2" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", ["run", "serve", "cursor reset"])
def test_a_file_that_is_no_database_is_code_1_and_named(command: str, folder: Path) -> None:
    (folder / "communities.toml").write_text(RULES)
    (folder / "data").mkdir()
    (folder / "data" / "communities.db").write_bytes(b"x" * 5000)
    ran = script(*command.split(), source=f"ws://127.0.0.1:{free_port()}", listen_port="0", metrics_port="0")
    assert ran.returncode == 1 and ran.stdout == ""
    assert "data/communities.db" in ran.stderr and "not a database" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_reading_commands_make_no_database(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for words in (["status"], ["cursor", "show"]):
        assert main(words) == 1
        assert "no such database" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def rows(folder: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """A database with these rows."""
    database = open_database(folder / "data" / "communities.db")
    with writing(database) as connection:
        for statement, bindings in statements:
            connection.execute(statement, bindings)
    database.close()


def reading(folder: Path, state: str, age: float = 0) -> None:
    import time

    at = int((time.time() - age) * 1_000_000)
    report = json.dumps(
        {"state": state, "applied": {"likes": 1234}, "dropped": {}, "closes": {}, "rulesFault": "f:1: x"}
    )
    rows(folder, ("INSERT OR REPLACE INTO process VALUES ('ingest', ?, ?)", (at, report)))


def test_status_says_how_ingest_stands(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    rows(folder)
    assert main(["status"]) == 1 and "never started" in capsys.readouterr().out
    reading(folder, "reading")
    assert main(["status"]) == 0
    said = capsys.readouterr()
    assert "reading" in said.out and "1,234  likes" in said.out and "f:1: x" in said.out and said.err == ""
    assert main(["status", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["state"] == "reading" and answer["rows"]["communities"] == 0
    reading(folder, "reading", age=100)
    assert main(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["state"].startswith("no sign of life")


def test_the_position_is_shown_and_moved(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    def cursor(*words: str) -> Any:
        assert main(["cursor", *words, "--json"]) == 0
        return [(entry["url"], entry["cursor"]) for entry in json.loads(capsys.readouterr().out)]

    mine, other = "wss://bsky.network", "wss://other.example"
    rows(folder, *[("INSERT INTO source VALUES (?, 'seq', ?, 5)", (url, 10)) for url in (mine, other)])
    assert cursor("show") == [(mine, 10), (other, 10)]
    assert cursor("reset", "--to", "7") == [(mine, 7), (other, 10)]
    assert cursor("reset") == [(other, 10)]
    assert main(["cursor", "show"]) == 0 and "starts at the live end" in capsys.readouterr().out
    assert main(["cursor", "show", "--to", "7"]) == 2 and "cursor reset --to" in capsys.readouterr().err


def test_a3_the_position_is_moved_in_one_of_several_sources_and_is_of_its_kind(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay, v1, v2, tap = (
        "wss://relay.example",
        "jetstream1+wss://j.example",
        "jetstream+wss://j.example",
        "tap+ws://a@x",
    )
    monkeypatch.setenv("COMMUNITIES_EGRESS_ALLOW", "x")
    monkeypatch.setenv("COMMUNITIES_SOURCE", f"{relay}, {v1}/, {v2}, tap+ws://a:canary@x")
    time = 1_790_000_000_000_000
    rows(folder)

    def reset(*words: str) -> list[tuple[str, str, int]]:
        assert main(["cursor", "reset", *words, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        return [(entry["url"], entry["kind"], entry["cursor"]) for entry in said]

    def refused(*words: str) -> str:
        assert main(["cursor", "reset", *words]) == 1
        return capsys.readouterr().err

    assert reset("--to", "7") == [(relay, "seq", 7)]
    assert reset("--to", str(time), "--source", v1) == [(v1, "time_us", time), (relay, "seq", 7)]
    assert reset("--to", "9", "--source", v2)[0] == (v2, "seq", 9)
    assert "counts by seq" in refused("--to", str(time), "--source", v2)
    assert "counts by microseconds" in refused("--to", "7", "--source", v1)
    assert "has no positions" in refused("--to", "7", "--source", tap)
    assert relay in (said := refused("--source", "wss://other.example")) and tap in said and "canary" not in said
    assert len(reset("--source", relay)) == 2


def test_the_position_of_an_ingest_that_reads_stays(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    reading(folder, "reading")
    assert main(["cursor", "reset"]) == 1
    assert "stop it first" in capsys.readouterr().err
    reading(folder, "reading", age=100)
    assert main(["cursor", "reset"]) == 0


def raising(error: BaseException) -> Callable[[Config, Namespace], int]:
    def run(config: Config, args: Namespace) -> int:
        raise error

    return run


def test_an_interrupted_command_is_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.cursor, "run", raising(KeyboardInterrupt()))
    assert main(["cursor", "show"]) == 130


@pytest.mark.parametrize(
    "words", [["label", "list", "\udcff"], ["label", "retract", "--batch", "\udcff"], ["takedown", "\udcff"]]
)
def test_what_is_no_text_is_refused_wherever_it_stands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "not UTF-8" in capsys.readouterr().err


def test_our_own_faults_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.cursor, "run", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["cursor", "show"])


def test_a_reader_that_goes_away_is_no_traceback(folder: Path) -> None:
    rows(folder)
    import os

    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ran = subprocess.run(
            [console_script(), "cursor", "show"], env=clean_environ({}), stdout=closed, stderr=subprocess.PIPE,
            timeout=60, check=False,
        )  # fmt: skip
    assert b"Traceback" not in ran.stderr and b"Exception ignored" not in ran.stderr
    assert ran.returncode in (0, 1)


def test_the_first_start_writes_the_example_rules(folder: Path) -> None:
    (folder / "data").write_text("a file where the folder should be, so that it ends at once")
    assert script("run", rules="etc/communities.toml").returncode == 1
    example = Path(service.cursor.__file__).with_name("communities.example.toml")
    assert (folder / "etc" / "communities.toml").read_bytes() == example.read_bytes()


def test_rules_that_are_lost_are_not_replaced_by_the_examples(folder: Path) -> None:
    rows(folder)  # a database: this is no first start
    ran = script("run", rules="etc/communities.toml")
    assert ran.returncode == 2 and "this is no first start" in ran.stderr and "Put the file back" in ran.stderr
    assert not (folder / "etc").exists()


def test_rules_that_cannot_be_written_are_a_fault_of_configuration(folder: Path) -> None:
    (folder / "file").write_text("x")
    ran = script("run", rules=str(folder / "file" / "communities.toml"), data=str(folder / "data"))
    assert ran.returncode == 2 and "no example can be written there" in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.parametrize("option", [["--days", "-3"], ["--samples", "x"]])
def test_backtest_takes_no_negative_number(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", *option]) == 2
    assert "must be a whole number, 0 or more" in capsys.readouterr().err


def test_a_database_that_fails_while_it_is_used_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> bool:
        raise apsw.FullError("database or disk is full")

    rows(folder)
    monkeypatch.setattr("service.takedown.take_down", full)
    assert main(["takedown", "did:plc:" + "a" * 24]) == 1
    assert capsys.readouterr().err == (
        "communities: error: data/communities.db: the database cannot be used: database or disk is full; make room\n"
    )


@pytest.mark.parametrize("command", ["run", "ingest", "serve"])
def test_the_log_as_json_is_said_to_go_to_standard_error(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert "on standard error, as JSON lines" in capsys.readouterr().out
