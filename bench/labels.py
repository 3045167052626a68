"""Issuing labels: from what a moderator decides to a signed label that is committed, beside `@skyware/labeler`.

Ours is what the service does: `labeler.issue` in transactions of one connection, the publisher on another, without
its pace, each commit of which is on the disk. Both have one core, and take turns.
"""

import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

import apsw

from bench import label_rows, labels_peer
from bench.cores import pin, share_out, usage
from bench.label_server import VALUE, Issuer
from bench.report import Report, Table, Target, number, ratios, spread
from labeler.label import check
from xrpc.key import PublicKey

DECIDED, BATCH = 1000, 1000
"""Labels that are decided in one transaction, as `communities label import` does, and after how many they are published
(the publisher does not wait for so many: it takes what is there)."""
GOAL, TIMES_PEER = 8_000.0, 5.0
BATCHED, SINGLE = "communities, in batches", "communities, one by one"


class Round(NamedTuple):
    """What one turn took: labels a second, each label's own time in seconds where it was issued for itself, and labels
    for each second of the processor (0: not known).
    """

    rate: float
    of_cpu: float
    times: Sequence[float] = ()


def run(*, quick: bool) -> Report:
    """Measure. Raises AssertionError when a label is missing or its signature does not hold."""
    many, few, rounds = (BATCH, 20, 1) if quick else (10 * BATCH, 500, 5)
    labels_peer.install()
    measured, others = share_out()
    found: dict[str, list[Round]] = {BATCHED: [], SINGLE: [], labels_peer.version(): []}
    with tempfile.TemporaryDirectory(prefix="communities-bench-") as name:
        folder, subjects = Path(name), _Subjects()
        (folder / "labels.toml").write_text(label_rows.declaration(), encoding="utf-8")
        issuer = Issuer(folder / "communities.db", folder / "labels.toml")
        with labels_peer.running(label_rows.LABELER, label_rows.KEY, folder / "peer.db", measured) as peer:
            for turn in range(rounds):
                print(f"labels: round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
                pin(measured)
                found[BATCHED].append(_batches(issuer, subjects.next(many)))
                found[SINGLE].append(_singles(issuer, subjects.next(few)))
                pin(others)
                before = usage(peer.pid)
                said = peer.ask("create", uris=subjects.next(few), val=VALUE)
                after = usage(peer.pid)
                of_cpu = few / max(after.cpu - before.cpu, 0.01) if before and after else 0.0
                times = [end - begin for begin, end in zip(said["began"], said["ended"], strict=True)]
                found[labels_peer.version()].append(Round(few / sum(times), of_cpu, times))
        _check(issuer, rounds * (many + few))
        issuer.close()
        stored = apsw.Connection(str(folder / "peer.db"))
        with closing(stored):
            count = stored.execute("SELECT count(*) FROM labels WHERE length(sig) = 64").get
            assert count == rounds * few, f"the peer has {count} labels"
    return _report(found, many, few)


class _Subjects:
    """Posts of accounts in no order, none of them twice."""

    def __init__(self) -> None:
        self._rng = random.Random(17)
        self._accounts = [label_rows.did(account) for account in range(1, 5_001)]
        self._number = 0

    def next(self, count: int) -> list[str]:
        """So many."""
        first, self._number = self._number, self._number + count
        return [
            f"at://{self._rng.choice(self._accounts)}/app.bsky.feed.post/3m{each:011d}"
            for each in range(first, first + count)
        ]


def _batches(issuer: Issuer, uris: Sequence[str]) -> Round:
    """All of them, in batches."""
    began, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(uris), BATCH):
        batch = uris[first : first + BATCH]
        issuer.issue([batch[at : at + DECIDED] for at in range(0, len(batch), DECIDED)], batch="all")
    took, used = time.perf_counter() - began, time.process_time() - cpu
    return Round(len(uris) / took, len(uris) / used)


def _singles(issuer: Issuer, uris: Sequence[str]) -> Round:
    """Each for itself: decided, signed and committed before the next."""
    times, cpu = [], time.process_time()
    for uri in uris:
        began = time.perf_counter()
        issuer.issue([(uri,)])
        times.append(time.perf_counter() - began)
    return Round(len(uris) / sum(times), len(uris) / (time.process_time() - cpu), times)


def _check(issuer: Issuer, count: int) -> None:
    """Whether all are there, in a row, and a sample is signed by the key."""
    rows = issuer.connection.execute("SELECT count(*), max(seq) - min(seq) + 1 FROM label").fetchall()
    assert rows == [(count, count)], f"{rows} instead of {count} labels"
    assert not issuer.connection.execute("SELECT 1 FROM label_outbox").fetchall()
    public = issuer.key.public_key
    key = PublicKey("ES256K", public.format(compressed=False), public)
    for (signed,) in issuer.connection.execute("SELECT signed FROM label WHERE seq % 97 = 0").fetchall():
        assert check(signed, key)


def _report(found: dict[str, list[Round]], many: int, few: int) -> Report:
    peer = labels_peer.version()
    rates = {what: [each.rate for each in rounds] for what, rounds in found.items()}
    times = median(ratios(rates[BATCHED], rates[peer]))

    def row(what: str) -> tuple[str, ...]:
        known = sorted(each for one in found[what] for each in one.times)
        at = [number(known[int(len(known) * share)] * 1000, "ms") for share in (0.5, 0.99)] if known else ["", ""]
        of_cpu = number(median(each.of_cpu for each in found[what]))
        return (what, spread(rates[what]), f"{median(ratios(rates[what], rates[peer])):.1f}", of_cpu, *at)

    return Report(
        name="labels",
        title="Labels issued",
        notes=(
            f"{many:,} labels in batches, {few:,} one by one, {few:,} of the peer in each of {len(rates[peer])} rounds,"
            " of posts that were not labelled before; on one core, ours and the peer's in turn. A label counts when"
            " it is noted as an event with its reason, signed, numbered and committed to the disk (SQLite,"
            f" synchronous=FULL, also the peer's default). Ours are decided in transactions of {DECIDED}, as by"
            f" `communities label import`, and published after each {BATCH:,} by the publisher without its pace."
            " Afterwards all must be there, numbered without a gap, and signatures must hold.",
            f"The peer is {peer} on Node {labels_peer.node_version()} as it is by default: `createLabel`, each when the"
            " one before is done. It has nothing for many labels at once: `createLabels` calls it for each.",
        ),
        tables=(
            Table(
                "Labels:",
                (
                    "what",
                    "a second, median (least to most)",
                    "times the peer",
                    "a second of processor",
                    "p50 of one",
                    "p99 of one",
                ),
                tuple(map(row, found)),
            ),
        ),
        targets=(
            Target("labels a second, in batches", median(rates[BATCHED]), GOAL, ""),
            Target("times the peer, in batches", times, TIMES_PEER, ""),
        ),
        command="make bench ARGS=labels",
    )
