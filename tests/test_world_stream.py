"""The benchmark stream is what it says: real commits in realistic shares, sizes and depths, the same every time."""

from collections import Counter
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

import libipld
from cbrrr import CID

from tests.consumer import check_commit, decode
from tests.world.keys import did_key
from tests.world.stream import DAY, POST, Stream, cached_frames, realistic_frames, yesterday

START = 1_790_000_000_000_000


def test_stream_has_the_shape_of_the_network() -> None:
    frames = realistic_frames(2000, 1, accounts=300, start=START)
    assert 4000 < mean(map(len, frames)) < 6500
    actions: Counter[str] = Counter()
    nodes, tagged, posts, answered = [], 0, set(), 0
    for frame in frames:
        payload = libipld.decode_dag_cbor_multi(frame)[1]
        blocks = libipld.decode_car(payload["blocks"])[1]
        nodes.append(sum(1 for block in blocks.values() if set(block) == {"l", "e"}))
        (op,) = payload["ops"]
        actions[f"{op['action']} {op['path'].split('/')[0].rpartition('.')[2]}"] += 1
        record = blocks.get(op["cid"], {})
        if op["path"].startswith(POST) and op["cid"]:
            posts.add(f"at://{payload['repo']}/{op['path']}")
            tagged += "community" in str(record.get("facets")) or "community" in str(record.get("tags"))
        subject = record.get("subject")
        answered += isinstance(subject, dict) and subject["uri"] in posts
    assert 6 < mean(nodes) < 10
    assert 0.5 < actions["create like"] / 2000 < 0.62
    assert 0.12 < actions["create post"] / 2000 < 0.18
    assert 0.02 < sum(actions[key] for key in actions if key.startswith("delete")) / 2000 < 0.08
    assert 0.02 < tagged / len(posts) < 0.09
    assert answered > 300


def test_stream_commits_are_signed_and_can_be_undone() -> None:
    stream = Stream(2, accounts=5, start=START, depths=[50, 500])
    keys = {repo.did: did_key(repo.key) for repo in stream.repos}
    last: dict[str, Any] = {}
    for number, frame in enumerate(islice(stream.frames(seq=7), 200)):
        payload = decode(frame)[1]
        assert payload["seq"] == 7 + number
        commit = check_commit(payload, keys[payload["repo"]])
        if before := last.get(payload["repo"]):
            assert CID(payload["prevData"]) == before["data"]
            assert payload["since"] == before["rev"] < commit["rev"]
        last[payload["repo"]] = commit


def test_stream_is_the_same_every_time(tmp_path: Path) -> None:
    first = realistic_frames(50, 1, accounts=20, start=START, depths=[100])
    assert cached_frames(tmp_path, 50, 1, accounts=20, start=START, depths=[100]) == first
    assert cached_frames(tmp_path, 50, 1, accounts=20, start=START, depths=[100]) == first
    assert len(list(tmp_path.iterdir())) == 1
    assert realistic_frames(50, 2, accounts=20, start=START, depths=[100]) != first
    assert yesterday() % DAY == 0
