"""`social.communities.*` records of people's repositories, as what they say. Pure.

A record that its lexicon refuses, or that says what cannot be, is refused by name (`RecordRefusedError.name`): then it
has no effect, and its author is told why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from communities.access import AVAILABLE, EVERYTHING, Posting, Role, Scope, State, Type
from communities.commands import Word
from communities.community import JOIN_WAYS, WHO, Community, Exclude, Include, Log, Require, Rule
from communities.keys import LIST, RESERVED, SLUG
from communities.limits import UNLIMITED, Limits, limits_of
from communities.ranking import SORTS, Ranking
from communities.text import fold_tag, words
from xrpc.lexicon import Catalog, LexiconError
from xrpc.syntax import is_did, parse_datetime

COMMUNITY = "social.communities.community"
ROLE = "social.communities.role"
MEMBERSHIP = "social.communities.membership"
SUBMISSION = "social.communities.submission"
FOLLOW, BLOCK = "app.bsky.graph.follow", "app.bsky.graph.block"
OURS = frozenset((COMMUNITY, ROLE, MEMBERSHIP, SUBMISSION))
"""Records that say who is in a community and what belongs to it."""
RELATIONS = frozenset((FOLLOW, BLOCK))
"""Records that mean something of and for accounts of communities."""
SHAPING = OURS | RELATIONS
"""All of them."""
POST = "app.bsky.feed.post"
MOST_SELECTORS = 5000
"""Tags, words and accounts that one record may name (ours): anybody can write one, and all are kept in memory."""


class RecordRefusedError(Exception):
    """A record that has no effect. `name`: for programs; the message is for people."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class CommunityRecord:
    """A community, and the records that it came from and went to when its owner changed (at-uris)."""

    community: Community
    predecessor: str | None = None
    successor: str | None = None


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """A role that an owner gives. `until`: microseconds, None for ever."""

    community: str
    subject: str
    role: Role
    scope: frozenset[Scope]
    until: int | None
    limits: Limits = UNLIMITED


@dataclass(frozen=True, slots=True)
class MembershipRecord:
    """Somebody joins, or asks to. `volume`: 1 to 5."""

    community: str
    volume: int = 3


@dataclass(frozen=True, slots=True)
class SubmissionRecord:
    """An author submits a post of theirs."""

    community: str
    post: str


@dataclass(frozen=True, slots=True)
class RelationRecord:
    """An account follows or blocks another."""

    subject: str


Said = CommunityRecord | RoleRecord | MembershipRecord | SubmissionRecord | RelationRecord


def read_said(catalog: Catalog, did: str, collection: str, rkey: str, record: Mapping[str, Any]) -> Said:
    """What a record in the repository of `did` says. Raises RecordRefusedError."""
    if collection in RELATIONS:
        subject = record.get("subject")
        if not isinstance(subject, str) or not is_did(subject):
            raise RecordRefusedError("InvalidRecord", "subject must be a DID")
        return RelationRecord(subject)
    try:
        catalog.check_record(collection, record, rkey)
    except LexiconError as error:
        raise RecordRefusedError("InvalidRecord", str(error)) from None
    if collection == COMMUNITY:
        return _community(did, rkey, record)
    about = _community_uri(record["community"])
    if collection == ROLE:
        return _role(did, about, record)
    if collection == MEMBERSHIP:
        return MembershipRecord(about, record.get("volume", 3))
    post = record["post"]["uri"]
    if not post.startswith(f"at://{did}/{POST}/"):
        raise RecordRefusedError("NotYourPost", "only its author submits a post")
    return SubmissionRecord(about, post)


def _community_uri(uri: str) -> str:
    """The at-uri of a community's record, which must name it by the DID of its owner."""
    authority, _, path = uri.removeprefix("at://").partition("/")
    collection, _, slug = path.partition("/")
    if not is_did(authority) or collection != COMMUNITY or not SLUG.fullmatch(slug):
        raise RecordRefusedError("InvalidCommunity", "community must be the at-uri of a community's record, with a DID")
    return uri


def _role(did: str, about: str, record: Mapping[str, Any]) -> RoleRecord:
    if not about.startswith(f"at://{did}/"):
        raise RecordRefusedError("NotTheOwner", "only the owner of a community gives roles in it")
    role = {"moderator": Role.MODERATOR, "admin": Role.ADMIN}.get(record["role"])
    if role is None:
        raise RecordRefusedError("UnknownRole", "the role is not known here")
    scope = EVERYTHING
    if "scope" in record and role is Role.MODERATOR:
        scope = frozenset(part for part in Scope if part.value in record["scope"])
    limits = limits_of(record) if role is Role.MODERATOR else UNLIMITED
    # A moment before 1970 has no number of microseconds; whatever ends then has ended.
    until = (parse_datetime(record["expiresAt"]) or 0) if "expiresAt" in record else None
    return RoleRecord(about, record["subject"], role, scope, until, limits)


