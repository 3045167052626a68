"""An entry of the log for each decision, in the transaction that decides."""

from collections.abc import Mapping
from typing import Any

from civic.visit import Visit
from communities.access import Action, Standing
from communities.acting import acting_as
from communities.decision_view import view
from communities.deeds import Deed, write
from communities.directory import Settings
from communities.log import Decision
from communities.membership import RefusedError
from labeler.permission import NotAllowedError
from labeler.takedowns import giving_back
from xrpc.errors import InvalidRequest
from xrpc.syntax import parse_datetime


def enter(
    visit: Visit,
    settings: Settings,
    who: Standing,
    action: Action,
    *,
    subject: str,
    cid: str | None = None,
    reason: str | None = None,
    rule: str | None = None,
    until: int | None = None,
) -> dict[str, Any]:
    """Log that the caller, who stands to the community as `who`, has decided; returns it as #decisionView, whole.

    `subject`: at-uri of a post, or a DID; `until`: microseconds.
    """
    caller = visit.signed()
    role = acting_as(action, settings, caller, who)
    decision = Decision(action, caller, role, subject, cid, reason, rule, until)
    return view(settings.slug, write(visit.connection, settings, visit.now, decision).entry)


def reason_and_rule(visit: Visit, settings: Settings, body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Why something is decided, as the body says. Raises InvalidRequest, also for a rule that the community has not."""
    reason, rule = body.get("reason"), body.get("rule")
    if reason is not None and "\0" in reason:
        raise InvalidRequest("reason must not have NUL characters")
    if rule is not None and rule not in {one.name for one in visit.declaration(settings).rules}:
        raise InvalidRequest("rule must be the name of one of the community's rules")
    return reason or None, rule


def given_back(visit: Visit, settings: Settings, action: Action, subject: str) -> Deed:
    """What goes with a decision that may give back what was taken down: the label of that is taken back first. Raises
    RefusedError where the caller's role does not cover it.
    """
    to = (visit.connection, visit.town.places, settings, visit.signed(), action, subject)
    try:
        return Deed(label_event=giving_back(*to, visit.now, visit.site))
    except NotAllowedError as error:
        raise RefusedError(error.name, str(error)) from error


def expiry(visit: Visit, body: Mapping[str, Any]) -> int | None:
    """When what is decided is to end, microseconds; None: never. Raises InvalidRequest."""
    if "expiresAt" not in body:
        return None
    until = parse_datetime(body["expiresAt"])
    if until is None or until <= visit.now:
        raise InvalidRequest("expiresAt must be a moment in the future")
    return until
