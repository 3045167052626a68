"""Everything that a run may let go wrong, by name: `CATALOGUE[name](run)` lays it down or lets it happen.

The names are those under which the network counts what really happened (`world.fired`).
"""

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cbrrr import encode_dag_cbor

from models.database import sql
from tests.ingest_site import Site, write_lock
from tests.world import frames, outages
from tests.world.faults import Change, Script, cut, garbage, repeat

if TYPE_CHECKING:
    from tests.fault_run import FaultRun

Lay = Callable[["FaultRun"], Awaitable[None] | None]

FRAMES = 12
"""A fault of a connection strikes one of its first so many frames."""


def _at(rng: random.Random) -> int:
    return rng.randrange(1, FRAMES)


def _script(make: Callable[[random.Random], Script]) -> Lay:
    return lambda run: run.world.relay.faults.add(make(run.rng))


def _closing(code: int) -> Lay:
    return _script(lambda rng: Script(close_after=(_at(rng), code, "simulated")))


def _error(name: str) -> Lay:
    return _script(lambda rng: Script(error_after=(_at(rng), name, "simulated")))


def _refusing(status: int, body: bytes = b"", **headers: str) -> Lay:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _script(lambda rng: Script(refuse=(status, named, body)))


OUTDATED = Change("OutdatedCursor", lambda _: (frames.message("#info", {"name": "OutdatedCursor"}),))


def _rewound(run: "FaultRun") -> None:
    """The stream begins below the cursor, as that of a relay which was set up anew."""
    old = next((entry.frame for entry in run.world.relay.history if entry.retained and not entry.fault), b"")
    if old and run.site.cursor:
        run.world.relay.faults.add(Script(first=(Change("stream rewound", lambda _: (old,)),)))


def _cut_blocks(run: "FaultRun") -> None:
    at = run.rng.random()
    run.world.relay.damage("truncated CAR", lambda car: car[: int(at * len(car))])


def _flip_blocks(run: "FaultRun") -> None:
    at = run.rng.random()

    def flip(car: bytes) -> bytes:
        place = int(at * len(car))
        return car[:place] + bytes((car[place] ^ 1,)) + car[place + 1 :]

    run.world.relay.damage("bit of a CAR flipped", flip)


def _poison(run: "FaultRun") -> None:
    """Bytes at a fixed place of the stream that nobody can read, in one of several ways."""
    header = encode_dag_cbor({"op": 1, "t": "#commit"})
    small = encode_dag_cbor({"seq": 5})
    number = run.rng.randrange(1 << 30).to_bytes(4, "big")
    forms = (b"\xff" + number, header, header + small + small, b"\xa1" + number, encode_dag_cbor([1]) + small)
    run.world.emit(run.rng.choice(forms), fault="poison frame")
    run.history.noise()


def _oversized(run: "FaultRun") -> None:
    run.world.emit(frames.message("#commit", {"pad": bytes(5 << 20)}), fault="frame over 5 MiB")
    run.history.noise()


def _unknown(run: "FaultRun") -> None:
    payload = {"seq": run.world.relay.head + 1, "did": run.history.curator.did, "new": [1]}
    run.world.emit(frames.message("#somethingNew", payload), fault="unknown kind of event")


def _jump(run: "FaultRun") -> None:
    run.world.relay.jump(run.rng.choice((1, 7, 1000, 10**6, 10**9)))


def _reorder(run: "FaultRun") -> None:
    with run.world.relay.shuffled(run.rng):
        run.history.run(20)


async def _restart(run: "FaultRun") -> None:
    await run.site.again()
    run.world.fired["restart"] += 1


async def _rewind(run: "FaultRun") -> None:
    await run.site.rewind(run.earlier())
    run.world.fired["cursor set back"] += 1


async def _locked(run: "FaultRun") -> None:
    await _refused(run, "database locked", write_lock)


async def _full(run: "FaultRun") -> None:
    await _refused(run, "disk full", full_disk)


async def _refused(run: "FaultRun", name: str, fault: Any) -> None:
    # Nobody could move the cursor of a source that stood still meanwhile.
    await run.play_out()
    await run.settle()
    site = run.site
    before = site.closes.get("events could not be stored", 0)

    def refused() -> bool:
        return site.closes.get("events could not be stored", 0) > before

    with fault(site):
        while not refused():
            # What posts have left behind is filled first.
            run.history.flood(40)
            last = run.history.curator.identity()
            await run.reach(name, lambda last=last: refused() or (site.cursor or 0) >= last)  # type: ignore[misc]
        run.world.fired[name] += 1


