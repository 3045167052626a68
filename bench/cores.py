"""Which process runs on which core, and what a process has used. Linux tells both; elsewhere they are left open."""

import os
from dataclasses import dataclass
from pathlib import Path

Cores = frozenset[int] | None


def share_out() -> tuple[Cores, Cores]:
    """A core for what is measured and the others for what drives it; None where there is no choice."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    allowed = sorted(os.sched_getaffinity(0))
    return (frozenset(allowed[-1:]), frozenset(allowed[:-1])) if len(allowed) > 1 else (None, None)


def pin(cores: Cores, pid: int = 0) -> None:
    """Keep a process (0: this one) on these cores. Its children stay there too."""
    if cores:
        os.sched_setaffinity(pid, cores)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used: `cpu` in seconds, `memory` in bytes of resident memory of its own (anonymous)."""

    cpu: float
    memory: int


def usage(pid: int) -> Usage | None:
    """What process `pid` has used until now; None where the system does not tell."""
    folder = Path(f"/proc/{pid}")
    if not (folder / "stat").exists():
        return None
    fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    status = (folder / "status").read_text(encoding="utf-8").partition("RssAnon:")[2]
    ticks = int(fields[11]) + int(fields[12])
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), int(status.split()[0]) * 1024)
