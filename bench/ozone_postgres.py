"""A PostgreSQL of its own for a peer that needs one, in a folder of its own, on loopback.

It commits to the disk, as it does by default; its memory is set as its manual advises for a machine that it has to
itself.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.cores import Cores, pin
from tests.network.netbox import postgres_folder
from tests.service_process import free_port

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "1GB",
    "effective_cache_size": "4GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
}
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Postgres:
    """The running database; `url` is for clients."""

    def __init__(self, programs: Path, port: int, pid: int) -> None:
        self.pid = pid
        self.url = f"postgresql://pg@127.0.0.1:{port}/postgres"
        self._psql = [str(programs / "psql"), self.url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]

    def run(self, *statements: str) -> str:
        """Run each in a transaction of its own; returns what they gave, fields divided by `|`. Raises
        CalledProcessError.
        """
        commands = [part for statement in statements for part in ("-c", statement)]
        ran = subprocess.run([*self._psql, *commands], stdout=subprocess.PIPE, text=True, check=True)
        return ran.stdout.strip()

    def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Put rows straight into a table. None is NULL, what is no text is written as Python writes it. Raises
        CalledProcessError.
        """
        names = ", ".join(f'"{column}"' for column in columns)
        command = [*self._psql, "-c", f'COPY "{table}" ({names}) FROM STDIN']
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            for row in rows:
                process.stdin.write("\t".join(map(_field, row)) + "\n")
            process.stdin.close()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)

    def cpu(self) -> float:
        """Seconds of the processor that it has used, with all its processes, ended ones too; 0 where the system does
        not tell.
        """
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        if not children.exists():
            return 0.0
        living = sum(_ticks(pid, 11, 13) for pid in children.read_text(encoding="utf-8").split())
        return (living + _ticks(str(self.pid), 11, 15)) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: str, first: int, end: int) -> int:
    """Some of the fields of a process's `stat`: its own times, and those of its children that have ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:  # it has ended just now
        return 0
    return sum(map(int, stat.rpartition(")")[2].split()[first:end]))


def _field(value: Any) -> str:
    return "\\N" if value is None else str(value).translate(_ESCAPES)


def version() -> str:
    """Such as `PostgreSQL 15.13`."""
    programs = postgres_folder()
    assert programs is not None
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return f"PostgreSQL {said.split()[2]}"


@contextmanager
def running(folder: Path, cores: Cores = None) -> Iterator[Postgres]:
    """A new database in `folder`, which must be there and be empty. Raises RuntimeError when it does not come up."""
    programs = postgres_folder()
    if programs is None:
        raise RuntimeError("there is no PostgreSQL: apt-get install -y postgresql (macOS: brew install postgresql)")
    own = _owner(folder)
    made = ["-D", str(folder), "-U", "pg", "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run([str(programs / "initdb"), *made], cwd="/", stdout=subprocess.DEVNULL, check=True, **own)
    port = free_port()
    given = SETTINGS | {"port": str(port), "unix_socket_directories": str(folder)}
    options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
    log = (folder / "log").open("w", encoding="utf-8")
    with log:
        process = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(folder), *options], cwd="/", stdout=log, stderr=log, **own
        )
    try:
        pin(cores, process.pid)
        for _ in range(300):
            asked = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
            if subprocess.run(asked, check=False).returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"PostgreSQL does not come up: {(folder / 'log').read_text(encoding='utf-8')[-500:]}")
        yield Postgres(programs, port, process.pid)
    finally:
        process.send_signal(signal.SIGINT)  # its fast shutdown: it does not wait for clients
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _owner(folder: Path) -> dict[str, Any]:
    """It refuses to run as root: the user of the package then owns the folder, to which there must be a way."""
    if os.getuid():
        return {}
    user = pwd.getpwnam("postgres")
    shutil.chown(folder, user.pw_uid, user.pw_gid)
    folder.chmod(0o700)
    folder.parent.chmod(0o755)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
