"""What a soak says at its end (`tests/soak.py`), whose histories are too long for here."""

import json
from collections import Counter

from tests.oracle import Verdict
from tests.soak import KILLED, KILLED_READING, Totals, plan


def test_faults_and_wrong_rows_are_told_to_people_and_machines() -> None:
    totals = Totals(kills=5)
    totals.judged("kills 0", Verdict(lost=["a post"], early=["another"]), Counter({KILLED: 3}))
    totals.judged("kills 1", Verdict(), Counter({KILLED: 2}))
    said = json.loads(totals.as_json())
    assert said["rows"] == {"lost": 1, "doubled": 0, "resurrected": 0, "wrong": 0}
    assert said["kinds"][KILLED] == {"fired": 5, "seeds": 2, "kills": 5, "rows": said["rows"]}
    assert (said["faults"], said["early"], said["missing"]) == (5, 1, [KILLED_READING])
    assert said["failures"] == [["kills 0", str(Verdict(lost=["a post"], early=["another"]))]]
    (row,) = (line for line in totals.table().splitlines() if line.startswith(KILLED))
    assert row.removeprefix(KILLED).split() == ["5", "2", "5", "1", "0", "0", "0"]


def test_kills_are_between_the_histories_and_as_many_as_were_asked_for() -> None:
    names = [name for name, _ in plan(3, 4, 50)]
    assert [name for name in names if name.startswith("seed")] == [f"seed {number}" for number in (3, 4, 5, 6)]
    kills = [run for name, run in plan(3, 4, 50) if name.startswith("kills")]
    assert len(kills) % 2 == 0 and sum(run.args[1] for run in kills) == 50  # type: ignore[attr-defined]
