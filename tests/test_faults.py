"""Histories with faults: the whole index is what people did, whatever went wrong, and each fault has really happened.

F3, F4, F10, F12 of security.md 12; A4-A11, A20-A32, A40-A52 of ingest.md.
"""

from pathlib import Path

import pytest

from tests.fault_catalogue import CATALOGUE
from tests.fault_run import FaultRun
from tests.trust_catalogue import TRUST


@pytest.mark.parametrize("kind", CATALOGUE)
async def test_one_fault_at_a_time(tmp_path: Path, kind: str) -> None:
    outcome = await FaultRun(tmp_path, 1, [kind]).run(rounds=1, events=40, at_once=3)
    assert outcome.verdict.clean, outcome.verdict
    assert outcome.fired[kind] > 0
    assert outcome.posts > 3


@pytest.mark.parametrize("kind", TRUST)
async def test_what_only_proofs_and_repositories_make_up_for(tmp_path: Path, kind: str) -> None:
    outcome = await FaultRun(tmp_path, 1, [kind], trust=True).run(rounds=1, events=40, at_once=3)
    assert outcome.verdict.clean, outcome.verdict
    assert outcome.fired[kind] > 0
    noticed = TRUST[kind].noticed
    assert not noticed or outcome.noticed[noticed] > 0, outcome.noticed
    assert outcome.posts > 3


@pytest.mark.parametrize("seed", range(3))
async def test_everything_at_once(tmp_path: Path, seed: int) -> None:
    outcome = await FaultRun(tmp_path, seed).run(rounds=10, events=60, at_once=8)
    assert outcome.verdict.clean, outcome.verdict
    assert all(outcome.fired[kind] for kind in CATALOGUE)
    assert outcome.posts > 20
