"""The moderation service that ours is measured beside: `@atproto/ozone` from npm, pinned, on a PostgreSQL of its own.

The package is the one that the network in a box has (tests/network), whose lock pins it. The service runs alone,
without its daemon (which refreshes statistics every half an hour, notes reports for queues, pushes takedowns), without
a log and without metrics, and what it asks others is answered on loopback: all this makes it faster than at work.
Everything else is left as it is by default.
"""

import json
import os
import select
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench import ozone_appview, ozone_peer_rows, ozone_postgres
from bench.cores import Cores, pin, usage
from bench.ozone_rows import History
from tests.network import netbox

PROGRAM = Path(__file__).parent / "ozone_peer" / "peer.mjs"
_KEY = "02" * 32
_PASSWORD = "not-used"  # it does not start without one


class Peer(NamedTuple):
    """The running peer: where it answers, the processes of its service and its database, and that database."""

    url: str
    pid: int
    database: ozone_postgres.Postgres
    others: str
    """Where the directory and the AppView answer; `/asked` counts what was asked of them."""

    def spent(self) -> tuple[float, float]:
        """Seconds of the processor that service and database have used."""
        used = usage(self.pid)
        return used.cpu if used else 0.0, self.database.cpu()


def version() -> str:
    """Of the peer, as it is pinned."""
    locked = json.loads((netbox.FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    return f"@atproto/ozone {locked['packages']['node_modules/@atproto/ozone']['version']}"


def why_not() -> str | None:
    """Why it cannot be started here, and what to do about it; None when it can."""
    return netbox.why_not()


def install() -> None:
    """Install it with the network in a box, once. Raises RuntimeError where it cannot be, CalledProcessError where npm
    fails.
    """
    netbox.install()
    if fault := why_not():
        raise RuntimeError(fault)


@contextmanager
def running(
    folder: Path,
    history: History,
    labeler: str,
    moderator: str,
    documents: Mapping[str, Any],
    *,
    measured: Cores = None,
    others: Cores = None,
    log: Path | None = None,
) -> Iterator[Peer]:
    """The peer over a history, with `moderator` (a DID) as admin of its team; call `install` before.

    `folder` must be there, and be empty. `documents` are those of the DIDs that sign tokens. Service and database get
    the cores `measured`, and what they ask others the cores `others`. With `log` it writes there what it has to say.
    Raises RuntimeError when it does not come up.
    """
    data = folder / "postgres"
    data.mkdir()
    with ozone_appview.answering(documents, others) as url, ozone_postgres.running(data, measured) as database:
        environ = os.environ | {
            "NODE_ENV": "production",
            "LOG_ENABLED": "true" if log else "false",
            "LOG_DESTINATION": str(log or ""),
            "OZONE_MODULES": str(netbox.FOLDER / "package.json"),
            "OZONE_DEV_MODE": "true",  # else it asks nobody on loopback
            "OZONE_PORT": "0",
            "OZONE_PUBLIC_URL": "https://ozone.example.org",
            "OZONE_SERVER_DID": labeler,
            "OZONE_SIGNING_KEY_HEX": _KEY,
            "OZONE_ADMIN_PASSWORD": _PASSWORD,
            "OZONE_ADMIN_DIDS": moderator,
            "OZONE_MODERATOR_DIDS": "",
            "OZONE_TRIAGE_DIDS": "",
            "OZONE_APPVIEW_URL": url,
            "OZONE_APPVIEW_DID": ozone_appview.APPVIEW,
            "OZONE_DID_PLC_URL": url,
            "OZONE_DB_POSTGRES_URL": database.url,
        }
        command = [str(netbox.node()), "--require", str(netbox.FOLDER / "loopback.cjs"), str(PROGRAM)]
        subprocess.run([*command, "migrate"], env=environ, stdin=subprocess.DEVNULL, check=True)
        ozone_peer_rows.fill(database, history, labeler)
        with _serving([*command, "serve"], environ, measured) as (pid, port):
            yield Peer(f"http://127.0.0.1:{port}", pid, database, url)


@contextmanager
def _serving(command: list[str], environ: Mapping[str, str], cores: Cores) -> Iterator[tuple[int, int]]:
    process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        pin(cores, process.pid)
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 60)
        line = process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError(f"{version()} does not come up (exit code {process.poll()})")
        yield process.pid, int(json.loads(line)["port"])
    finally:
        try:
            process.communicate(timeout=10)  # the end of its standard input ends it
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
