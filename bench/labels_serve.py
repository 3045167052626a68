"""Serving labels: the real `communities serve` over a million labels, beside `@skyware/labeler` over the same.

What is asked and followed comes from processes of their own; the server that is measured has a core to itself, and
ours and the peer take turns.
"""

import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import quote

import uvloop

from bench import label_rows, labels_peer
from bench.cores import Cores, pin, share_out
from bench.label_server import Server
from bench.label_stream import Fanned, Replayed, Stalled, fan_out, replay, stall
from bench.load import Load, drive
from bench.report import Report, Table, Target, number, ratios, spread
from tests.service_process import Service

LIMIT, AT_ONCE = 50, 8
TIMES_PEER, P99_MS, GROWTH_MB = 3.0, 5.0, 16.0
NSID = "com.atproto.label.queryLabels"
EXACT, ACCOUNT, SOME, WIDE, ALL = (
    "a post",
    "the posts of an account",
    "a thousandth, by prefix",
    "a thirtieth, by prefix",
    "all accounts, by prefix",
)
_PREFIXES = {ACCOUNT: 38, SOME: 15, WIDE: 14, ALL: 13}
"""How much of an at-uri stands before the `*`: all accounts begin with `at://did:plc:`, the letters behind are even."""
DEEP = {WIDE, ALL}
"""Asked for pages anywhere; of the others there is one page, or a few."""


class Asked(NamedTuple):
    """A round of one kind of question: one at a time, and several at once; of the peer, the same."""

    single: Load
    busy: Load
    peer_single: Load
    peer_busy: Load


class Size(NamedTuple):
    """How much is measured."""

    labels: int
    rounds: int
    seconds: float
    replayed_by_peer: int
    subscribers: int
    paced: int
    burst: int
    stalled: int
    while_stalled: int


FULL = Size(1_000_000, 3, 1.5, 50_000, 1000, 60, 1000, 100, 3000)
QUICK = Size(5_000, 1, 0.2, 1_000, 20, 5, 60, 5, 100)


