"""social.communities.undo: what moderators of a community have done is undone, in pieces (labeler/undo.py)."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from civic.visit import Answer, Procedure, Visit
from communities.access import Action, holds
from communities.decision_view import moment
from communities.membership import RefusedError
from labeler.hand import Hand
from labeler.undo import PIECE, REASON, Looked, batch_of, selection, undo
from labeler.vocabulary import Declared
from models.event_selection import LAST
from xrpc.errors import InvalidRequest, Refused

_BY = ("event", "batch", "rule", "actor")
_CURSOR = re.compile(r"[1-9][0-9]{0,17}")


def procedures(labelers: Callable[[], Sequence[Declared]]) -> tuple[Procedure, ...]:
    """The procedure, for a service that is these labelers, asked for at each call."""

    def act(visit: Visit, body: Mapping[str, Any]) -> Answer:
        return _undo(visit, labelers(), body)

    return (Procedure("undo", act),)


def _undo(visit: Visit, labelers: Sequence[Declared], body: Mapping[str, Any]) -> Answer:
    """Undo a piece. Raises InvalidRequest, Refused, RefusedError."""
    settings = visit.find(body["community"])
    if not holds(Action.REMOVE, visit.standing(settings)):
        raise RefusedError("NotPermitted", "Your role does not allow you to undo what moderators did here.")
    said = [by for by in _BY if by in body]
    if len(said) != 1:
        raise InvalidRequest(f"say one of {', '.join(_BY)}")
    by, name = said[0], body[said[0]]
    below = _below(body.get("cursor"))
    reason = body.get("reason", "")
    if "\0" in reason:
        raise InvalidRequest("reason must not have NUL characters")
    hand = Hand(
        visit.signed(), visit.town.places, visit.site, labelers, visit.now,
        reason or REASON, batch_of(by, name),
    )  # fmt: skip
    dry = body.get("dryRun", False)
    piece = undo(visit.connection, hand, selection(by, name, settings.id), below, body.get("limit", PIECE), dry=dry)
    if by == "event" and not piece.events:
        told = "There is no such event of this community, or it is a report, or a tag that came of one."
        raise Refused("EventNotFound", told)
    answer: Answer = {"events": [view(one, dry=dry) for one in piece.events]}
    if piece.below is not None:
        answer["cursor"] = str(piece.below)
    return answer


def _below(cursor: str | None) -> int:
    if cursor is None:
        return LAST
    if not _CURSOR.fullmatch(cursor):
        raise InvalidRequest("cursor is none that was given here")
    return int(cursor)


def view(one: Looked, *, dry: bool) -> dict[str, Any]:
    """An event that was looked at."""
    told: dict[str, Any] = {
        "id": one.id,
        "type": one.row.type,
        "at": moment(one.row.at),
        "actor": one.row.actor,
        "subject": one.key.uri,
        "undone": bool(one.by),
    }
    if one.why:
        told["why"] = one.why
    if one.by and not dry:
        told["by"] = list(one.by)
    return told
