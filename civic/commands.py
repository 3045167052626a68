"""social.communities.listCommands: what the caller has commanded by posts, and what became of it. Nobody is shown
anybody else's.
"""

from collections.abc import Mapping
from typing import Any

from civic.people import PAGE
from civic.visit import Answer, Query, Visit
from communities.decision_view import moment
from models import commands
from models import communities as community_rows
from models.commands import REFUSED, CommandRow
from models.database import Connection
from xrpc import cursor
from xrpc.params import Params

_FIRST = (1 << 63) - 1


def list_commands(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of them, the newest first."""
    did, limit = visit.signed(), params["limit"]
    scope, before = f"listCommands {did}", _FIRST
    if "cursor" in params:
        (before,) = cursor.decode(visit.key, scope, params["cursor"], 1)
    found = commands.page(visit.connection, before, limit + 1, did)
    answer: Answer = {"commands": [command_view(visit.connection, row) for row in found[:limit]]}
    if len(found) <= limit:
        return answer
    return answer | {"cursor": cursor.encode(visit.key, scope, found[limit - 1].id)}


def command_view(connection: Connection, row: CommandRow) -> dict[str, Any]:
    """#commandView."""
    view: dict[str, Any] = {
        "uri": row.uri,
        "cid": row.cid,
        "community": community_rows.slug(connection, row.community),
        "text": row.text,
        "at": moment(row.at),
        "state": row.state,
    }
    if row.target:
        view["subject"] = {"uri": row.target, "cid": row.target_cid}
    if row.done_at is not None:
        view["doneAt"] = moment(row.done_at)
    if row.state == REFUSED:
        view["fault"] = {"name": row.fault, "message": row.outcome}
    elif row.outcome:
        view["outcome"] = row.outcome
    return view | ({"decision": row.decision} if row.decision is not None else {})


QUERIES = (Query("listCommands", Params(PAGE), list_commands),)
