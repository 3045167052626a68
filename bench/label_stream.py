"""What is measured of subscribeLabels, ours and the peer's: replay, live to many, subscribers that stall."""

import time
from statistics import median
from typing import NamedTuple

from bench import label_rows
from bench.cores import Cores
from bench.label_followers import following, stalled
from bench.label_server import Server

EVERY = 0.05
"""Seconds between labels that are issued one by one."""
PATIENCE = 240.0


class Replayed(NamedTuple):
    """A replay to one subscriber. `grown`: bytes of memory more than before, at the end."""

    name: str
    labels: int
    seconds: float
    grown: int


class Fanned(NamedTuple):
    """Live labels to many: seconds from the call that issued one to each subscriber; `slowest`: of the median label,
    until the last subscriber had it; `rate`: labels received a second by all, when many were issued at once.
    """

    name: str
    labels: int
    received: int
    p50: float
    p99: float
    slowest: float
    rate: float
    lost: int


class Stalled(NamedTuple):
    """Memory in bytes: before subscribers came that do not read, with them, and after `labels` more; the most."""

    name: str
    behind: bool
    before: int
    joined: int
    after: int
    most: int
    labels: int


def replay(server: Server, after: int, cores: Cores) -> Replayed:
    """All labels behind a number, to one subscriber."""
    before, last = server.memory(), server.last()
    with following(server.port, label_rows.HOST, 1, after, last, cores) as crowd:
        seen = crowd.wait(PATIENCE)
        return Replayed(server.name, seen.messages, seen.ended - seen.began, server.memory() - before)


def fan_out(server: Server, subscribers: int, paced: int, burst: int, cores: Cores) -> Fanned:
    """New labels to many: one by one, then as many as can be."""
    head = server.head()
    with following(server.port, label_rows.HOST, subscribers, head, head + paced, cores, timed=True) as crowd:
        began = server.issue(paced, EVERY)
        seen = crowd.wait(PATIENCE)
    delays = [[at - start for at, start in zip(each, began, strict=True)] for each in seen.arrivals]
    known = sorted(delay for each in delays for delay in each)
    received, head = seen.messages, server.head()
    with following(server.port, label_rows.HOST, subscribers, head, head + burst, cores) as crowd:
        start = server.issue(burst)[0]
        seen = crowd.wait(PATIENCE)
    received += seen.messages
    return Fanned(
        name=server.name,
        labels=paced + burst,
        received=received,
        p50=known[len(known) // 2],
        p99=known[int(len(known) * 0.99)],
        slowest=median(map(max, zip(*delays, strict=True))),
        rate=seen.messages / (seen.ended - start),
        lost=subscribers * (paced + burst) - received,
    )


def stall(server: Server, subscribers: int, labels: int, cores: Cores, *, behind: bool) -> Stalled:
    """Subscribers that read nothing, from the beginning (`behind`) or from now on, and one that reads."""
    before, head, pieces = server.memory(), server.head(), 10
    with stalled(server.port, label_rows.HOST, subscribers, 0 if behind else None):
        time.sleep(2.0)  # until what they are sent fills what lies between
        joined = most = server.memory()
        with following(server.port, label_rows.HOST, 1, head, head + labels, cores) as crowd:
            for _ in range(pieces):
                server.issue(labels // pieces)
                most = max(most, server.memory())
            crowd.wait(PATIENCE)
            after = server.memory()
    return Stalled(server.name, behind, before, joined, after, max(most, after), labels)
