"""A site whose moderators do things that are undone, and all of its state that undoing brings back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labeler.standing import active
from models import labelers
from models.database import sql
from ozone.views import DEFS
from tests.civic_reports import about
from tests.civic_site import Town
from tests.didnet import Account
from tests.feed_site import Reply
from tests.label_scene import LABELER, LABELS
from tests.ozone_site import Desk, desk

TAKEDOWN, REVERSE, LABEL, TAG = "modEventTakedown", "modEventReverseTakedown", "modEventLabel", "modEventTag"
WITH_TAKEDOWN = LABELS.replace('system = ["!warn"]', 'system = ["!warn"]\ntakedown = "spam"')


@contextmanager
def site(folder: Path) -> Iterator[Desk]:
    """A site whose labeler labels what is taken down, and where nobody is kept from calling often."""
    labels = folder / "with-takedown.toml"
    labels.write_text(WITH_TAKEDOWN)
    with pytest.MonkeyPatch.context() as patch:
        for limit in ("service.moderating.WRITES_BURST", "service.wiring.DECISIONS_BURST"):
            patch.setattr(limit, 10_000)
        with desk(folder, labels=str(labels)) as found:
            yield found


def emit(place: Desk, who: Account, what: str, kind: str, *, batch: str = "", slug: str = "", **said: Any) -> int:
    """Emit an event that must be taken; its number."""
    body: dict[str, Any] = {"event": {"$type": DEFS + kind, **said}, "subject": about(place.place, what)}
    meta = {**({"batchId": batch} if batch else {}), **({"community": slug} if slug else {})}
    body |= {"createdBy": who.did, **({"modTool": {"name": "ozone-ui/workspace", "meta": meta}} if meta else {})}
    reply = place.act("moderation.emitEvent", who, body)
    assert reply.status == 200, reply.body
    return int(reply.json["id"])


def undo(town: Town, who: Account, slug: str = "python", **said: Any) -> Reply:
    """Call the method."""
    return town.act("undo", who, {"community": slug, **said})


def undone(reply: Reply) -> dict[int, str]:
    """What became of the events of a piece: `undone`, or why not."""
    assert reply.status == 200, reply.body
    return {one["id"]: "undone" if one["undone"] else one["why"] for one in reply.json["events"]}


def without(found: dict[str, Any], place: Desk, uri: str) -> dict[str, Any]:
    """The same, but for what is about one post, whose author has no other."""
    subject, actor = place.place.writer.sql(
        "SELECT s.id, a.id FROM subject s JOIN actor a ON a.did = s.did WHERE 'at://' || s.did || '/' || s.path = ?",
        uri,
    )[0]
    kept = {name: [row for row in rows if uri not in row] for name, rows in found.items()}
    for name in ("tags", "mutes", "rest"):
        kept[name] = [row for row in kept[name] if row[1] != subject]
    kept["decided"] = [row for row in kept["decided"] if row[1] != actor]
    return kept


def state(place: Desk) -> dict[str, Any]:
    """All that undoing is to bring back."""
    town = place.place
    rows = town.writer.sql
    connection = sql(town.writer.database)
    number = labelers.find(connection, LABELER)
    assert number is not None
    subjects = [(did, f"at://{did}/{path}" if path else did) for did, path in rows("SELECT did, path FROM subject")]
    now = town.clock.micros() // 1000
    return {
        "hidden": rows("SELECT community, uri, hidden FROM feed_item ORDER BY 1, 2"),
        "labels": sorted(
            (uri, one.cid, one.val, one.exp) for _, uri in subjects for one in active(connection, number, uri, now)
        ),
        "tags": rows(
            "SELECT t.scope, t.subject, g.tag, g.until FROM subject_tag g JOIN subject_status t ON t.id = g.status"
            " ORDER BY 1, 2, 3"
        ),
        "mutes": rows(
            "SELECT scope, subject, mute_until, mute_reporting_until FROM subject_status WHERE mute_until IS NOT NULL"
            " OR mute_reporting_until IS NOT NULL ORDER BY 1, 2"
        ),
        "rest": rows(
            "SELECT scope, subject, takendown, suspend_until, priority, comment FROM subject_status WHERE takendown"
            " OR priority OR comment != '' ORDER BY 1, 2"
        ),
        "banned": rows("SELECT community, actor, until FROM membership WHERE status = 'banned' ORDER BY 1, 2"),
        "decided": rows("SELECT community, actor, rkey, verdict FROM decided ORDER BY 1, 2, 3"),
    }
