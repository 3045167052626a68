"""Tags that say who alone decides about a subject, by the doors of communities."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.database import sql
from tests.civic_reports import about
from tests.didnet import Account
from tests.feed_site import RULES
from tests.label_scene import LABELER
from tests.ozone_events import LABEL, TAG, check_books, done, emit, labels
from tests.ozone_site import Desk, unlimited
from tests.test_civic_commands import TAKING, became, command
from tests.test_ozone_emit_appeals import protect


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with unlimited(tmp_path) as found:
        yield found
        check_books(sql(found.place.writer.database))


@pytest.mark.parametrize("door", ["label", "command"])
def test_a_tag_protects_what_it_is_on_by_whatever_door_it_is_labelled(place: Desk, door: str) -> None:
    """From labels of the labeler whose team has set it, negations too."""
    town, uri = place.place, place.place.writer.post(1)
    moderator, named = town.moderator("python"), town.moderator("python")
    protect(place, vip={"moderators": [named.did]})
    done(emit(place, moderator, uri, LABEL, createLabelVals=["spoiler"], negateLabelVals=[]))
    done(emit(place, named, uri, TAG, add=["vip"], remove=[]))

    def by(who: Account, **wish: list[str]) -> tuple[int, str] | None:
        if door == "label":
            body = {"community": "python", "subject": about(town, uri), "labeler": LABELER, **wish}
            reply = town.act("label", who, body)
            return None if reply.status == 200 else reply.fault
        word = f"label {wish['add'][0]}" if "add" in wish else f"unlabel {wish['remove'][0]}"
        command(town, who, word, uri)
        told = became(town, who)[0]
        return None if told["state"] == "done" else (403, told["fault"]["name"])

    town.writer.declare(RULES.replace('slug = "python"', f'slug = "python"{TAKING}', 1))
    held = labels(place, uri)
    assert by(moderator, add=["spam"]) == by(moderator, remove=["spoiler"]) == (403, "NotPermitted")
    assert labels(place, uri) == held
    assert by(named, add=["spam"]) is None and len(labels(place, uri)) == 2
