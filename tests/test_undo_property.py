"""Whatever a batch did, undoing it brings back what was before, where nobody else has decided."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ozone.views import DEFS
from tests.civic_reports import about
from tests.didnet import Account
from tests.ozone_site import Desk
from tests.undo_site import LABEL, REVERSE, TAG, TAKEDOWN, emit, site, state, undo, undone, without

BOTH = ("python", "rust")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with site(tmp_path) as found:
        yield found


SEEDS = 8
TAGS, VALUES = ("a", "b"), ("spam", "spoiler")


def some_act(place: Desk, choose: random.Random, who: Account, what: str, batch: str) -> None:
    """Anything that can be undone, or else refused because it is so already."""
    kind = choose.choice((TAKEDOWN, REVERSE, LABEL, LABEL, TAG, TAG, "modEventMute", "modEventUnmute"))
    said: dict[str, Any] = {}
    if kind == LABEL:
        vals, add = choose.sample(VALUES, choose.randint(1, 2)), choose.random() < 0.6
        said = {"createLabelVals": vals if add else [], "negateLabelVals": [] if add else vals}
    elif kind == TAG:
        tags, add = choose.sample(TAGS, choose.randint(1, 2)), choose.random() < 0.6
        said = {"add": tags if add else [], "remove": [] if add else tags}
    if kind in (LABEL, TAG, TAKEDOWN) and choose.random() < 0.4:
        said["durationInHours"] = choose.choice((5, 10))
    if kind == "modEventMute":
        said["durationInHours"] = choose.choice((5, 10))
    body: dict[str, Any] = {"event": {"$type": DEFS + kind, **said}, "subject": about(place.place, what)}
    meta = {"community": "python", **({"batchId": batch} if batch else {})}
    body |= {"createdBy": who.did, "modTool": {"name": "ozone-ui/workspace", "meta": meta}}
    reply = place.act("moderation.emitEvent", who, body)
    assert reply.status == 200 or reply.fault[0] in (400, 403), reply.body


@pytest.mark.parametrize("seed", range(SEEDS))
def test_undoing_a_batch_brings_back_what_was_before(place: Desk, seed: int) -> None:
    """Property: whatever was done in whatever order, where nobody else has decided since; in pieces or at once."""
    choose, town = random.Random(seed), place.place
    who, other, member = town.moderator("python"), town.moderator("python"), town.member("python")
    subjects = [town.writer.post(1), town.writer.post(2, tags=BOTH), member.did]
    for _ in range(choose.randint(0, 12)):
        some_act(place, choose, choose.choice((who, other)), choose.choice(subjects), "")
        town.clock.now += 1
    before = state(place)
    for _ in range(choose.randint(5, 20)):
        some_act(place, choose, who, choose.choice(subjects), "b")
        town.clock.now += 1
    limit, cursor = choose.choice((2, 50)), None
    while True:
        reply = undo(town, who, batch="b", limit=limit, **({"cursor": cursor} if cursor else {}))
        undone(reply)
        cursor = reply.cursor
        if cursor is None:
            break
    assert state(place) == before
    assert "undone" not in undone(undo(town, who, batch="b")).values()
    assert state(place) == before


@pytest.mark.parametrize("seed", range(100, 100 + SEEDS))
def test_what_somebody_else_decides_meanwhile_changes_nothing_for_other_subjects(place: Desk, seed: int) -> None:
    """Property: and what they decided last of all stays."""
    choose, town = random.Random(seed), place.place
    who, other = town.moderator("python"), town.moderator("python")
    uris = [town.writer.post(number) for number in (1, 2)]
    for uri in uris:
        emit(place, who, uri, TAG, add=["known"], remove=[])
    before = without(state(place), place, uris[1])
    for _ in range(15):
        some_act(place, choose, who, choose.choice(uris), "b")
        if choose.random() < 0.3:
            some_act(place, choose, other, uris[1], "")
        town.clock.now += 1
    emit(place, other, uris[1], TAG, add=["a"], remove=["b"])
    emit(place, other, uris[1], "modEventMute", durationInHours=7)
    last = state(place)["mutes"][-1]
    undo(town, who, batch="b")
    found = state(place)
    assert without(found, place, uris[1]) == before
    assert last in found["mutes"]
    mine = [tag for _, subject, tag, _ in found["tags"] if subject == last[1]]
    assert "a" in mine and "b" not in mine
