"""tools.ozone.set.*: named sets of texts, such as domains or words, that a team keeps.

They are the whole team's. Who moderates by a community alone may be anybody who has founded one: for them there are
none. Source: the reference server; bounds are ours.
"""

from collections.abc import Mapping
from typing import Any

from models import sets as rows
from models.sets import Order, SetRow
from ozone.visit import Answer, Procedure, Query, Visit, moment
from xrpc import cursor
from xrpc.errors import InvalidRequest, Refused
from xrpc.params import IntParam, Params, StringParam

MOST_SETS = 500
"""Of a team (ours)."""
MOST_VALUES = 100_000
"""In all sets of a team (ours)."""
MOST_BYTES = 1024
"""Of a value (ours)."""
MOST_OF_NAME = 128
_ORDERS = {"name": Order.NAME, "createdAt": Order.MADE, "updatedAt": Order.CHANGED}


def query_sets(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of the sets, by name or by a time and then by name. Raises Refused (InvalidCursor)."""
    shown, order = visit.shares("query sets"), _ORDERS[params["sortBy"]]
    falling, prefix, limit = params["sortDirection"] == "desc", params.get("namePrefix", ""), params["limit"]
    scope = visit.scope("sets", order.name, falling, prefix)
    after = cursor.decode_named(visit.key, scope, params["cursor"]) if "cursor" in params else None
    if not shown:
        return {"sets": []}
    found = rows.page(visit.connection, visit.labeler, order, after, limit + 1, falling=falling, prefix=prefix)
    answer: Answer = {"sets": [_view(row) for row in found[:limit]]}
    if len(found) > limit:
        answer["cursor"] = cursor.encode_named(visit.key, scope, *found[limit - 1].place(order))
    return answer


def get_values(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of what is in a set, in the order in which it came. Raises Refused (SetNotFound, InvalidCursor)."""
    row, limit = _set(visit, params["name"], shown=visit.shares("see the values of a set")), params["limit"]
    # A set that is made anew under the name of one that is gone is another list.
    scope = visit.scope("values", row.id)
    (after,) = cursor.decode(visit.key, scope, params["cursor"], 1) if "cursor" in params else (0,)
    found = rows.values(visit.connection, row, after, limit + 1)
    answer: Answer = {"set": _view(row), "values": [value for _, value in found[:limit]]}
    if len(found) > limit:
        answer["cursor"] = cursor.encode(visit.key, scope, found[limit - 1][0])
    return answer


def upsert_set(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """A set is there from now on, and described so; without `description`, by nothing. What it holds stays."""
    visit.moderate("create or change a set")
    name = body["name"]
    if name != name.strip() or not name.isprintable():
        raise InvalidRequest("name must be printable, with no spaces at its ends")
    if rows.find(visit.connection, visit.labeler, name) is None:
        sets, _ = rows.count(visit.connection, visit.labeler)
        if sets >= MOST_SETS:
            raise InvalidRequest(f"There may be {MOST_SETS} sets; delete one first")
    description = body.get("description", "")
    return _view(rows.put(visit.connection, visit.labeler, name, description, visit.now, visit.caller.did))


def add_values(visit: Visit, body: Mapping[str, Any]) -> None:
    """Values are in a set from now on, each once. All of them come, or none."""
    visit.moderate("add values to a set")
    row = _set(visit, body["name"])
    for at, value in enumerate(body["values"]):
        if not 0 < len(value.encode()) <= MOST_BYTES:
            raise InvalidRequest(f"values[{at}] must have 1 to {MOST_BYTES} bytes")
    if rows.add(visit.connection, row, body["values"], visit.now, visit.caller.did):
        _, values = rows.count(visit.connection, visit.labeler)
        if values > MOST_VALUES:
            raise InvalidRequest(f"There may be {MOST_VALUES} values in all sets; there would be {values}")


def delete_values(visit: Visit, body: Mapping[str, Any]) -> None:
    """Values are in a set no more; those that are not there already do no harm."""
    visit.moderate("delete values of a set")
    rows.take_out(visit.connection, _set(visit, body["name"]), body["values"], visit.now, visit.caller.did)


def delete_set(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """A set is there no more, and nothing of what it held."""
    visit.moderate("delete a set")
    rows.delete(visit.connection, _set(visit, body["name"]))
    return {}


def _set(visit: Visit, name: str, *, shown: bool = True) -> SetRow:
    """The set that is meant. Raises Refused (SetNotFound)."""
    row = rows.find(visit.connection, visit.labeler, name) if shown else None
    if row is None:
        raise Refused("SetNotFound", "There is no set of that name.")
    return row


def _view(row: SetRow) -> Answer:
    view: Answer = {
        "name": row.name,
        "setSize": row.size,
        "createdAt": moment(row.at),
        "updatedAt": moment(row.changed_at),
    }
    if row.description:
        view["description"] = row.description
    return view


QUERIES = (
    Query(
        "set.querySets",
        Params(
            {
                "limit": IntParam(1, 100, default=50),
                "cursor": StringParam(max_length=cursor.MOST_NAMED),
                "namePrefix": StringParam(max_length=MOST_OF_NAME),
                "sortBy": StringParam(max_length=100, default="name"),
                "sortDirection": StringParam(max_length=100, default="asc"),
            }
        ),
        query_sets,
    ),
    Query(
        "set.getValues",
        Params(
            {
                "name": StringParam(max_length=MOST_OF_NAME, required=True),
                "limit": IntParam(1, 1000, default=100),
                "cursor": StringParam(max_length=cursor.MAX_LENGTH),
            }
        ),
        get_values,
    ),
)
PROCEDURES = (
    Procedure("set.upsertSet", upsert_set),
    Procedure("set.addValues", add_values),
    Procedure("set.deleteValues", delete_values),
    Procedure("set.deleteSet", delete_set),
)
