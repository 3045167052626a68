"""tools.ozone.setting.*: what clients have set up, for a whole team (scope `instance`) or for oneself (`personal`).

What is the team's is changed by the role that manages it; roles by communities manage nothing. Source: the reference
server, except that the role is asked for also when a setting is made.
"""

import json
from collections.abc import Mapping
from typing import Any

from models import settings as rows
from models.settings import SettingRow
from ozone.roles import BY_TOKEN, Role, manages
from ozone.setting_rules import SettingFault, check
from ozone.visit import Answer, Procedure, Query, Visit, moment
from xrpc import cursor
from xrpc.errors import AuthenticationRequired, InvalidRequest
from xrpc.params import IntParam, ListParam, Params, StringParam
from xrpc.syntax import MAX_NSID

MOST_KEYS = 100
MOST_OF_TEAM, MOST_OF_ONE = 500, 50
"""Settings of a team, and of one account for a labeler (ours)."""
MOST_BYTES_OF_TEAM, MOST_BYTES_OF_ONE = 64 * 1024, 8 * 1024
"""Of a value as JSON (ours): somebody with a role may be anybody who has founded a community."""


def list_options(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of the team's settings, or of the caller's own, by key. Raises Refused (InvalidCursor), InvalidRequest."""
    owner = _owner(visit, params["scope"])
    prefix, keys = params.get("prefix", ""), sorted(set(params["keys"]))
    scope = visit.scope("options", owner, prefix, [] if prefix else keys)
    after = cursor.decode_named(visit.key, scope, params["cursor"])[1] if "cursor" in params else ""
    limit = params["limit"]
    found = rows.page(visit.connection, visit.labeler, owner, after, limit + 1, prefix=prefix, keys=keys)
    answer: Answer = {"options": [_view(visit, owner, row) for row in found[:limit]]}
    if len(found) > limit:
        answer["cursor"] = cursor.encode_named(visit.key, scope, 0, found[limit - 1].key)
    return answer


def upsert_option(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """A setting is so from now on. Left out: `description` is empty, `managerRole` what it was, or else admin."""
    owner, key = _owner(visit, body["scope"]), body["key"]
    before = rows.find(visit.connection, visit.labeler, owner, key)
    if owner:
        manager, most, most_bytes = 0, MOST_OF_ONE, MOST_BYTES_OF_ONE
    else:
        manager, most, most_bytes = _manager(visit, body, before).value, MOST_OF_TEAM, MOST_BYTES_OF_TEAM
    value = json.dumps(body["value"], separators=(",", ":"), ensure_ascii=False)
    if len(value.encode()) > most_bytes:
        raise InvalidRequest(f"value may have {most_bytes} bytes as JSON")
    if before is None and rows.count(visit.connection, visit.labeler, owner) >= most:
        raise InvalidRequest(f"There may be {most} settings of this scope; remove one first")
    made = (before.at, before.made_by) if before else (visit.now, visit.caller.did)
    row = SettingRow(key, value, body.get("description", ""), manager, *made, visit.now, visit.caller.did)
    rows.put(visit.connection, visit.labeler, owner, row)
    return {"option": _view(visit, owner, row)}


def remove_options(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Settings are there no more; those that are not there already do no harm. All of them go, or none."""
    owner = _owner(visit, body["scope"])
    for key in dict.fromkeys(body["keys"]):
        row = rows.find(visit.connection, visit.labeler, owner, key)
        if row is not None:
            if not owner:
                _may_change(visit, key, Role(row.manager))
            rows.delete(visit.connection, visit.labeler, owner, key)
    return {}


def _owner(visit: Visit, scope: str) -> str:
    """Whose settings are meant: empty for the team's."""
    if scope not in ("instance", "personal"):
        raise InvalidRequest("scope must be instance or personal")
    return visit.caller.did if scope == "personal" else ""


def _manager(visit: Visit, body: Mapping[str, Any], before: SettingRow | None) -> Role:
    """The role that is to manage a setting of the team, which the caller may change, as it is and as it will be."""
    said, key = body.get("managerRole"), body["key"]
    if said is not None and said not in BY_TOKEN:
        raise InvalidRequest(f"managerRole must be one of {', '.join(BY_TOKEN)}")
    was = Role(before.manager) if before else Role.ADMIN
    manager = was if said is None else BY_TOKEN[said]
    if before is not None:
        _may_change(visit, key, was)
    _may_change(visit, key, manager)
    try:
        check(key, body["value"], manager)
    except SettingFault as fault:
        raise InvalidRequest(str(fault)) from fault
    return manager


def _may_change(visit: Visit, key: str, manager: Role) -> None:
    if not manages(visit.caller.team, manager):
        raise AuthenticationRequired(f"Not permitted to change {key}: it takes the role {manager.token} in the team")


def _view(visit: Visit, owner: str, row: SettingRow) -> Answer:
    view: Answer = {
        "key": row.key,
        "did": owner or visit.did,
        "value": json.loads(row.value),
        "createdAt": moment(row.at),
        "updatedAt": moment(row.changed_at),
        "scope": "personal" if owner else "instance",
        "createdBy": row.made_by,
        "lastUpdatedBy": row.changed_by,
    }
    if row.description:
        view["description"] = row.description
    if row.manager:
        view["managerRole"] = Role(row.manager).token
    return view


QUERIES = (
    Query(
        "setting.listOptions",
        Params(
            {
                "limit": IntParam(1, 100, default=50),
                "cursor": StringParam(max_length=cursor.MOST_NAMED),
                "scope": StringParam(max_length=100, default="instance"),
                "prefix": StringParam(max_length=MAX_NSID),
                "keys": ListParam(StringParam(max_length=MAX_NSID), max_items=MOST_KEYS),
            }
        ),
        list_options,
    ),
)
PROCEDURES = (
    Procedure("setting.upsertOption", upsert_option),
    Procedure("setting.removeOptions", remove_options),
)
