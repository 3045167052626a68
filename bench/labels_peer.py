"""The labeler that ours is measured beside: `@skyware/labeler` from npm, pinned, with its own server and database.

It is installed into bench/labeler_peer/ when a benchmark first needs it, with a Node of its own where npm has one for
this machine. Everything is left as it is by default.
"""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from bench.cores import Cores, pin

FOLDER = Path(__file__).parent / "labeler_peer"
MODULES = FOLDER / "node_modules"
STAMP = MODULES / ".installed"
OLDEST_NODE = 20
_INSERT = "INSERT INTO labels (src, uri, cid, val, neg, cts, exp, sig) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def version() -> str:
    """Of the peer, as it is pinned."""
    dependencies = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return f"@skyware/labeler {dependencies['@skyware/labeler']}"


def node() -> str | None:
    """The Node that came as a package, or the system's when it is new enough."""
    kind = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    packaged = MODULES / f"node-linux-{kind}" / "bin" / "node"
    found = str(packaged) if sys.platform == "linux" and packaged.exists() else shutil.which("node")
    return found if found and _number(found) >= OLDEST_NODE else None


def node_version() -> str:
    """Such as v22.23.3; empty without one."""
    found = node()
    return _said(found) if found else ""


def _said(program: str) -> str:
    ran = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=30)
    return ran.stdout.strip()


def _number(program: str) -> int:
    major = _said(program).removeprefix("v").partition(".")[0]
    return int(major) if major.isdecimal() else 0


def why_not() -> str | None:
    """Why it cannot be installed here, and what to do about it; None when it can, or is."""
    if _is_installed() or shutil.which("npm"):
        return None
    return "the labels benchmarks measure a peer from npm: apt-get install -y npm (macOS: brew install node)"


def _is_installed() -> bool:
    return STAMP.exists() and STAMP.read_text(encoding="utf-8") == _wanted()


def _wanted() -> str:
    return hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()


def install() -> None:
    """`npm ci`, once. Raises RuntimeError where it cannot be, CalledProcessError where npm fails."""
    if _is_installed():
        return
    fault = why_not()
    if fault:
        raise RuntimeError(fault)
    print(f"installing {version()} (240 MB) ...", file=sys.stderr, flush=True)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(["npm", "ci", *quiet], cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True)
    if node() is None:
        raise RuntimeError(f"{version()} needs Node {OLDEST_NODE} or newer, and npm has none for this machine")
    STAMP.write_text(_wanted(), encoding="utf-8")


class Peer:
    """The running peer."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid

    def tell(self, command: str, **given: Any) -> None:
        """Let it begin with something, to be ended by `answer`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **given}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """What the last command gave. Raises RuntimeError when the process has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer has ended with code {self._process.wait()}")
        return json.loads(line)

    def ask(self, command: str, **given: Any) -> Any:
        """Both."""
        self.tell(command, **given)
        return self.answer()


@contextmanager
def running(did: str, key: bytes, database: Path, cores: Cores) -> Iterator[Peer]:
    """The peer on a database, which is made if it is not there; call `install` before."""
    command = [node() or "node", "peer.mjs", did, key.hex(), str(database)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=FOLDER, stdin=pipe, stdout=pipe, text=True)
    try:
        pin(cores, process.pid)
        peer = Peer(process)
        peer.ask("ready")
        yield peer
    finally:
        process.kill()
        process.communicate()


def fill(database: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Put signed labels (src, uri, cid, val, neg, cts, exp, sig) straight into its table; it must not run."""
    connection = apsw.Connection(str(database))
    try:
        connection.execute("PRAGMA synchronous = off")
        with connection:
            connection.executemany(_INSERT, rows)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
