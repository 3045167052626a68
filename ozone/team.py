"""tools.ozone.team.*: who moderates for a labeler.

The team is its rows, and whoever the settings of the service name, for every labeler; the latter cannot be changed
here, or the operator could be locked out.
"""

import logging
from collections.abc import Mapping
from typing import Any

from communities.access import Site
from models import queue_assignments, team
from models.team import MemberRow
from ozone.roles import BY_TOKEN, Role, of_team
from ozone.visit import Answer, Procedure, Query, Visit, moment
from xrpc import cursor
from xrpc.errors import InvalidRequest, Refused
from xrpc.params import BoolParam, IntParam, ListParam, Params, StringParam

log = logging.getLogger(__name__)

MOST_MEMBERS = 1000
"""Of a team (ours)."""
_SETTINGS = "COMMUNITIES_ADMINS or COMMUNITIES_MODERATORS"


def list_members(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of the team by DID, with those whom the settings name. Raises Refused (InvalidCursor).

    Who is here by a community alone may be anybody who has founded one: for them there is no team.
    """
    sought, wanted, disabled = params.get("q", "").lower(), set(params["roles"]), params.get("disabled")
    scope = visit.scope("members", sought, sorted(wanted), disabled)
    after = cursor.decode_named(visit.key, scope, params["cursor"])[1] if "cursor" in params else ""
    if visit.caller.team is None:
        return {"members": []}
    rows = {row.did: row for row in team.every(visit.connection, visit.labeler)}
    found = []
    for did in sorted(did for did in {*rows, *visit.site} if did > after):
        view = _view(visit, did, rows.get(did))
        if view is None or sought not in did.lower() or (wanted and view["role"] not in wanted):
            continue
        if disabled is None or disabled is view["disabled"]:
            found.append(view)
    shown = found[: params["limit"]]
    answer: Answer = {"members": shown}
    if len(found) > len(shown):
        answer["cursor"] = cursor.encode_named(visit.key, scope, 0, shown[-1]["did"])
    return answer


def add_member(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Somebody is of the team from now on."""
    visit.administer("add a member")
    did, role = body["did"], _role(body["role"])
    if _is_staff(visit, did) or team.find(visit.connection, visit.labeler, did):
        raise Refused("MemberAlreadyExists", "The account is a member of the team already.")
    if not visit.resolvable(did):
        raise InvalidRequest("did must be a did:plc, or a did:web of a public host: no other account can sign in here")
    if team.count(visit.connection, visit.labeler) >= MOST_MEMBERS:
        raise InvalidRequest(f"A team has {MOST_MEMBERS} members at most; take somebody out first")
    return _put(visit, MemberRow(did, role, False, visit.now, visit.now, visit.caller.did))


def update_member(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Somebody has another role, or is disabled, or no more."""
    visit.administer("update a member")
    row = _member(visit, body["did"])
    role = _role(body["role"]) if "role" in body else Role(row.role)
    after = row._replace(role=role, disabled=body.get("disabled", row.disabled))
    if after.disabled or role is not Role.ADMIN:
        _keep_an_admin(visit, row)
    return _put(visit, after._replace(changed_at=visit.now, changed_by=visit.caller.did))


def delete_member(visit: Visit, body: Mapping[str, Any]) -> None:
    """Somebody is of the team no more, and looks after none of its queues."""
    visit.administer("delete a member")
    did = body["did"]
    if did == visit.caller.did:
        raise Refused("CannotDeleteSelf", "You cannot take yourself out of the team.")
    _keep_an_admin(visit, _member(visit, did))
    team.delete(visit.connection, visit.labeler, did)
    queue_assignments.end_all_of_member(visit.connection, visit.labeler, did, visit.now, visit.caller.did)
    log.info("team of %s: %s takes out %s", visit.did, visit.caller.did, did)


def member(visit: Visit, did: str) -> Answer | None:
    """Somebody as the lexicon has it; None: nobody of the team."""
    return _view(visit, did, team.find(visit.connection, visit.labeler, did))


def _role(token: str) -> Role:
    if token not in BY_TOKEN:
        raise InvalidRequest(f"role must be one of {', '.join(BY_TOKEN)}")
    return BY_TOKEN[token]


def _is_staff(visit: Visit, did: str) -> bool:
    return visit.site.get(did, Site.NOBODY) is not Site.NOBODY


def _member(visit: Visit, did: str) -> MemberRow:
    """The row that is to be changed. Raises Refused (MemberNotFound), and InvalidRequest for those of the settings."""
    if _is_staff(visit, did):
        raise InvalidRequest(f"{did} is named in {_SETTINGS}: whoever runs the service changes that, nobody does here")
    row = team.find(visit.connection, visit.labeler, did)
    if row is None:
        raise Refused("MemberNotFound", "The account is no member of the team.")
    return row


def _keep_an_admin(visit: Visit, row: MemberRow) -> None:
    """Raise Refused (LastAdmin) if there is no admin without this one, for nobody could make another."""
    if row.role != Role.ADMIN or row.disabled or Site.ADMIN in visit.site.values():
        return
    if not team.others_with(visit.connection, visit.labeler, Role.ADMIN, row.did):
        raise Refused("LastAdmin", "This is the last admin of the team: make somebody else one first.")


def _put(visit: Visit, row: MemberRow) -> Answer:
    team.put(visit.connection, visit.labeler, row)
    state = f"{Role(row.role).name.lower()}{', disabled' if row.disabled else ''}"
    log.info("team of %s: %s makes %s %s", visit.did, visit.caller.did, row.did, state)
    view = _view(visit, row.did, row)
    assert view is not None  # noqa: S101 - it has a row
    return view


def _view(visit: Visit, did: str, row: MemberRow | None) -> Answer | None:
    """Somebody as the lexicon has it; None: nobody of the team."""
    said, off = (Role(row.role), row.disabled) if row else (None, False)
    role, disabled = of_team(visit.site.get(did, Site.NOBODY), said, off)
    if role is None:
        return None
    view: Answer = {"did": did, "disabled": disabled, "role": role.token}
    if row is not None:
        view |= {"createdAt": moment(row.at), "updatedAt": moment(row.changed_at), "lastUpdatedBy": row.changed_by}
    return view


QUERIES = (
    Query(
        "team.listMembers",
        Params(
            {
                "q": StringParam(max_length=256),
                "disabled": BoolParam(),
                "roles": ListParam(StringParam(max_length=100), max_items=len(Role)),
                "limit": IntParam(1, 100, default=50),
                "cursor": StringParam(max_length=cursor.MOST_NAMED),
            }
        ),
        list_members,
    ),
)
PROCEDURES = (
    Procedure("team.addMember", add_member),
    Procedure("team.updateMember", update_member),
    Procedure("team.deleteMember", delete_member),
)
