"""Which communities a post is in, and in what state there: by its own words, and by the rows of submissions,
memberships and decisions. Runs inside the caller's transaction.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from communities.access import Site
from communities.admission import BY_HAND, PENDING, TAKEN_DOWN, Decided, Held, Outcome, Verdict, judge
from communities.directory import Directory, Places, Settings, owners_above
from communities.matching import OPT_OUT_TAGS, SUBMITTED, Match, Matcher
from communities.members import read_membership, standing_by
from communities.membership import Membership
from communities.post import Post
from communities.records import BLOCK, SUBMISSION
from communities.rule import refusal
from models.reports import SITE

_OF_AUTHOR = (
    "SELECT 0, community, status, role, scope, until, limits FROM membership WHERE actor = ?1"
    " UNION ALL SELECT 1, community, verdict, cid, decision, NULL, NULL FROM decided WHERE actor = ?1 AND rkey = ?2"
    f" UNION ALL SELECT 2, about, gone, NULL, NULL, NULL, NULL FROM declaration WHERE subject = ?3"
    f" AND collection = '{SUBMISSION}' AND actor = ?1"
)
_BLOCKED = (
    f"SELECT 1 FROM declaration WHERE collection = '{BLOCK}' AND (subject = ?1 AND actor = ?2"
    " OR subject = ?3 AND actor = (SELECT id FROM actor WHERE did = ?1)) LIMIT 1"
)


class Item(NamedTuple):
    """A feed item: the evidences, a line each, and what keeps it out of sight (`feed_item.hidden` without its author's
    own bit).
    """

    evidence: str
    hidden: int


class Written(NamedTuple):
    """A post as it stands in its repository. `cid` as in DAG-CBOR."""

    did: str
    rkey: str
    cid: bytes
    post: Post


class Admissions:
    """Decides about posts by the rules and rows in force."""

    def __init__(self, sql: Callable[..., Any]) -> None:
        """`sql` executes one statement."""
        self.directory: Places = Directory()
        self.matcher = Matcher()
        self.site: Mapping[str, Site] = {}
        """Who stands above all communities."""
        self._sql = sql

    def use(self, matcher: Matcher, directory: Places) -> None:
        """Go by these rules from now on."""
        self.matcher, self.directory = matcher, directory

    def items(
        self, actor: int, written: Written, matches: list[Match], held: Mapping[int, int], before: bytes, now: int
    ) -> dict[int, Item]:
        """The feed items that a post is to have, by community. `actor`: its author's number, 0 without any row.

        `matches`: what its words say; `held`: `hidden` of the items that it has, in the version `before`. `now`:
        microseconds.
        """
        selected = {match.community: list(match.evidences) for match in matches}
        of: dict[int, Membership] = {}
        decided: dict[int, Decided] = {}
        withdrawn: set[int] = set()
        submitted: set[int] = set()
        uri = f"at://{written.did}/app.bsky.feed.post/{written.rkey}"
        rows = self._sql(_OF_AUTHOR, (actor, written.rkey, uri)).fetchall() if actor else ()
        for kind, about, *rest in rows:
            if kind == 0:
                of[about] = read_membership(tuple(rest))
            elif kind == 1:
                decided[about] = Decided(Verdict(rest[0]), rest[1], rest[2])
            elif settings := self.directory.find(about):
                if rest[0]:
                    withdrawn.add(settings.id)
                else:
                    submitted.add(settings.id)
        for community in submitted:
            selected.setdefault(community, []).append(SUBMITTED)
        for community, decision in decided.items():
            if decision.verdict is Verdict.APPROVED:
                selected.setdefault(community, [])
        found: dict[int, Item] = {}
        withdrawn -= submitted
        by_site = TAKEN_DOWN if decided.pop(SITE, None) is not None else 0
        for community in selected.keys() | (held.keys() & decided.keys()):
            settings = self.directory.get(community)
            if settings is None:
                continue
            evidences = selected.get(community, [])
            item = self._item(
                settings,
                actor,
                written,
                evidences,
                of,
                decided.get(community),
                Held(before, bool(held[community] & PENDING)) if community in held else None,
                now,
                withdrawn=community in withdrawn,
            )
            if item is not None:
                found[community] = item._replace(hidden=item.hidden | by_site)
        return found

    def _item(
        self,
        settings: Settings,
        actor: int,
        written: Written,
        evidences: list[str],
        of: Mapping[int, Membership],
        decided: Decided | None,
        held: Held | None,
        now: int,
        *,
        withdrawn: bool,
    ) -> Item | None:
        rule = self.matcher.rules.get(settings.id)
        judged = judge(
            settings,
            standing_by(settings, written.did, of, self.owners(settings), now, self.site.get(written.did, Site.NOBODY)),
            written.cid,
            selected=bool(evidences),
            decided=decided,
            held=held,
            opted_out=self._opted_out(settings, actor, written, withdrawn=withdrawn),
            refusal=refusal(rule, written.did, written.post) if rule else None,
        )
        if judged.hidden is None:
            return None
        by_hand = decided is not None and decided.verdict is Verdict.APPROVED
        if by_hand and judged.outcome in (Outcome.ADMITTED, Outcome.PENDING):
            evidences = [*evidences, BY_HAND]
        return Item("\n".join(evidences), judged.hidden)

    def owners(self, settings: Settings) -> dict[int, str | None]:
        """Who owns the communities above one."""
        return owners_above(self.directory, settings)

    def _opted_out(self, settings: Settings, actor: int, written: Written, *, withdrawn: bool) -> str | None:
        """Why an author keeps a post out of a community, or is kept out by its account."""
        if tags := OPT_OUT_TAGS & written.post.tags:
            return f"its author opted out with #{min(tags)}"
        if withdrawn:
            return "its author withdrew it"
        account = settings.account
        if account is not None and self._sql(_BLOCKED, (account, actor, written.did)).get:
            return "its author and the community's account do not want to have to do with each other (a block)"
        return None