def run(*, quick: bool) -> Report:
    """Measure. Raises AssertionError when an answer is not what it must be, or a label does not arrive."""
    size = QUICK if quick else FULL
    labels_peer.install()
    measured, others = share_out()
    with tempfile.TemporaryDirectory(prefix="communities-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        print(f"labels_serve: writing {size.labels:,} labels, twice ...", file=sys.stderr, flush=True)
        service = Service(
            folder,
            "",
            "serve",
            labels=str(folder / "labels.toml"),
            plc_url="http://localhost:1",
            # Everybody comes from here: what a proxy says of its clients is what the limits go by.
            trusted_proxies="127.0.0.1",
        )
        (folder / "labels.toml").write_text(label_rows.declaration(), encoding="utf-8")
        subjects = label_rows.fill(service.database, size.labels)
        with labels_peer.running(label_rows.LABELER, label_rows.KEY, folder / "peer.db", others):
            pass  # it makes its tables
        labels_peer.fill(folder / "peer.db", label_rows.peer_rows(size.labels))
        pin(others)
        ours = stack.enter_context(_serving(service, measured))
        asked: dict[str, list[Asked]] = {}
        with _peer(folder / "peer.db", measured) as peer:
            uvloop.run(_ask(ours, peer, subjects, size, asked))
        replays = [replay(ours, 0, others) for _ in range(size.rounds)]
        # The peer is begun anew for each: it keeps the memory of what it did before.
        with _peer(folder / "peer.db", measured) as peer:
            replays.append(replay(peer, size.labels - size.replayed_by_peer, others))
        fans = []
        with _peer(folder / "peer.db", measured) as peer:
            for server in (ours, peer):
                print(f"labels_serve: {size.subscribers:,} subscribers of {server.name}", file=sys.stderr, flush=True)
                burst = size.burst if server is ours else size.burst // 5
                fans.append(fan_out(server, size.subscribers, size.paced, burst, others))
        stalls = [stall(ours, size.stalled, size.while_stalled, others, behind=True)]
        stalls.append(stall(ours, size.stalled, size.while_stalled, others, behind=False))
        with _peer(folder / "peer.db", measured) as peer:
            stalls.append(stall(peer, size.stalled, size.while_stalled, others, behind=False))
    return _report(size, asked, replays, fans, stalls)


@contextmanager
def _serving(service: Service, cores: Cores) -> Iterator[Server]:
    service.start()
    try:
        assert service.process is not None
        pin(cores, service.process.pid)
        service.wait_health()
        with Server.ours(service) as server:
            yield server
    finally:
        service.stop()


@contextmanager
def _peer(database: Path, cores: Cores) -> Iterator[Server]:
    with labels_peer.running(label_rows.LABELER, label_rows.KEY, database, cores) as peer:
        yield Server.of_peer(peer, database)


def _request(pattern: str, cursor: int = 0) -> bytes:
    query = f"uriPatterns={quote(pattern, safe='')}&limit={LIMIT}" + (f"&cursor={cursor}" if cursor else "")
    return f"GET /xrpc/{NSID}?{query} HTTP/1.1\r\nHost: {label_rows.HOST}\r\n\r\n".encode()


async def _ask(ours: Server, peer: Server, subjects: Sequence[str], size: Size, found: dict[str, list[Asked]]) -> None:
    rng = random.Random(19)
    # Not so far that a page could be short.
    deepest = size.labels - 100 * LIMIT
    kinds = {EXACT: [_request(rng.choice(subjects)) for _ in range(5_000)]}
    for kind, length in _PREFIXES.items():
        kinds[kind] = [
            _request(rng.choice(subjects)[:length] + "*", rng.randrange(deepest) if kind in DEEP and deepest > 0 else 0)
            for _ in range(5_000)
        ]

    async def ask(server: Server, kind: str, connections: int) -> Load:
        load = await drive(server.port, kinds[kind], size.seconds, connections)
        if load.refused or b'"sig"' not in load.body:
            raise AssertionError(f"{server.name}, {kind}: {load.refused} refused, such as {load.body[:300]!r}")
        return load

    for turn in range(size.rounds):
        print(f"labels_serve: queries, round {turn + 1} of {size.rounds}", file=sys.stderr, flush=True)
        for kind in kinds:
            single, peer_single = await ask(ours, kind, 1), await ask(peer, kind, 1)
            busy, peer_busy = await ask(ours, kind, AT_ONCE), await ask(peer, kind, AT_ONCE)
            found.setdefault(kind, []).append(Asked(single, busy, peer_single, peer_busy))


def _report(
    size: Size, asked: dict[str, list[Asked]], replays: list[Replayed], fans: list[Fanned], stalls: list[Stalled]
) -> Report:
    times = {
        kind: median(ratios([one.busy.rate for one in rounds], [one.peer_busy.rate for one in rounds]))
        for kind, rounds in asked.items()
    }
    p99 = {kind: median(one.single.p99 for one in rounds) for kind, rounds in asked.items()}
    queries = tuple(
        (
            kind,
            spread([one.busy.rate for one in rounds]),
            spread([one.peer_busy.rate for one in rounds]),
            f"{times[kind]:.1f}",
            number(median(one.single.p50 for one in rounds), "ms"),
            number(p99[kind], "ms"),
            number(median(one.busy.p99 for one in rounds), "ms"),
            number(median(one.peer_single.p50 for one in rounds), "ms"),
            number(median(one.peer_single.p99 for one in rounds), "ms"),
        )
        for kind, rounds in asked.items()
    )
    names = list(dict.fromkeys(one.name for one in replays))
    replayed = {name: [one for one in replays if one.name == name] for name in names}
    rates = {name: [one.labels / one.seconds for one in each] for name, each in replayed.items()}
    (ours, behind) = stalls[1], stalls[0]
    return Report(
        name="labels_serve",
        title="Labels served",
        notes=(
            f"{size.labels:,} labels of {max(1, size.labels // label_rows.PER_ACCOUNT):,} accounts in no order, every"
            " second one of a version, in both databases, into whose files they were written directly (signatures are"
            f" made up here: nobody looks at them). The peer is {labels_peer.version()} on Node"
            f" {labels_peer.node_version()} as it is by default. Ours is `communities serve`, whose publisher and feeds"
            " are there too. Each server has a core, which it shares with the other, who rests.",
            f"Queries ask for {LIMIT} labels, of subjects that are drawn by chance; by the last two prefixes for pages"
            f" anywhere among all labels. Rates are of {AT_ONCE} connections at once, p50 and p99 of one, with the"
            " p99 of all beside.",
            f"Live labels are issued one by one, 20 a second, and then {size.burst:,} as fast as they can be (the peer:"
            f" {size.burst // 5:,}): ours are issued and published by another process, the peer issues its own. Every"
            f" subscriber of {size.subscribers:,} must get every label, in order, or the benchmark fails. Times are"
            " from the call that issues a label.",
        ),
        tables=(
            Table(
                "queryLabels, answers a second and times:",
                ("what", "ours", "peer", "times the peer", "p50", "p99", "p99, 8 at once", "peer's p50", "peer's p99"),
                queries,
            ),
            Table(
                "Replay to one subscriber from a cursor:",
                ("server", "labels", "labels a second, median (least to most)", "memory more, MB"),
                tuple(
                    (
                        name,
                        f"{replayed[name][-1].labels:,}",
                        spread(rates[name]),
                        number(max(one.grown for one in replayed[name]) / 1e6),
                    )
                    for name in names
                ),
            ),
            Table(
                f"Live to {size.subscribers:,} subscribers:",
                ("server", "labels", "received", "p50", "p99", "last of 1 label", "received a second, at once"),
                tuple(
                    (
                        one.name,
                        f"{one.labels:,}",
                        f"{one.received:,}",
                        number(one.p50 * 1000, "ms"),
                        number(one.p99 * 1000, "ms"),
                        number(one.slowest * 1000, "ms"),
                        number(one.rate),
                    )
                    for one in fans
                ),
            ),
            Table(
                f"Memory of its own, MB, with {size.stalled} subscribers that read nothing:",
                ("server", "they came", "before", "with them", "and so many labels later", "most", "labels"),
                tuple(
                    (
                        one.name,
                        "for all labels" if one.behind else "for new ones",
                        number(one.before / 1e6),
                        number(one.joined / 1e6),
                        number(one.after / 1e6),
                        number(one.most / 1e6),
                        f"{one.labels:,}",
                    )
                    for one in stalls
                ),
            ),
        ),
        targets=(
            *(Target(f"{kind}, times the peer", times[kind], TIMES_PEER, "") for kind in asked),
            *(Target(f"{kind}, p99", p99[kind], P99_MS, "ms", at_most=True) for kind in asked),
            Target("live labels lost or out of order", float(fans[0].lost), 0.0, "", at_most=True),
            *(
                Target(
                    f"memory more with stalled subscribers, {what}",
                    (one.after - one.joined) / 1e6,
                    GROWTH_MB,
                    "MB",
                    at_most=True,
                )
                for what, one in (("for all labels", behind), ("for new ones", ours))
            ),
        ),
        command="make bench ARGS=labels_serve",
    )
