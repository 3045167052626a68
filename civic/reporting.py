"""com.atproto.moderation.createReport: what somebody has to say to moderators about an account or a record."""

from collections.abc import Mapping
from typing import Any

from civic.visit import Answer, Procedure, Visit
from communities.decision_view import moment
from communities.reports import APPEALS, REASONS, report, wait
from models.reports import Said
from xrpc.errors import InvalidRequest, RateLimitExceeded
from xrpc.syntax import is_did, parse_at_uri

ACCOUNT, RECORD = "com.atproto.admin.defs#repoRef", "com.atproto.repo.strongRef"
LONGEST_TOOL = 200
"""Characters of the name of a program that are kept."""


def create_report(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Take a report, once for what the caller says again and again. Raises InvalidRequest, RateLimitExceeded."""
    reason_type, reason = body["reasonType"], body.get("reason", "")
    if reason_type in APPEALS:
        raise InvalidRequest("appeals are not taken by this method here; social.communities.explain says who decided")
    if reason_type not in REASONS:
        raise InvalidRequest("reasonType is none that is taken here")
    if "\0" in reason:
        raise InvalidRequest("reason must not have NUL characters")
    did, uri, cid = _subject(body["subject"])
    tool = body.get("modTool", {}).get("name", "").replace("\0", "")[:LONGEST_TOOL]
    caller = visit.signed()
    said = Said(caller, reason_type, reason, did, uri, cid, tool)
    seconds = wait(visit.connection, said, visit.now)
    if seconds is not None:
        raise RateLimitExceeded(retry_after=seconds)
    kept = report(visit.connection, visit.town.places, said, visit.now, visit.site)
    answer = {"id": kept.id, "reasonType": reason_type, "subject": body["subject"], "reportedBy": caller}
    return answer | {"createdAt": moment(kept.at)} | ({"reason": reason} if reason else {})


def _subject(subject: Mapping[str, Any]) -> tuple[str, str, str]:
    """Account, at-uri and CID of what is reported; the last two are empty for an account."""
    if subject["$type"] == ACCOUNT:
        return subject["did"], "", ""
    if subject["$type"] != RECORD:
        raise InvalidRequest(f"subject must be a {ACCOUNT} or a {RECORD}")
    parts = parse_at_uri(subject["uri"])
    if parts is None or not is_did(parts.authority) or not parts.rkey:
        raise InvalidRequest("subject.uri must be the at-uri of a record, with its author's DID")
    return parts.authority, subject["uri"], subject["cid"]


PROCEDURES = (Procedure("com.atproto.moderation.createReport", create_report),)