@contextmanager
def full_disk(site: Site) -> Iterator[None]:
    """No page more than there are."""
    connection: Any = sql(site.ingest.database)
    connection.execute("PRAGMA max_page_count = 1")
    yield
    connection.execute("PRAGMA max_page_count = 1000000")


async def _deleting(run: "FaultRun", before: Callable[[], object]) -> None:
    """An account of which something is indexed is deleted, so that its host is asked whether that is so."""
    account = run.history.move_in()
    await run.settle()
    before()
    run.history.move_out(account)


def _asking(outage: Callable[[random.Random], outages.Outage]) -> Lay:
    """The host answers wrongly when it is asked."""

    async def lay(run: "FaultRun") -> None:
        wrong = outage(run.rng)
        await _deleting(run, lambda: run.world.pds.outages.add("com.atproto.sync.getRepoStatus", wrong))
        await run.reach("a question", lambda: not run.world.pds.outages.waiting)

    return lay


async def _directory(run: "FaultRun") -> None:
    """The directory cannot be asked for anybody; what it said before is still believed."""
    fired, name = run.world.fired, "500 of the directory"
    before = fired[name]

    def fail() -> None:
        run.world.plc.failing = 500

    await _deleting(run, fail)
    await run.reach("a question", lambda: fired[name] > before)
    run.world.plc.failing = None


CATALOGUE: dict[str, Lay] = {
    "connection broken inside a frame": _script(lambda rng: Script(breaks={_at(rng): rng.randrange(1 << 20)})),
    "connection dropped": _script(lambda rng: Script(abort_after=_at(rng))),
    "closed with 1000": _closing(1000),
    "closed with 1001": _closing(1001),
    "closed with 1002": _closing(1002),
    "closed with 1011": _closing(1011),
    "refused with 429": _refusing(429),
    "refused with 429, Retry-After": _refusing(429, Retry_After="1"),
    "refused with 502": _refusing(502, b"<html>Bad gateway</html>"),
    "refused with 503": _refusing(503),
    "stall": _script(lambda rng: Script(stall_after=_at(rng))),
    "error frame ConsumerTooSlow": _error("ConsumerTooSlow"),
    "error frame InternalError": _error("InternalError"),
    "error frame FutureCursor": _error("FutureCursor"),
    "OutdatedCursor": _script(lambda rng: Script(first=(OUTDATED,))),
    "stream rewound": _rewound,
    "older events again": _script(lambda rng: Script(again={_at(rng): rng.randrange(1, 30)})),
    "frame repeated": _script(lambda rng: Script(edits={_at(rng): repeat(3), _at(rng): repeat()})),
    "frame cut": _script(lambda rng: Script(edits={_at(rng): cut(rng.randrange(1 << 20))})),
    "garbage": _script(lambda rng: Script(edits={_at(rng): garbage(rng.randbytes(rng.randrange(1, 300)))})),
    "message in fragments": _script(lambda rng: Script(pieces={at: rng.randrange(2, 9) for at in range(1, FRAMES)})),
    "truncated CAR": _cut_blocks,
    "bit of a CAR flipped": _flip_blocks,
    "poison frame": _poison,
    "frame over 5 MiB": _oversized,
    "unknown kind of event": _unknown,
    "seqs jumped": _jump,
    "events reordered": _reorder,
    "restart": _restart,
    "cursor set back": _rewind,
    "database locked": _locked,
    "disk full": _full,
    "429": _asking(lambda rng: outages.refuse(429)),
    "429 with Retry-After": _asking(lambda _: outages.refuse(429, headers={"Retry-After": "1"})),
    "502": _asking(lambda _: outages.refuse(502, body=b"<html>Bad gateway</html>")),
    "answer broken off": _asking(lambda rng: outages.broken_at(rng.randrange(1 << 16))),
    "slow answer": _asking(lambda rng: outages.slow(3, 0.02)),
    "500 of the directory": _directory,
}
"""Faults after which nothing may be missing, whatever becomes of whole repositories."""
