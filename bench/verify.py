"""Verification: what it costs to prove a commit, to see that one does not matter, and to read a whole repository."""

import json
import random
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import zstandard
from cbrrr import encode_dag_cbor

from bench.cores import pin, share_out
from bench.report import Report, Table, Target, number, ratios, spread
from firehose.car import read_all_blocks
from firehose.commit import SignedCommit, read_signed_commit
from firehose.frames import read_frame
from firehose.known import Known
from firehose.mst import Change, invert
from firehose.ops import Scope
from firehose.repo import read_repo
from firehose.triage import read_commit
from firehose.verify import verify_commit
from tests.world import mst
from tests.world.car import cid_of
from tests.world.clock import tid
from tests.world.keys import did_key, make_did, make_key
from tests.world.repo import Repo
from tests.world.stream import Stream, yesterday
from xrpc.key import PublicKey, parse_did_key, parse_verification_method

DATA = Path(__file__).parents[2] / "shared" / "data" / "frames"
VERIFIED_PER_SECOND, TRIAGE_MICROS, RECORDS_PER_SECOND = 2_000.0, 25.0, 60_000.0
MADE = 500
LATEST = "jzzzzzzzzzzzz"

Signed = tuple[bytes, PublicKey]
"""The frame of a `#commit`, and the key of its account."""


def run(*, quick: bool) -> Report:
    """Measure every step over the same commits, and the whole, by turns."""
    real = DATA.is_dir()
    frames = real_commits() if real else made_commits()
    records = 5_000 if quick else 50_000
    car, did, key = make_repository(records)
    measured, _ = share_out()
    pin(measured)
    steps = make_steps(frames)
    rounds = 2 if quick else 25
    took: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            took[name].append(micros(step, len(frames)))

    def read() -> None:
        count(read_repo(car, did, key, LATEST).records(), records)

    reading = [micros(read, records) for _ in range(1 if quick else 7)]
    whole, signature, triage = took["verification, whole"], took["signature"], took["triage"]
    rows = tuple(
        (name, spread(values, "us"), number(median(ratios(values, signature)))) for name, values in took.items()
    )
    return Report(
        name="verify",
        title="Verification",
        notes=(
            f"{len(frames)} {'real commits of the network' if real else 'commits of the simulated network'}, each"
            f" proven whole and in its steps. Triage is reading the frame and finding that nothing in it matters. The"
            f" repository has {records:,} records in {len(car) / 1e6:.0f} MB; each is had as path, CID and block.",
        ),
        tables=(
            Table("Cost of a commit:", ("step", "a commit", "of its signature"), rows),
            Table(
                "Reading a repository:",
                ("", "records/s", "a record"),
                (("whole repository", spread([1e6 / value for value in reading]), spread(reading, "us")),),
            ),
        ),
        targets=(
            Target("verifications", 1e6 / median(whole), VERIFIED_PER_SECOND, "/s"),
            Target("triage of a commit that does not matter", median(triage), TRIAGE_MICROS, "us", at_most=True),
            Target("records of a repository", 1e6 / median(reading), RECORDS_PER_SECOND, "/s"),
        ),
        command="make bench ARGS=verify",
    )


def real_commits() -> list[Signed]:
    """The real frames beside the project."""
    unpack = zstandard.ZstdDecompressor().decompress
    raw = unpack((DATA / "frames.bin.zst").read_bytes(), 1 << 26)
    documents = json.loads(unpack((DATA / "did_docs.json.zst").read_bytes(), 1 << 26))
    found, at = [], 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        frame = raw[at + 4 : at + 4 + size]
        at += 4 + size
        kind, payload = read_frame(frame)
        if kind == "#commit":
            methods = documents[payload["repo"]]["verificationMethod"]
            method = next(method for method in methods if method["id"].endswith("#atproto"))
            found.append((frame, parse_verification_method(method)))
    return found


def made_commits() -> list[Signed]:
    """As many frames of the simulated network, from repositories of realistic depth."""
    stream = Stream(1, accounts=100)
    keys = {repo.did: parse_did_key(did_key(repo.key)) for repo in stream.repos}
    frames = islice(stream.frames(), MADE)
    return [(frame, keys[read_frame(frame)[1]["repo"]]) for frame in frames]


def make_repository(size: int) -> tuple[bytes, str, PublicKey]:
    """The export of a repository, its account and its key."""
    rng = random.Random(5)
    repo = Repo(make_did("bench"), make_key("k256", "bench"))
    for at in range(size):
        collection = rng.choices(("app.bsky.feed.like", "app.bsky.feed.post", "app.bsky.graph.follow"), (6, 3, 1))[0]
        record: dict[str, Any] = {
            "$type": collection,
            "createdAt": "2026-01-02T03:04:05.678Z",
            "text": f"{at} " + "x" * 150,
        }
        repo.records[f"{collection}/{tid(yesterday() - at * 1_000_000)}"] = encode_dag_cbor(record)
    repo.tree = mst.build({path: cid_of(block) for path, block in repo.records.items()})
    repo.commit([], tid(yesterday()))
    return repo.export(), repo.did, parse_did_key(did_key(repo.key))


def make_steps(frames: Sequence[Signed]) -> dict[str, Callable[[], object]]:
    """What is timed: each runs over all the commits."""
    payloads = [(read_frame(frame)[1], key) for frame, key in frames]
    cars: list[bytes] = [payload["blocks"] for payload, _ in payloads]
    blocks = [read_all_blocks(car)[1] for car in cars]
    signed = [found[payload["commit"]] for found, (payload, _) in zip(blocks, payloads, strict=True)]
    commits = [(read_signed_commit(block), key) for block, (_, key) in zip(signed, payloads, strict=True)]
    undone = [
        (commit.data, changes(payload), found)
        for (commit, _), (payload, _), found in zip(commits, payloads, blocks, strict=True)
    ]
    for (payload, _), arguments in zip(payloads, undone, strict=True):
        if invert(*arguments) != payload["prevData"]:
            raise AssertionError(f"commit of {payload['repo']} is not undone")
    scope = Scope(Known(), Known())
    return {
        "triage": lambda: triage_all(frames, scope),
        "blocks and hashes": lambda: [read_all_blocks(car) for car in cars],
        "commit": lambda: [read_signed_commit(block) for block in signed],
        "signature": lambda: check_all(commits),
        "operations undone": lambda: [invert(*arguments) for arguments in undone],
        "verification, whole": lambda: [verify_commit(payload, key) for payload, key in payloads],
    }


def changes(payload: dict[str, Any]) -> list[Change]:
    """The operations of a commit."""
    return [Change(op["path"], op["cid"], op.get("prev")) for op in payload["ops"]]


def triage_all(frames: Iterable[Signed], scope: Scope) -> None:
    """Look at frames as far as is needed to pass them over."""
    for frame, _ in frames:
        _, payload = read_frame(frame)
        if read_commit(payload, payload["seq"], scope) is not None:
            raise AssertionError("a commit matters though nothing is looked for")


def check_all(commits: Iterable[tuple[SignedCommit, PublicKey]]) -> None:
    """Check every signature."""
    if not all(commit.is_signed_by(key) for commit, key in commits):
        raise AssertionError("a signature is refused")


def count(records: Iterable[object], size: int) -> None:
    """Take all records, which must be so many."""
    if sum(1 for _ in records) != size:
        raise AssertionError("records are missing")


def micros(step: Callable[[], object], times: int) -> float:
    """Microseconds for one of `times` that the step does."""
    began = time.perf_counter()
    step()
    return (time.perf_counter() - began) / times * 1e6
