"""`communities run`: two processes watched over, as an operator sees them: processes, ports, signals, exit codes."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from models.lock import LockError, only_one
from service.cli import main
from tests.service_process import Service, free_port, get_json, until

RULES = '[[community]]\nslug = "ab"\nname = "AB"\ninclude.hashtags = ["x"]\n'
SECRET = "canary-1234-5678"

Start = Callable[..., Service]


def nowhere() -> str:
    """A source that nobody serves: ingest goes on trying."""
    return f"ws://127.0.0.1:{free_port()}"


def children(service: Service) -> dict[str, int]:
    """The processes of the service by command, from the system's list."""
    assert service.process is not None
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"^ *(\d+) +(\d+) .*-m service (\w+) --supervised", listed, re.MULTILINE)
    return {name: int(pid) for pid, parent, name in found if int(parent) == service.process.pid}


def both(service: Service) -> dict[str, int] | None:
    """The children, when both are there."""
    found = children(service)
    return found if found.keys() == {"ingest", "serve"} else None


def gone(pid: int) -> bool:
    """Whether a process has ended (one whose parent has not asked yet counts as ended)."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() == "" or state.startswith("Z")


def working(health: dict[str, Any]) -> bool:
    """Whether ingest has said that it runs."""
    return str(health["state"]).startswith(("connecting", "reconnecting"))


def started(service: Service) -> dict[str, int]:
    """The two processes, once both work."""
    service.wait_health(working)
    found = children(service)
    assert found.keys() == {"ingest", "serve"}
    return found


def test_a_killed_process_is_started_again_and_sigterm_stops_all(start_service: Start) -> None:
    service = start_service(RULES, source=nowhere(), app_password=SECRET)
    before = started(service)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    after = until("both are back", lambda: both(service))
    assert not set(after.values()) & set(before.values())
    until("ingest has begun again", lambda: service.log.read_text().count(": 1 communities") == 2)
    service.wait_health(working)
    assert "ended with code -9; starting it again in 2 s" in service.log.read_text()
    service.signal(signal.SIGTERM)
    assert service.wait_exit() == 0
    assert all(gone(pid) for pid in after.values())
    log = service.log.read_text()
    assert SECRET not in log and "Traceback" not in log  # S169
    assert '"state": "stopped"' in service.command_line("status", "--json").stdout


def test_a_stop_while_the_processes_are_starting_is_a_clean_stop(start_service: Start) -> None:
    service = start_service(RULES, source=nowhere())
    pids = until("both are there", lambda: both(service))
    service.signal(signal.SIGTERM)
    assert service.wait_exit() == 0
    assert all(gone(pid) for pid in pids.values())


def test_nobody_is_left_behind_when_the_supervisor_is_killed(start_service: Start) -> None:
    service = start_service(RULES, source=nowhere())
    pids = started(service)
    service.kill()
    until("they end by themselves", lambda: all(gone(pid) for pid in pids.values()))


@contextmanager
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(("command", "setting"), [("run", "listen_port"), ("serve", "metrics_port")])
def test_a_port_in_use_ends_it_and_is_named(start_service: Start, command: str, setting: str) -> None:
    with taken() as port:
        service = start_service(RULES, command, source=nowhere(), **{setting: str(port)})
        assert service.wait_exit() == 2
    log = service.log.read_text()
    assert f"127.0.0.1:{port}" in log and f"COMMUNITIES_{setting.upper()}" in log and "Traceback" not in log


def test_rules_change_while_it_runs_and_ctrl_c_stops_it(start_service: Start) -> None:
    service = start_service(RULES, source=nowhere())
    pids = started(service)
    service.rules.write_text(RULES + "colour = 1\n")
    fault = service.wait_health(lambda health: health["rulesFault"])["rulesFault"]
    assert "communities.toml:5: community[1].colour" in fault

    def slugs() -> list[str]:
        answer = get_json(f"{service.url}/xrpc/app.bsky.feed.describeFeedGenerator")
        return [entry["uri"].rpartition("/")[2] for entry in answer["feeds"]] if answer else []

    assert slugs() == ["everything", "ab"]
    service.rules.write_text(RULES + RULES.replace('"ab"', '"cd"'))
    until("the new rules are served", lambda: slugs() == ["everything", "ab", "cd"])
    service.signal(signal.SIGINT)
    assert service.wait_exit() == 0
    assert all(gone(pid) for pid in pids.values())


def test_a_second_ingest_on_one_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ingest.lock"
    with (
        only_one(path),
        pytest.raises(LockError, match=r"ingest\.lock is held: another `communities run`"),
        only_one(path),
    ):
        pytest.fail("two held one lock")
    with only_one(path):  # and it is free again
        pass


def test_an_env_file_that_is_named_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--env-file", "no-such.env"]) == 2
    assert "no-such.env: cannot be read" in capsys.readouterr().err
