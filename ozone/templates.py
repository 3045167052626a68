"""tools.ozone.communication.*: texts that moderators of a team send again and again, and the app fills in.

They are the whole team's. Who moderates by a community alone may be anybody who has founded one: for them there are
none. Source: the reference server; bounds are ours.
"""

import re
from collections.abc import Mapping
from typing import Any

from models import templates as rows
from models.templates import TemplateRow
from ozone.visit import Answer, Procedure, Query, Visit, moment
from xrpc.errors import InvalidRequest, Refused
from xrpc.params import Params

MOST_TEMPLATES = 200
"""Of a team (ours): all of them are one answer."""
MOST_BYTES = {"name": 256, "subject": 1024, "contentMarkdown": 16 * 1024}
"""Of each field (ours)."""
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_COLUMNS = {"name": "name", "subject": "subject", "contentMarkdown": "content", "lang": "lang", "disabled": "disabled"}


def list_templates(visit: Visit, _: Mapping[str, Any]) -> Answer:
    """All of them by name, also those that are disabled."""
    shown = visit.shares("list communication templates")
    found = rows.every(visit.connection, visit.labeler) if shown else []
    return {"communicationTemplates": [_view(row) for row in found]}


def create_template(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """A text is there from now on. It is the caller's, whatever `createdBy` says."""
    visit.moderate("create a communication template")
    _check(visit, body, 0)
    if rows.count(visit.connection, visit.labeler) >= MOST_TEMPLATES:
        raise InvalidRequest(f"There may be {MOST_TEMPLATES} templates; delete one first")
    texts = body["name"], body["subject"], body["contentMarkdown"], body.get("lang", "")
    did = visit.caller.did
    return _put(visit, TemplateRow(0, *texts, False, visit.now, did, visit.now, did))


def update_template(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """What is given is so from now on, and the rest as it was. The caller did it, whatever `updatedBy` says."""
    visit.moderate("update a communication template")
    row = _template(visit, body["id"])
    _check(visit, body, row.id)
    given = {column: body[field] for field, column in _COLUMNS.items() if field in body}
    return _put(visit, row._replace(**given, changed_at=visit.now, changed_by=visit.caller.did))


def delete_template(visit: Visit, body: Mapping[str, Any]) -> None:
    """A text is there no more."""
    visit.moderate("delete a communication template")
    rows.delete(visit.connection, visit.labeler, _template(visit, body["id"]).id)


def _template(visit: Visit, number: str) -> TemplateRow:
    """The one that is meant. Raises InvalidRequest, for the lexicon has no name for this."""
    row = rows.find(visit.connection, visit.labeler, int(number)) if _NUMBER.fullmatch(number) else None
    if row is None:
        raise InvalidRequest(f"There is no template with the id {number[:20]!r}")
    return row


def _check(visit: Visit, body: Mapping[str, Any], number: int) -> None:
    """Raise InvalidRequest, or Refused (DuplicateTemplateName), unless template `number` may be what is given."""
    for field, most in MOST_BYTES.items():
        if len(body.get(field, "").encode()) > most:
            raise InvalidRequest(f"{field} may have {most} bytes")
    if "name" in body:
        if not body["name"].strip():
            raise InvalidRequest("name must not be blank")
        if rows.named(visit.connection, visit.labeler, body["name"]) not in (None, number):
            raise Refused("DuplicateTemplateName", "There is a template of that name already.")


def _put(visit: Visit, row: TemplateRow) -> Answer:
    return _view(rows.put(visit.connection, visit.labeler, row))


def _view(row: TemplateRow) -> Answer:
    view: Answer = {
        "id": str(row.id),
        "name": row.name,
        "subject": row.subject,
        "contentMarkdown": row.content,
        "disabled": row.disabled,
        "lastUpdatedBy": row.changed_by,
        "createdAt": moment(row.at),
        "updatedAt": moment(row.changed_at),
    }
    if row.lang:
        view["lang"] = row.lang
    return view


QUERIES = (Query("communication.listTemplates", Params(), list_templates),)
PROCEDURES = (
    Procedure("communication.createTemplate", create_template),
    Procedure("communication.updateTemplate", update_template),
    Procedure("communication.deleteTemplate", delete_template),
)