def _community(did: str, slug: str, record: Mapping[str, Any]) -> CommunityRecord:
    if not SLUG.fullmatch(slug):
        raise RecordRefusedError("InvalidSlug", "the record key must be a slug: 2 to 63 of a-z, 0-9, - and _")
    if slug in RESERVED:
        raise RecordRefusedError("ReservedSlug", f"{slug} is a feed of the service itself")
    if record["type"] not in AVAILABLE:
        raise RecordRefusedError(
            "TypeNotAvailable",
            "only communities of type open can be kept: whatever is in a public repository can be read by all, so the"
            " other types wait for permissioned data",
        )
    include, require, exclude = (record.get(part, {}) for part in ("include", "require", "exclude"))
    selectors = sum(map(len, (v for part in (include, require, exclude) for v in part.values() if isinstance(v, list))))
    if selectors > MOST_SELECTORS:
        raise RecordRefusedError("TooLarge", f"it names more than {MOST_SELECTORS:,} tags, words and accounts")
    community = Community(
        slug=slug,
        name=record["name"],
        description=record.get("description", ""),
        about=record.get("about", ""),
        owner=did,
        feeds=tuple(SORTS),
        accepts_interactions=True,
        kind=Type(record["type"]).value,
        posting=_one_of(Posting, record.get("posting", Posting.MEMBERS.value), Posting.RESTRICTED),
        join_by=tuple(way for way in record.get("joinBy", JOIN_WAYS[:2]) if way in JOIN_WAYS),
        state=_one_of(State, record.get("state", State.ACTIVE.value), State.PAUSED),
        account=record.get("account"),
        parent=record.get("parent"),
        queue_feed=record.get("queueFeed", False),
        commands=_commands(record.get("commands", ())),
        admin_commands=_commands(record.get("adminCommands", ())),
        rules=tuple(Rule(rule["name"], rule.get("text", "")) for rule in record.get("rules", ())),
        log=_log(record.get("log", {})),
        include=_include(include),
        require=Require(tuple(require.get("languages", ())), tuple(require.get("media", ()))),
        exclude=_exclude(exclude),
        ranking=_ranking(record.get("ranking", {})),
    )
    return CommunityRecord(community, record.get("predecessor"), record.get("successor"))


def _one_of(kind: type[Posting] | type[State], value: str, otherwise: Posting | State) -> str:
    """A value as it is known here; an unknown one is taken for the strictest that the lexicon names."""
    return value if value in set(kind) else otherwise.value


def _commands(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in values if word in set(Word)))


def _tags(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag for tag in map(fold_tag, values) if tag))


def _include(said: Mapping[str, Any]) -> Include:
    return Include(
        # Reasons are kept one a line: a line break in a tag would say another one, such as that it was let in by hand.
        hashtags=tuple(tag for tag in _tags(said.get("hashtags", [])) if "\n" not in tag),
        keywords=tuple(keyword for keyword in said.get("keywords", ()) if words(keyword)),
        mentions=tuple(said.get("mentions", ())),
        members=tuple(said.get("members", ())),
        lists=tuple(uri for uri in said.get("lists", ()) if LIST.fullmatch(uri)),
        joined=said.get("joined", False),
    )


def _exclude(said: Mapping[str, Any]) -> Exclude:
    return Exclude(
        hashtags=_tags(said.get("hashtags", [])),
        replies=said.get("replies", False),
        languages=tuple(said.get("languages", ())),
        media=tuple(said.get("media", ())),
        domains=tuple(said.get("domains", ())),
        dids=tuple(said.get("dids", ())),
        hashtags_over=said.get("hashtagsOver", 0),
    )


def _ranking(said: Mapping[str, Any]) -> Ranking:
    weights = said.get("weights", {})
    return Ranking(
        half_life_hours=said.get("halfLifeHours", 12),
        likes=weights.get("like", 1),
        reposts=weights.get("repost", 1),
        replies=weights.get("reply", 1),
        quotes=weights.get("quote", 1),
        author_cap=said.get("authorCap", 0),
    )


def _log(said: Mapping[str, Any]) -> Log:
    who = said.get("who", "role")
    return Log(who if who in WHO else "nobody", said.get("showSubject", False))


def concern(did: str, rkey: str, said: Said) -> tuple[str, str]:
    """The community (at-uri, empty: none) and the account or post that a record is about."""
    if isinstance(said, CommunityRecord):
        return f"at://{did}/{COMMUNITY}/{rkey}", ""
    if isinstance(said, RoleRecord):
        return said.community, said.subject
    if isinstance(said, MembershipRecord):
        return said.community, ""
    if isinstance(said, SubmissionRecord):
        return said.community, said.post
    return "", said.subject
