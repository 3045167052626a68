"""A program under test as a child process: log in a file, stop checked, readiness asked of itself.

`PATIENCE` (environment variable TEST_PATIENCE, default 1) lengthens every deadline, for a loaded machine.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))

Health = dict[str, Any]
T = TypeVar("T")


def until(what: str, check: Callable[[], T | None], deadline: float = 30.0) -> T:
    """The first truthy answer of `check`, asked every 50 ms for `deadline` seconds times PATIENCE.

    Raises AssertionError, which says what was waited for, when none came.
    """
    end = time.monotonic() + deadline * PATIENCE
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline * PATIENCE:.0f} s in vain: {what} (last answer: {answer!r})")
        time.sleep(0.05)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody holds at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get_json(url: str, timeout: float = 5.0) -> Any | None:
    """The JSON body that `url` answers with status 200, or None while it answers anything else."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


class Program:
    """A child process that writes into `log`; `stop` sends SIGTERM and demands exit code 0.

    With `answers` its standard output is a pipe that the owner reads; otherwise it goes to the log as well.
    Its standard input is a pipe that ends with this process: a child which minds it cannot be orphaned.
    """

    answers = False

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environ: Mapping[str, str],
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.environ = dict(environ)
        self.cwd = cwd
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it; its log goes on in the same file when it is started again."""
        assert self.process is None, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if self.answers else log,
                stderr=log,
                env=self.environ,
                cwd=self.cwd,
            )
        return self

    def alive(self) -> bool:
        """Whether it runs; raises AssertionError with its last words when it ended by itself."""
        assert self.process is not None, f"{self.name} was not started"
        code = self.process.poll()
        assert code is None, f"{self.name} ended by itself with code {code}:\n{self.log_tail()}"
        return True

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait_exit(self, deadline: float = 30.0) -> int:
        """Its exit code; after `deadline` seconds times PATIENCE it is killed, AssertionError is raised."""
        process, self.process = self.process, None
        assert process is not None
        try:
            process.communicate(timeout=deadline * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise AssertionError(f"{self.name} did not end in time:\n{self.log_tail()}") from None
        return process.returncode

    def stop(self, deadline: float = 30.0) -> None:
        """End it by SIGTERM; anything but exit code 0 is a failure. Does nothing when it was ended before."""
        if self.process is None:
            return
        self.signal(signal.SIGTERM)
        code = self.wait_exit(deadline)
        assert code == 0, f"{self.name} ended with code {code} after SIGTERM:\n{self.log_tail()}"

    def kill(self) -> None:
        """End it by SIGKILL, as a power cut would."""
        self.signal(signal.SIGKILL)
        self.wait_exit()

    def log_tail(self, lines: int = 60) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def console_script() -> str:
    """The `communities` program of the interpreter that runs the tests."""
    beside = Path(sys.executable).with_name("communities")
    found = str(beside) if beside.exists() else shutil.which("communities")
    assert found, "the console script `communities` is not installed: pip install -e ."
    return found


def clean_environ(settings: Mapping[str, str]) -> dict[str, str]:
    """This environment without any COMMUNITIES_* of the person who runs the tests, and with `settings`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COMMUNITIES_")}
    return kept | {"COMMUNITIES_" + key.upper(): value for key, value in settings.items()}


class Service(Program):
    """The real service: `communities <command>` on free ports of 127.0.0.1 with its own data folder.

    `settings` are fields of Config by name, as text; the ports, the folder and the rules file are filled in.
    """

    def __init__(self, folder: Path, rules: str, command: str = "run", **settings: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.rules = folder / "communities.toml"
        self.rules.write_text(rules, encoding="utf-8")
        port, metrics = free_port(), free_port()
        self.settings = {
            "hostname": f"localhost:{port}",
            "listen_port": str(port),
            "metrics_port": str(metrics),
            "data": str(folder / "data"),
            "rules": str(self.rules),
        } | settings
        self.url = f"http://127.0.0.1:{self.settings['listen_port']}"
        self.metrics_url = f"http://127.0.0.1:{self.settings['metrics_port']}/metrics"
        self.database = Path(self.settings["data"]) / "communities.db"
        super().__init__(
            f"communities {command}",
            [console_script(), command],
            folder / f"{command}.log",
            clean_environ(self.settings),
            folder,
        )

    def health(self) -> Health | None:
        """What /xrpc/_health says, or None while nobody answers."""
        answer: Health | None = get_json(f"{self.url}/xrpc/_health")
        return answer

    def wait_health(self, predicate: Callable[[Health], bool] = lambda health: True, deadline: float = 30.0) -> Health:
        """Ask the health until `predicate` holds; AssertionError at the deadline or when the process ends."""

        def check() -> Health | None:
            self.alive()
            health = self.health()
            return health if health is not None and predicate(health) else None

        try:
            return until("the health answer", check, deadline)
        except AssertionError as error:
            raise AssertionError(f"{error}; health is {self.health()}\n{self.log_tail()}") from None

    def wait_cursor(self, seq: int, deadline: float = 30.0) -> Health:
        """Wait until everything up to `seq` of the source's stream is committed."""
        return self.wait_health(lambda health: (health.get("cursor") or 0) >= seq, deadline)

    def metrics(self) -> str:
        """The text of /metrics."""
        with urllib.request.urlopen(self.metrics_url, timeout=5.0) as answer:
            return str(answer.read().decode())

    def command_line(
        self, *words: str, typed: str = "", deadline: float = 60.0, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run another command of the console script with this service's settings, to its end. `typed`: what it reads
        from its standard input.
        """
        return subprocess.run(
            [console_script(), *words],
            env=clean_environ(self.settings | settings),
            cwd=self.folder,
            input=typed,
            capture_output=True,
            text=True,
            timeout=deadline * PATIENCE,
            check=False,
        )
