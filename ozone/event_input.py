"""What a caller of emitEvent says: the event, what it is about, and which program says so. Pure.

The body fits the lexicon already; here is judged what that leaves open. Source: tools.ozone.moderation.emitEvent.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from communities.deeds import FORWARD, FORWARD_FAILED, FORWARDED, PINNED, REMOVED, Deed
from communities.mod_event import Kind
from labeler.second import SECOND
from models.mod_events import SubjectKey, key_of
from ozone.views import ACCOUNT, COMMUNITY_TAG, CONVO, DEFS, RECORD
from xrpc.errors import InvalidRequest
from xrpc.syntax import is_did, parse_at_uri

LONGEST_COMMENT = 20_000
"""Characters of a comment (ours)."""
MOST_NAMES, LONGEST_NAME = 100, 300
"""Tags, values or policies in one event, and characters of each (ours)."""
LONGEST_TOOL, LONGEST_BATCH, LONGEST_EXTERNAL = 200, 200, 300
MOST_HOURS = 24 * 365 * 100
_KINDS = {DEFS + kind: kind for kind in Kind}
_ENDS, _STRIKES = ("durationInHours",), ("policies", "severityLevel", "strikeCount", "strikeExpiresAt")
_FIELDS: Mapping[Kind, tuple[str, ...]] = {
    Kind.TAKEDOWN: ("acknowledgeAccountSubjects", "targetServices", *_ENDS, *_STRIKES),
    Kind.REVERSE_TAKEDOWN: ("policies", "severityLevel", "strikeCount"),
    Kind.COMMENT: ("sticky",),
    Kind.REPORT: ("reportType",),
    Kind.LABEL: ("createLabelVals", "negateLabelVals", *_ENDS),
    Kind.ACKNOWLEDGE: ("acknowledgeAccountSubjects",),
    Kind.MUTE: _ENDS,
    Kind.MUTE_REPORTER: _ENDS,
    Kind.EMAIL: ("subjectLine", "content", *_STRIKES),
    Kind.TAG: ("add", "remove", *_ENDS),
    Kind.PRIORITY_SCORE: ("score",),
    Kind.ACCOUNT: ("active", "status", "timestamp"),
    Kind.IDENTITY: ("handle", "pdsHost", "tombstone", "timestamp"),
    Kind.RECORD: ("op", "cid", "timestamp"),
}
"""What callers may say in each event besides a comment: of these the lexicon says what they are. Others are dropped:
nobody gives strikes by acknowledging.
"""
_NOT_HERE = {
    "modEventDivert": "blobs stay where they are, on PDSes that this service has no power over",
    "ageAssuranceEvent": "nothing is known here of anybody's age",
    "ageAssuranceOverrideEvent": "nothing is known here of anybody's age",
    "ageAssurancePurgeEvent": "nothing is known here of anybody's age",
    "revokeAccountCredentialsEvent": "credentials are the matter of the account's PDS",
    "scheduleTakedownEvent": "takedowns are not scheduled",
    "cancelScheduledTakedownEvent": "takedowns are not scheduled",
}
"""What the lexicon has and this service cannot do: it says so, and does not pretend."""


class Intent(NamedTuple):
    """What is to be done. `said`: the fields of the event without its type and comment."""

    kind: Kind
    said: Mapping[str, Any]
    comment: str


class About(NamedTuple):
    """What it is done to, and the version of it that was seen (empty for an account)."""

    key: SubjectKey
    cid: str = ""


class Forward(NamedTuple):
    """A labeler (its DID) to which something is forwarded, or (not `wanted`) is not to be any more."""

    recipient: str
    wanted: bool


def read_intent(event: Mapping[str, Any]) -> Intent:
    """The event. Raises InvalidRequest."""
    name = event["$type"]
    kind = _KINDS.get(name)
    if kind is None:
        why = _NOT_HERE.get(name.removeprefix(DEFS), "it is none of tools.ozone.moderation.defs")
        raise InvalidRequest(f"{name[:200]} cannot be emitted here: {why}")
    comment = event.get("comment", "")
    if len(comment) > LONGEST_COMMENT or "\0" in comment:
        raise InvalidRequest(f"event.comment may have {LONGEST_COMMENT:,} characters, and no NUL")
    said = {field: event[field] for field in _FIELDS.get(kind, ()) if field in event}
    hours = said.get("durationInHours")
    if hours == 0:
        # The web app says so of what has no end; the lexicon wants to hear it of a mute, which lasts as usual then.
        if kind is not Kind.MUTE:
            del said["durationInHours"]
    elif hours is not None and not 0 < hours <= MOST_HOURS:
        raise InvalidRequest(f"event.durationInHours must be 1 to {MOST_HOURS:,}")
    for field in ("createLabelVals", "negateLabelVals", "add", "remove", "policies"):
        if field in said:
            said[field] = _names(field, said[field])
    _check(kind, said)
    return Intent(kind, said, comment)


def _check(kind: Kind, said: Mapping[str, Any]) -> None:
    if kind is Kind.LABEL:
        if both := set(said["createLabelVals"]) & set(said["negateLabelVals"]):
            raise InvalidRequest(f"event: {min(both)!r} cannot be created and negated at once")
        if not said["createLabelVals"] and not said["negateLabelVals"]:
            raise InvalidRequest("event: createLabelVals or negateLabelVals must name a value")
    if kind is Kind.TAG:
        if not said["add"] and not said["remove"]:
            raise InvalidRequest("event: add or remove must name a tag")
        if any(tag.startswith(COMMUNITY_TAG) for tag in (*said["add"], *said["remove"])):
            raise InvalidRequest(f"tags with {COMMUNITY_TAG} say whose matter a subject is; nobody sets them")
        if PINNED in (*said["add"], *said["remove"]):
            raise InvalidRequest(f"the tag {PINNED} says what is pinned; pin by social.communities.decide")
        if any(tag.startswith(SECOND) for tag in said["add"]):
            raise InvalidRequest(f"tags with {SECOND} say what waits for somebody else; emit the label or takedown")
        if any(tag.startswith((FORWARDED, FORWARD_FAILED)) for tag in said["add"]):
            raise InvalidRequest(f"tags with {FORWARDED} and {FORWARD_FAILED} say what became of a tag with {FORWARD}")
    strikes = said.get("strikeCount")
    if strikes is not None and not 0 <= strikes <= 1000:
        raise InvalidRequest("event.strikeCount must be 0 to 1,000")


def _names(field: str, values: list[str]) -> list[str]:
    """Names, each once."""
    if len(values) > MOST_NAMES:
        raise InvalidRequest(f"event.{field} may have {MOST_NAMES} entries")
    if any(not value.strip() or len(value) > LONGEST_NAME or "\0" in value for value in values):
        raise InvalidRequest(f"event.{field}: each has 1 to {LONGEST_NAME} characters")
    return list(dict.fromkeys(values))


def read_about(subject: Mapping[str, Any]) -> About:
    """The subject. Raises InvalidRequest."""
    kind = subject["$type"]
    if kind == ACCOUNT:
        return About(SubjectKey(subject["did"]))
    if kind == RECORD:
        parts = parse_at_uri(subject["uri"])
        if parts is None or not is_did(parts.authority) or not parts.rkey:
            raise InvalidRequest("subject.uri must be the at-uri of a record, with its author's DID")
        return About(key_of(parts.authority, subject["uri"]), subject["cid"])
    if kind == CONVO:
        did, convo = subject.get("did"), subject.get("convoId")
        if isinstance(did, str) and is_did(did) and isinstance(convo, str) and 0 < len(convo) <= 512:
            return About(SubjectKey(did, convo=convo))
        raise InvalidRequest("subject must have a did and a convoId")
    raise InvalidRequest(f"subject must be a {ACCOUNT}, a {RECORD} or a {CONVO}")


def read_deed(body: Mapping[str, Any], intent: Intent, cid: str) -> Deed:
    """What else is said: the program that says it, and what that calls it. Raises InvalidRequest."""
    tool = body.get("modTool", {})
    meta = tool.get("meta") or {}
    if type(meta) is not dict:
        raise InvalidRequest("modTool.meta must be an object")
    batch, external = meta.get("batchId", ""), body.get("externalId", "")
    texts = {
        "modTool.name": (tool.get("name", ""), LONGEST_TOOL),
        "modTool.meta.batchId": (batch, LONGEST_BATCH),
        "externalId": (external, LONGEST_EXTERNAL),
    }
    for name, (text, longest) in texts.items():
        if not isinstance(text, str) or len(text) > longest or "\0" in text:
            raise InvalidRequest(f"{name} must be a text of at most {longest} characters")
    return Deed(
        comment=intent.comment,
        said=intent.said,
        cid=cid,
        blobs=tuple(dict.fromkeys(body.get("subjectBlobCids", ()))),
        tool=tool.get("name", ""),
        tool_meta={name: value for name, value in meta.items() if name != "batchId"},
        batch=batch,
        external=external,
        kind=intent.kind,
    )


def community_of_tags(intent: Intent) -> str | None:
    """The slug of the community from whose feed a tag takes a post, or lets it in again. Raises InvalidRequest."""
    tags = (*intent.said["add"], *intent.said["remove"]) if intent.kind is Kind.TAG else ()
    if not any(tag.startswith(REMOVED) for tag in tags):
        return None
    if len(tags) > 1 or intent.said.get("durationInHours") is not None:
        raise InvalidRequest(f"A tag with {REMOVED} is added or removed alone, and for good")
    return str(tags[0]).removeprefix(REMOVED)


def read_forward(intent: Intent, deed: Deed) -> Forward | None:
    """To which labeler the subject is to be forwarded, or not any more. Raises InvalidRequest."""
    named = deed.tool_meta.get("forwardTo")
    if named is not None:
        if intent.kind is not Kind.ESCALATE or not isinstance(named, str):
            raise InvalidRequest(f"modTool.meta.forwardTo names the DID of a labeler, in {Kind.ESCALATE}")
        return Forward(named, wanted=True)
    tags = (*intent.said["add"], *intent.said["remove"]) if intent.kind is Kind.TAG else ()
    if not any(tag.startswith(FORWARD) for tag in tags):
        return None
    if len(tags) > 1 or intent.said.get("durationInHours") is not None:
        raise InvalidRequest(f"A tag with {FORWARD} is added or removed alone, and for good")
    return Forward(tags[0].removeprefix(FORWARD), wanted=bool(intent.said["add"]))


def named_community(deed: Deed) -> str | None:
    """The slug of the community that a program names. Raises InvalidRequest."""
    slug = deed.tool_meta.get("community")
    if slug is not None and not isinstance(slug, str):
        raise InvalidRequest("modTool.meta.community must be the slug of a community")
    return slug
