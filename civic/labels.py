"""social.communities.label: what moderators say of posts and accounts of their community, by its labeler."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from civic.entry import expiry, reason_and_rule
from civic.visit import NSID, Answer, Procedure, Visit
from communities.decision_view import moment
from communities.directory import Settings
from communities.refs import read_cid, read_post_uri
from labeler.for_communities import Wish
from labeler.for_communities import label as label_for
from labeler.issue import LabelRefusedError, Wanted
from labeler.label import timestamp
from labeler.permission import NotAllowedError
from labeler.vocabulary import Declared
from xrpc.errors import InvalidRequest, Refused

ACCOUNT, RECORD = f"{NSID}defs#account", "com.atproto.repo.strongRef"
_TAKEN = frozenset(("$type", "community", "subject", "add", "remove", "expiresAt", "reason", "rule", "labeler"))


def procedures(labelers: Callable[[], Sequence[Declared]]) -> tuple[Procedure, ...]:
    """The procedure, for a service that is these labelers, asked for at each call."""

    def label(visit: Visit, body: Mapping[str, Any]) -> Answer:
        return _label(visit, labelers(), body)

    return (Procedure("label", label),)


def _label(visit: Visit, labelers: Sequence[Declared], body: Mapping[str, Any]) -> Answer:
    """Label, as one event. Raises InvalidRequest, Refused, RefusedError."""
    settings = visit.find(body["community"])
    if unknown := sorted(body.keys() - _TAKEN):
        # Who says `src` or `cts` believes that they decide it.
        raise InvalidRequest(f"{unknown[0][:50]!r} is not taken: source and time of a label are set here")
    add, remove = tuple(body.get("add", ())), tuple(body.get("remove", ()))
    if not add and not remove:
        raise InvalidRequest("add or remove must name a value")
    uri, cid = _subject(body["subject"])
    reason, rule = reason_and_rule(visit, settings, body)
    until = expiry(visit, body)
    if until is not None and not add:
        raise InvalidRequest("only what is added has an expiresAt")
    wish = Wish(
        visit.signed(),
        uri,
        cid,
        add=add,
        remove=remove,
        reason=reason or "",
        rule=rule or "",
        until=until,
        labeler=body.get("labeler"),
    )
    try:
        wanted, done, waiting = label_for(
            visit.connection, labelers, settings, partial(visit.standing, settings), wish, visit.now
        )
    except NotAllowedError as error:
        raise Refused(error.name, str(error), 400 if error.name == "SubjectNotInCommunity" else 403) from error
    except LabelRefusedError as error:
        raise InvalidRequest(str(error)) from error
    answer: Answer = {"waiting": list(waiting)} if waiting else {}
    if done.event is not None:
        answer["event"] = _view(wanted, settings, done.event, done.added, done.removed, visit.now)
    return answer


def _subject(subject: Mapping[str, Any]) -> tuple[str, str]:
    """What is labelled: an account's DID, or at-uri and CID of a post."""
    if subject["$type"] == ACCOUNT:
        return subject["did"], ""
    if subject["$type"] != RECORD or read_post_uri(subject["uri"]) is None:
        raise InvalidRequest("subject must be an account, or a post by an at-uri with its author's DID")
    if read_cid(subject["cid"]) is None:
        raise InvalidRequest("subject.cid must be the CID of a record")
    return subject["uri"], subject["cid"]


def _view(
    wanted: Wanted, settings: Settings, event: int, added: Sequence[str], removed: Sequence[str], now: int
) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": event,
        "at": moment(now),
        "labeler": wanted.src,
        "community": settings.slug,
        "actor": wanted.actor,
        "role": wanted.role,
        "subject": wanted.uri,
        "added": list(added),
        "removed": list(removed),
    }
    said = {"cid": wanted.cid, "reason": wanted.reason, "rule": wanted.rule}
    view |= {name: value for name, value in said.items() if value}
    if added and wanted.exp is not None:
        view["expiresAt"] = timestamp(wanted.exp)
    return view
