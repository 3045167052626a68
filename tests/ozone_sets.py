"""Sets of a team, made and looked at through HTTP."""

from typing import Any

from models.database import writing
from tests.didnet import Account
from tests.label_scene import LABELER
from tests.ozone_site import Desk

QUERY, VALUES = "set.querySets", "set.getValues"
UPSERT, ADD, TAKE, DELETE = "set.upsertSet", "set.addValues", "set.deleteValues", "set.deleteSet"
MISSING = (400, "SetNotFound")


def put(place: Desk, who: Account, name: str, *values: str, aud: str = LABELER, **more: Any) -> Any:
    """A set as it is made, then filled."""
    made = place.act(UPSERT, who, {"name": name, **more}, aud=aud)
    assert made.status == 200, made.body
    if values:
        assert place.act(ADD, who, {"name": name, "values": list(values)}, aud=aud).status == 200
    return made.json


def values(place: Desk, who: Account, name: str, aud: str = LABELER) -> list[str]:
    """All that is in a small set."""
    reply = place.ask(VALUES, who, name=name, limit=1000, aud=aud)
    assert reply.status == 200 and reply.cursor is None, reply.body
    assert reply.json["set"]["setSize"] == len(reply.json["values"])
    found: list[str] = reply.json["values"]
    return found


def names(place: Desk, who: Account, *, aud: str = LABELER, **params: Any) -> list[str]:
    """The sets that one page shows."""
    reply = place.ask(QUERY, who, aud=aud, **params)
    assert reply.status == 200, reply.body
    return [one["name"] for one in reply.json["sets"]]


def fill(place: Desk, *made: str) -> None:
    """Sets of LABELER, past the door, where there is one already."""
    with writing(place.place.writer.database) as connection:
        connection.executemany(
            "INSERT INTO value_set (labeler, name, at, made_by, changed_at, changed_by)"
            " SELECT id, ?, 1, 'x', 1, 'x' FROM labeler WHERE did = ? ON CONFLICT DO NOTHING",
            [(name, LABELER) for name in made],
        )
