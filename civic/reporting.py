"""com.atproto.moderation.createReport: what somebody has to say to moderators about an account or a record.

It may be sent to the service, or to each labeler that the service is: there its own record says what it takes.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from civic.visit import Answer, Procedure, Visit
from communities import appeals, taken
from communities.decision_view import moment
from communities.evidence import collection_of
from communities.reasons import APPEALS
from communities.report_limits import wait
from communities.reports import Around, find_same, report
from models import tokens
from models.reports import Said
from xrpc.errors import AccountInactive, Forbidden, InvalidRequest, RateLimitExceeded, Refused
from xrpc.ratelimit import Quota
from xrpc.syntax import is_did, parse_at_uri

ACCOUNT, RECORD = "com.atproto.admin.defs#repoRef", "com.atproto.repo.strongRef"
MESSAGE, CONVO = "chat.bsky.convo.defs#messageRef", "chat.bsky.convo.defs#convoRef"
LONGEST_TOOL, LONGEST_META = 200, 2000
"""Characters of the name of a program that are kept, and bytes of what it says of itself: more is left out."""
_LONGEST_CHAT_ID = 512


class _Subject(NamedTuple):
    """What is reported; empty texts for what it has not."""

    kind: str
    did: str
    uri: str = ""
    cid: str = ""
    convo: str = ""
    message: str = ""

    def told(self) -> Mapping[str, str]:
        """As the caller gave it."""
        if self.kind == taken.RECORD:
            return {"$type": RECORD, "uri": self.uri, "cid": self.cid}
        if self.kind == taken.ACCOUNT:
            return {"$type": ACCOUNT, "did": self.did}
        message = {"messageId": self.message} if self.message else {}
        return {"$type": MESSAGE if message else CONVO, "did": self.did, "convoId": self.convo, **message}


def create_report(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Take a report, once for what the caller says again and again. Raises InvalidRequest, Forbidden, AccountInactive,
    Refused (AlreadyAppealed, AccountTakedown), RateLimitExceeded.
    """
    caller, subject = visit.signed(), _subject(body["subject"])
    why_not = taken.fault(visit.labeler, body["reasonType"], subject.kind, collection_of(subject.uri))
    if why_not is not None:
        raise InvalidRequest(f"This is not taken: {why_not}.")
    said = _said(visit, caller, subject, body)
    _check_reporter(visit, said)
    if find_same(visit.connection, said, visit.now, visit.intake) is None:
        waits = wait(visit.connection, said, visit.now, visit.intake.large_hosts)
        if waits is not None:
            quota = Quota(waits.limit.most, waits.limit.span / 1_000_000)
            raise RateLimitExceeded(waits.why, quota=quota, retry_after=waits.seconds)
    around = Around(visit.town.places, visit.site, visit.labeler.communities if visit.labeler else frozenset())
    kept = report(visit.connection, around, said, visit.now, visit.intake)
    answer = {"id": kept.id, "reasonType": said.reason_type, "subject": subject.told(), "reportedBy": caller}
    return answer | {"createdAt": moment(kept.at)} | ({"reason": said.reason} if said.reason else {})


def _said(visit: Visit, caller: str, subject: _Subject, body: Mapping[str, Any]) -> Said:
    reason, tool = body.get("reason", ""), body.get("modTool", {})
    if "\0" in reason:
        raise InvalidRequest("reason must not have NUL characters")
    return Said(
        caller,
        body["reasonType"],
        reason,
        *subject[1:],
        labeler=visit.labeler.did if visit.labeler else "",
        host=visit.host,
        tool=tool.get("name", "").replace("\0", "")[:LONGEST_TOOL],
        tool_meta=_meta(tool.get("meta")),
    )


def _meta(meta: Any) -> str:
    """What a program says of itself, as JSON; nothing if that is too long or too deep."""
    try:
        text = orjson.dumps(meta) if meta else b""
    except orjson.JSONEncodeError:
        return ""
    return text.decode() if len(text) <= LONGEST_META else ""


def _subject(subject: Mapping[str, Any]) -> _Subject:
    kind = subject["$type"]
    if kind == ACCOUNT:
        return _Subject(taken.ACCOUNT, subject["did"])
    if kind in (MESSAGE, CONVO):
        return _chat(subject, ("convoId", "messageId") if kind == MESSAGE else ("convoId",))
    if kind != RECORD:
        raise InvalidRequest(f"subject must be a {ACCOUNT} or a {RECORD}")
    parts = parse_at_uri(subject["uri"])
    if parts is None or not is_did(parts.authority) or not parts.rkey:
        raise InvalidRequest("subject.uri must be the at-uri of a record, with its author's DID")
    return _Subject(taken.RECORD, parts.authority, subject["uri"], subject["cid"])


def _chat(subject: Mapping[str, Any], names: tuple[str, ...]) -> _Subject:
    """A message or conversation: the official union leaves room for it, and no lexicon here says what it must be."""
    did = subject.get("did")
    if not isinstance(did, str) or not is_did(did):
        raise InvalidRequest("subject.did must be a DID")
    for name in names:
        value = subject.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_CHAT_ID or "\0" in value:
            raise InvalidRequest(f"subject.{name} must be a text of at most {_LONGEST_CHAT_ID} characters")
    return _Subject(taken.CHAT, did, convo=subject["convoId"], message=subject["messageId"] if len(names) > 1 else "")


def _check_reporter(visit: Visit, said: Said) -> None:
    """Whether the caller may say this: who is not active here may only appeal, and only authors may."""
    if said.reason_type not in APPEALS:
        if appeals.is_taken_down(visit.connection, said.reporter):
            message = "Your account is taken down here: you can appeal against that, and not report others."
            raise Refused("AccountTakedown", message, 403)
        if not tokens.is_shown(visit.connection, said.reporter):
            raise AccountInactive("Your account is not active.")
        return
    if not appeals.is_author(said):
        raise Forbidden("Only the author of something can appeal against what was decided about it.")
    if appeals.waits_for_account(visit.connection, said):
        raise Refused("AlreadyAppealed", "You have appealed already, and nobody has decided about it yet.", 403)


PROCEDURES = (Procedure("com.atproto.moderation.createReport", create_report, labelers=True, inactive=True),)
