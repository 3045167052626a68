"""social.communities.label: what moderators say of posts and accounts of their community, by its labeler."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from civic.entry import expiry, reason_and_rule
from civic.visit import NSID, Answer, Procedure, Visit
from communities.access import Action
from communities.acting import acting_as
from communities.decision_view import moment
from communities.deeds import Deed, subject_key
from communities.directory import Settings
from communities.membership import RefusedError
from communities.refs import read_cid, read_post_uri
from communities.stored import find_post
from labeler import second
from labeler.issue import LabelRefusedError, Wanted
from labeler.label import timestamp
from labeler.permission import Facts, NotAllowedError, belongs, judge, own_values, serving
from labeler.saying import say
from labeler.standing import active
from labeler.vocabulary import Declared
from models import labelers as labeler_rows
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
    declared = _which(labelers, settings, body.get("labeler"))
    labeler = labeler_rows.enter(visit.connection, declared.did)
    who, now = visit.standing(settings), visit.now // 1000
    held = active(visit.connection, labeler, uri, now)
    its_own = belongs(visit.connection, settings.id, uri)
    own = own_values(visit.connection, settings.id, ((one.val, one.event) for one in held), its_own=its_own)
    facts = Facts(who, its_own, own)
    holding = {one.val for one in held}
    exp = None if until is None else until // 1000
    gone = tuple(val for val in remove if val in holding)
    # To say with another end what holds is to take that away: it would be over when the new one is.
    over = tuple({one.val for one in held if one.val in add and one.cid == cid and one.exp != exp})
    try:
        # What does not hold is not there to be removed: that is no matter of permission.
        judge(facts, declared.values, add, (*gone, *over))
        if add:
            _check_version(visit, uri, cid)
        wanted = Wanted(
            labeler,
            declared.did,
            uri,
            cid,
            add=add,
            remove=remove,
            exp=exp,
            actor=visit.signed(),
            role=str(acting_as(Action.REMOVE, settings, visit.signed(), who)),
            community=settings.id,
            reason=reason or "",
            rule=rule or "",
        )
        key = subject_key(uri)
        two = second.takes_two(declared.definitions, add, holding)
        asked = second.ask(visit.connection, settings.id, key, visit.signed(), add, two)
        wanted = wanted._replace(add=asked.now, exp=exp if asked.now else None)
        done = say(visit.connection, declared, wanted, now).issued
        role = wanted.role
        deed = Deed(comment=reason or "", cid=cid)
        noted = second.note(visit.connection, settings.id, key, visit.signed(), role, asked, visit.now, deed)
    except NotAllowedError as error:
        raise Refused(error.name, str(error), 400 if error.name == "SubjectNotInCommunity" else 403) from error
    except LabelRefusedError as error:
        raise InvalidRequest(str(error)) from error
    if done.event is None and noted is None:
        raise RefusedError("NoChange", "That is how it stands already.")
    answer: Answer = {"waiting": list(asked.waiting)} if asked.waiting else {}
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


def _which(labelers: Sequence[Declared], settings: Settings, did: str | None) -> Declared:
    found = [one for one in serving(labelers, settings.slug) if did in (None, one.did)]
    if len(found) != 1:
        names = " or ".join(one.did for one in found)
        why = f"Say which labeler: {names}." if found else "No such labeler labels for this community."
        raise RefusedError("LabelerNotFound", why)
    return found[0]


def _check_version(visit: Visit, uri: str, cid: str) -> None:
    """Whether the version that the caller has seen is the one that is indexed."""
    ref = read_post_uri(uri)
    post = find_post(visit.connection, ref) if ref else None
    if post is not None and post.cid != read_cid(cid):
        raise RefusedError("VersionChanged", "The post was edited since: look at it again.")


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
