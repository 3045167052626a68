"""Why a post is, or is not, in a community, from everything that is known of it: one truth for the method and the
command line.

Plain functions over a connection. A post that is not indexed is explained by its facts where the caller has fetched
them, else by what stands of it in other rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from communities.admission import (
    BANNED,
    HIDDEN_AUTHOR,
    PENDING,
    REMOVED,
    TAKEN_DOWN,
    Decided,
    Held,
    Judgement,
    Outcome,
    Verdict,
    judge,
)
from communities.community import Community
from communities.directory import Places, Settings, owners_above
from communities.matching import JOINED, SUBMITTED, Matcher, compile_rules
from communities.members import find_actor, memberships, standing_by
from communities.membership import Membership
from communities.optout import opted_out, submission
from communities.post import Post
from communities.ranking import Candidate, Ranking, key
from communities.refs import PostRef
from communities.rule import refusal
from communities.stored import Item, StoredPost, find_decided, find_item, find_post
from models import communities as community_rows
from models import meta
from models.database import Connection
from models.repos import TO_BE_READ
from xrpc.syntax import is_tid, tid_micros

_AUTHOR = "SELECT a.shown, a.allowed, a.status, r.state FROM actor a LEFT JOIN repo r ON r.actor = a.id WHERE a.id = ?"
SITE_TOOK_DOWN = "this site has taken it down"
_HOUR = 3_600_000_000
_DAY = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class Subject:
    """A post that is to be explained. `facts` and `cid`: None where nobody knows them. `status`: of its author's
    account, None where it is shown; `memberships`: of its author, by community; `repo`: state of its author's
    repository, empty where it is not followed.
    """

    ref: PostRef
    row: StoredPost | None
    facts: Post | None
    cid: bytes | None
    author: int | None
    status: str | None
    memberships: Mapping[int, Membership]
    repo: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is to be said of a post in a community.

    `evidences`: for which it is in, or would be; `matches`: what speaks for it now; `refusal`: which exclusion speaks
    against it; `revision`: of the rules that it was held against. `item`: None: it is not in the community. `score`:
    names and values of what ranks it. `hidden_by`: each thing that keeps it out of sight, in words.
    """

    evidences: tuple[str, ...]
    matches: tuple[str, ...]
    refusal: str | None
    revision: str
    judgement: Judgement
    why: str
    item: Item | None
    decided: Decided | None
    score: tuple[tuple[str, str], ...]
    hidden_by: tuple[str, ...]

    @property
    def shown(self) -> bool:
        """Whether the community shows it."""
        return self.item is not None and not self.item.hidden


def read_subject(connection: Connection, ref: PostRef) -> Subject:
    """What the rows know of a post."""
    author = find_actor(connection, ref.did)
    row = find_post(connection, ref)
    query = (
        "SELECT a.shown, a.allowed, a.status, r.state FROM actor a LEFT JOIN repo r ON r.actor = a.id WHERE a.id = ?"
    )
    shown, allowed, status, repo = connection.execute(query, (author,)).fetchone() or (1, 1, None, None)
    if shown:
        status = None
    else:
        status = status or "no reason given" if allowed else "taken down by this service"
    facts = row.facts() if row else None
    of = memberships(connection, author)
    return Subject(ref, row, facts, row.cid if row else None, author, status, of, repo or "")


def fetched(subject: Subject, facts: Post, cid: bytes | None) -> Subject:
    """A post that is not indexed, as its author's host gave it."""
    return replace(subject, facts=facts, cid=cid)


def matcher_of(connection: Connection, number: int, community: Community, author: str) -> Matcher:
    """The rules of one community, with the lists that an author is on."""
    query = "SELECT 1 FROM list_item WHERE list = ? AND subject = ? LIMIT 1"
    on = [uri for uri in community.include.lists if connection.execute(query, (uri, author)).fetchone()]
    return compile_rules([(number, community)], {uri: [author] for uri in on})


def explain(
    connection: Connection,
    places: Places,
    settings: Settings,
    ranking: Ranking,
    matcher: Matcher,
    subject: Subject,
    now: int,
    note: str | None = None,
) -> Explanation:
    """Explain how a post stands to a community. `matcher`: of its rules, perhaps among others; `now`: microseconds;
    `note`: why the post is not indexed, as far as the caller knows.
    """
    row, facts = subject.row, subject.facts
    item = find_item(connection, settings.id, row.id) if row else None
    decided = find_decided(connection, settings.id, subject.author, subject.ref.rkey)
    owners = owners_above(places, settings)
    standing = standing_by(settings, subject.ref.did, subject.memberships, owners, now)
    submitted = subject.author is not None and submission(connection, settings, subject.author, subject.ref) is True
    matches, refused = _matches(matcher, settings, subject)
    if submitted:
        matches = (*matches, SUBMITTED)
    if settings.joined and standing.joined:
        matches = (*matches, JOINED)
    out = opted_out(connection, settings, subject.ref, facts)
    if facts is None and out is None:
        judged = Judgement(*_unknown(decided, submitted, subject.repo, note))
    else:
        judged = judge(
            settings,
            standing,
            subject.cid or b"",
            selected=bool(matches),
            decided=decided,
            held=Held(row.cid, bool(item.hidden & PENDING)) if row and item else None,
            opted_out=out,
            refusal=refused,
        )
    return Explanation(
        evidences=item.evidences if item else matches,
        matches=matches,
        refusal=refused,
        revision=meta.get(connection, community_rows.REVISION) or "0",
        judgement=judged,
        why=_why(judged, subject, item, note),
        item=item,
        decided=decided,
        score=_score(ranking, row, now) if row and item else (),
        hidden_by=_hidden_by(judged, subject, item, refused, note),
    )


