"""The official PLC directory, PDS, AppView and Ozone on loopback: installation and start.

`python -m tests.network.netbox` installs the npm packages where it can; a second run does nothing.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.service_process import PATIENCE, Program

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
STAMP = MODULES / ".installed"
FIX = "apt-get install -y npm postgresql redis-server g++ make (macOS: brew install node postgresql redis)"
OLDEST_NODE = (22, 19)


def node() -> Path | None:
    """The Node that runs the network: the one pinned as a package, or the system's when it is new enough."""
    kind = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    packaged = MODULES / f"node-linux-{kind}" / "bin" / "node"
    if packaged.exists() and sys.platform == "linux":
        return packaged
    found = shutil.which("node")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False, timeout=30).stdout
    version = tuple(int(part) for part in said.strip().lstrip("v").split(".")[:2] if part.isdecimal())
    return Path(found) if version >= OLDEST_NODE else None


def packaged_node_exists() -> bool:
    """Whether npm has a Node for this machine among the pinned packages."""
    glibc = platform.libc_ver()[0] == "glibc"
    return sys.platform == "linux" and glibc and platform.machine() in ("x86_64", "aarch64")


def postgres_folder() -> Path | None:
    """The folder of initdb and postgres, which Debian and Homebrew keep off the PATH."""
    places = [*Path("/usr/lib/postgresql").glob("*/bin")]
    places += [
        *Path("/opt/homebrew/opt").glob("postgresql*/bin"),
        *Path("/usr/local/opt").glob("postgresql*/bin"),
    ]
    found = shutil.which("initdb")
    ordered = sorted(places, reverse=True) + ([Path(found).resolve().parent] if found else [])
    return next(
        (folder for folder in ordered if (folder / "initdb").exists() and (folder / "postgres").exists()),
        None,
    )


def lacking() -> list[str]:
    """What must be installed on this machine before the npm packages can be of use."""
    absent = []
    if not packaged_node_exists() and node() is None:
        absent.append(f"Node >= {'.'.join(map(str, OLDEST_NODE))}")
    if shutil.which("npm") is None:
        absent.append("npm")
    if "DB_POSTGRES_URL" not in os.environ and postgres_folder() is None:
        absent.append("PostgreSQL (or DB_POSTGRES_URL of a running one)")
    if "REDIS_HOST" not in os.environ and shutil.which("redis-server") is None:
        absent.append("redis-server (or REDIS_HOST of a running one)")
    return absent


def why_not() -> str | None:
    """One line: why the network cannot be started here and what to do about it. None when it can."""
    absent = lacking()
    if absent:
        return f"the official servers need {', '.join(absent)}: {FIX}, then `make test`"
    if _stamp() != _wanted():
        return "the official servers are not installed: `make test` does it"
    return None


def install() -> None:
    """`npm ci`, then the native package is built for the Node that will run it. Raises CalledProcessError."""
    if lacking() or _stamp() == _wanted():
        return
    print("installing the official servers (650 MB, a few minutes) ...", flush=True)
    # Without --ignore-scripts better-sqlite3 is built for the Node that runs npm, not for the pinned one.
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(["npm", "ci", "--ignore-scripts", *quiet], cwd=FOLDER, stdin=subprocess.DEVNULL, check=True)
    runner = node()
    if runner is None:
        raise SystemExit("npm installed no Node for this machine; install Node 22 or newer")
    environ = os.environ | {"PATH": f"{runner.parent}{os.pathsep}{os.environ['PATH']}"}
    if MODULES in runner.parents:
        environ["npm_config_nodedir"] = str(runner.parents[1])  # its headers: none are downloaded
    print("building better-sqlite3 ...", flush=True)
    rebuild = ["npm", "rebuild", "better-sqlite3", *quiet]
    subprocess.run(rebuild, cwd=FOLDER, env=environ, stdin=subprocess.DEVNULL, check=True)
    probe = "new (require('better-sqlite3'))(':memory:').prepare('select 1').get()"
    subprocess.run([runner, "-e", probe], cwd=FOLDER, stdin=subprocess.DEVNULL, check=True)
    STAMP.write_text(_wanted(), encoding="utf-8")


def _wanted() -> str:
    return hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()


def _stamp() -> str | None:
    return STAMP.read_text(encoding="utf-8") if STAMP.exists() else None


class Netbox(Program):
    """The running network. `info` is the line it printed: URLs, DIDs and accounts."""

    answers = True

    def __init__(self, log: Path) -> None:
        runner = node()
        assert runner is not None
        command = [str(runner), "netbox.mjs", "--tied", "--patience", str(PATIENCE)]
        if folder := postgres_folder():
            command += ["--pgbin", str(folder)]
        super().__init__("netbox", command, log, os.environ, FOLDER)
        self.info: dict[str, Any] = {}

    def boot(self, tries: int = 2, deadline: float = 180.0) -> None:
        """Start it and wait until it is up.

        Upstream's own start has fixed waits of 5 s, which a loaded machine can miss: hence several tries.
        """
        for left in reversed(range(tries)):
            began = time.monotonic()
            self.start()
            line = self._first_line(min(deadline * PATIENCE, 400.0))
            if line:
                self.info = json.loads(line)
                print(f"netbox is up after {time.monotonic() - began:.1f} s", file=sys.stderr)
                return
            code = self.wait_exit()
            print(f"netbox did not come up (exit code {code}), {left} tries left", file=sys.stderr)
        raise AssertionError(f"netbox did not come up:\n{self.log_tail()}")

    def _first_line(self, seconds: float) -> bytes:
        # The timer turns a silent box into an ended one, so that the blocking read below always ends.
        assert self.process is not None
        assert self.process.stdout is not None
        timer = threading.Timer(seconds, self.process.terminate)
        timer.start()
        try:
            return self.process.stdout.readline()
        finally:
            timer.cancel()

    def ask(self, command: str, **body: Any) -> Any:
        """Run a command of the box (see README.md) and return its answer; raises HTTPError when it failed."""
        request = urllib.request.Request(
            f"{self.info['control']}/{command}",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60 * PATIENCE) as answer:
            return json.load(answer)


if __name__ == "__main__":
    install()