def _matches(matcher: Matcher, settings: Settings, subject: Subject) -> tuple[tuple[str, ...], str | None]:
    """What selects the post by the rules now, and which exclusion keeps it out."""
    if subject.facts is None:
        return (), None
    found, _ = matcher.explain(subject.ref.did, subject.facts).get(settings.id, ((), None))
    return found, refusal(matcher.rules[settings.id], subject.ref.did, subject.facts)


def _unknown(decided: Decided | None, submitted: bool, repo: str, note: str | None) -> tuple[Outcome, str]:
    """How a post stands of which nobody knows what it says."""
    if decided is not None and decided.verdict is Verdict.REMOVED:
        return Outcome.REMOVED, "a moderator removed it"
    if decided is not None and repo not in TO_BE_READ:
        return Outcome.REFUSED, "a moderator approved it, but its author's repository has no such post to take in"
    if decided is not None:
        return Outcome.REFUSED, "a moderator approved it, and it comes when its author's repository has been read"
    if submitted:
        return Outcome.REFUSED, "its author submitted it, and the post itself has not come"
    return Outcome.REFUSED, note or "it is not in the index, which holds only what some community admits"


def _why(judged: Judgement, subject: Subject, item: Item | None, note: str | None) -> str:
    """The outcome's reason in a sentence."""
    if judged.outcome is not Outcome.ADMITTED:
        return judged.why
    if item is None:
        return note or "the rules admit it, but it was not admitted: they were others when its event came"
    if item.hidden & TAKEN_DOWN:
        return SITE_TOOK_DOWN
    if item.hidden & ~HIDDEN_AUTHOR:
        return "it is admitted, and will be shown when it has been looked at again"
    if subject.status is not None:
        return f"its author's account is not active ({subject.status})"
    return judged.why or "it is in the community"


def _hidden_by(
    judged: Judgement, subject: Subject, item: Item | None, refused: str | None, note: str | None
) -> tuple[str, ...]:
    said: dict[str, None] = {}
    if subject.status is not None:
        said[f"its author's account is not shown ({subject.status})"] = None
    bits = item.hidden if item else 0
    words = {
        PENDING: "it waits for approval",
        REMOVED: "a moderator removed it",
        BANNED: "its author is banned",
        TAKEN_DOWN: SITE_TOOK_DOWN,
    }
    said |= {text: None for bit, text in words.items() if bits & bit}
    if item is None:
        if judged.outcome is not Outcome.ADMITTED:
            said[judged.why] = None
        if refused is not None:
            said[refused] = None
        if note is not None:
            said[note] = None
    return tuple(said)


def too_old(ref: PostRef, now: int, keep: int) -> str | None:
    """Why a post that is not indexed may be gone, by what its key says of its age. `now`, `keep`: microseconds."""
    if not is_tid(ref.rkey) or now - tid_micros(ref.rkey) <= keep:
        return None
    days = (now - tid_micros(ref.rkey)) // _DAY
    return f"by its key it is {days} days old, and posts leave the index after {keep // _DAY}"


def _score(ranking: Ranking, post: StoredPost, now: int) -> tuple[tuple[str, str], ...]:
    """What ranks a post, term by term."""
    one = Candidate(
        post.id, post.actor, post.sort_at, post.active_at, post.likes, post.reposts, post.replies, post.quotes
    )
    counted = [
        (name, f"{getattr(one, name)}", f"{getattr(ranking, name)}")
        for name in ("likes", "reposts", "replies", "quotes")
    ]
    return (
        *((name, value) for name, value, _ in counted),
        *((f"{name}Weight", weight) for name, _, weight in counted),
        ("engagement", f"{key('active', ranking)(one)[0]}"),
        ("ageHours", f"{(now - post.sort_at) / _HOUR:.3f}"),
        ("halfLifeHours", f"{ranking.half_life_hours}"),
        ("hot", f"{key('hot', ranking)(one)[0]:.6f}"),
    )
