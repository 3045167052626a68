"""The rules in force, kept equal to the rows community by community: what a change costs is what that community names.

All of it changes between two events, in place. What was held against it before knows by which revision, and is held
against it anew when it is applied (`Rows.matches`).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from communities.community import Community
from communities.matching import Author, Matcher
from communities.places import KeptPlaces
from communities.relatives import Relatives
from communities.rule import Rule, rule_of
from firehose.times import now_micros
from models import communities as community_rows
from models.communities import Change
from models.database import Connection

_MODERATORS = (
    "SELECT DISTINCT a.did FROM membership m JOIN actor a ON a.id = m.actor WHERE m.status = 'member' AND m.role > 1"
)
_MODERATES = (
    "SELECT 1 FROM membership m JOIN actor a ON a.id = m.actor WHERE a.did = ? AND m.status = 'member' AND m.role > 1"
)
_MEMBERS = "SELECT a.did FROM membership m JOIN actor a ON a.id = m.actor WHERE m.community = ? AND m.status = 'member'"
_IS_MEMBER = (
    "SELECT 1 FROM membership m JOIN actor a ON a.id = m.actor WHERE m.community = ? AND a.did = ?"
    " AND m.status = 'member'"
)
_LISTED = "SELECT subject FROM list_item WHERE list = ?"


class _Held(NamedTuple):
    """What is in force of a community. `agreed`: whether its account wants to be that; `rules`: of all that decides
    which posts it has, the hash.
    """

    uri: str | None
    owner: str | None
    account: str | None
    agreed: bool
    rules: int


class Changes(NamedTuple):
    """What follows from rules that are others now: communities that stored posts are to be held against, at-uris of
    records of communities that are new, and accounts that may be followed from now on, or no longer.
    """

    judged: set[int]
    uris: set[str]
    dids: set[str]

    def add(self, other: "Changes") -> None:
        """Let these be among them."""
        for mine, theirs in zip(self, other, strict=True):
            mine |= theirs  # type: ignore[operator]


def nothing() -> Changes:
    """No changes."""
    return Changes(set(), set(), set())


class Followed:
    """Accounts that matter as such: owners of communities and of lists, accounts of communities, moderators, and
    members whose every post belongs. They are asked for, never listed: there may be a million.
    """

    def __init__(self, authors: Mapping[str, Sequence[Author]], of_file: Callable[[int], bool]) -> None:
        """`authors`: the communities that every post of an account belongs to; `of_file`: whether the file declares
        one.
        """
        self.authors = authors
        self.first = First(self, of_file)
        self.owners: Counter[str] = Counter()
        self.accounts: Counter[str] = Counter()
        self.list_owners: Counter[str] = Counter()
        self.moderators: set[str] = set()

    def __contains__(self, did: object) -> bool:
        return (
            did in self.authors
            or did in self.owners
            or did in self.moderators
            or did in self.accounts
            or did in self.list_owners
        )

    def decides(self, did: str) -> bool:
        """Whether an account may have a role in which it decides for a community."""
        return did in self.moderators or did in self.owners

    def __iter__(self) -> Iterator[str]:
        """Each, some more than once."""
        for dids in (self.authors, self.owners, self.accounts, self.list_owners, self.moderators):
            yield from dids


class First:
    """Of the accounts that matter, those that nobody can name from afar: all but those whom the records of others name
    as members, or as the account of a community.
    """

    def __init__(self, followed: Followed, of_file: Callable[[int], bool]) -> None:
        self._followed = followed
        self._of_file = of_file
        self.accounts: Counter[str] = Counter()

    def __contains__(self, did: object) -> bool:
        all_of_them = self._followed
        return (
            did in all_of_them.owners
            or did in all_of_them.moderators
            or did in self.accounts
            or did in all_of_them.list_owners
            or any(self._of_file(number) for number, _ in all_of_them.authors.get(str(did), ()))
        )


class InForce:
    """Matcher, places and who is followed. Reads over a connection, whose thread all calls come from."""

    def __init__(self, connection: Connection, clock: Callable[[], int] = now_micros) -> None:
        """Nothing is in force until `load`. `clock` gives microseconds."""
        self.matcher = Matcher()
        self._held: dict[int, _Held] = {}
        self.followed = Followed(self.matcher.authors, self._is_of_file)
        self.places = KeptPlaces(Relatives(connection), clock, self.matcher.rules.__contains__)
        self.revised = 0
        """The number of the last change of a community that was taken over."""
        self._connection = connection

    def load(self, noticed: int = 0) -> Changes:
        """Take over all there is. Returns what follows from changes behind the one of this number."""
        self.take_lists()
        self.followed.moderators |= {did for (did,) in self._connection.execute(_MODERATORS)}
        found, known = nothing(), nothing()
        for change in community_rows.changes(self._connection, 0):
            self._take_over(change, found if change.revised > noticed else known)
        return found

    @property
    def stale(self) -> bool:
        """Whether any community was changed since."""
        return community_rows.last_change(self._connection) != self.revised

    def take_over(self) -> Changes:
        """Take over the communities that were changed."""
        found = nothing()
        for change in community_rows.changes(self._connection, self.revised):
            self._take_over(change, found)
        self.places.forget()
        return found

    def _take_over(self, change: Change, found: Changes) -> None:
        """`found` takes what follows."""
        self.revised = max(self.revised, change.revised)
        before = self._held.pop(change.id, None)
        if before is not None:
            self._count(before, -1)
            found.dids.update(self._named(before))
        rule = self.matcher.rules.get(change.id)
        if not change.declared:
            self._exchange(change.id, rule, None, found)
            return
        community = Community.from_json(json.loads(change.rule))
        owner, account = community.owner, community.account
        held = _Held(change.uri, owner, account, False, _essence(community))
        held = held._replace(agreed=self._agrees(change.id, held))
        self._held[change.id] = held
        self._count(held, 1)
        found.dids.update(self._named(held))
        if change.uri is not None and (before is None or before.uri != change.uri):
            found.uris.add(change.uri)
        if before is None or before.rules != held.rules:
            found.judged.add(change.id)
        self._exchange(change.id, rule, rule_of(community), found)

    def _exchange(self, community: int, before: Rule | None, after: Rule | None, found: Changes) -> None:
        """Hold posts against these rules of a community instead of those (None: of none)."""
        if before == after:
            return  # its name is another one, or what else it says to people
        if before and after and before.selectors == after.selectors:
            self.matcher.exchange(community, after)
            return
        if before is not None:
            found.dids.update(self._authors(community))
            self.matcher.take_out(community, self._members(community))
        if after is not None:
            self.matcher.put(community, after, self._members(community) if after.include.joined else ())
            found.dids.update(self._authors(community))

    def _members(self, community: int) -> Iterable[str]:
        return (did for (did,) in self._connection.execute(_MEMBERS, (community,)))

    def _authors(self, community: int) -> set[str]:
        """Accounts whose every post belongs to a community."""
        rule = self.matcher.rules.get(community)
        if rule is None:
            return set()
        found = set(rule.include.members).union(*(self.matcher.listed.get(uri, ()) for uri in rule.include.lists))
        return found.union(self._members(community)) if rule.include.joined else found

    @staticmethod
    def _named(held: _Held) -> set[str]:
        return {did for did in (held.owner, held.account) if did}

    def _agrees(self, community: int, held: _Held) -> bool:
        """Whether the account that a community names wants to be that. Anybody can name anybody's, and would have all
        follows and blocks of it kept here. The file is believed, an owner's own account, and one that is a member.
        """
        if held.account is None:
            return False
        if held.uri is None or held.account == held.owner:
            return True
        return self._connection.execute(_IS_MEMBER, (community, held.account)).fetchone() is not None

    def _is_of_file(self, community: int) -> bool:
        held = self._held.get(community)
        return held is not None and held.uri is None

    def _count(self, held: _Held, by: int) -> None:
        counted = [(held.owner, self.followed.owners)]
        if held.agreed:
            counted.append((held.account, self.followed.accounts))
        if held.uri is None:
            counted.append((held.account, self.followed.first.accounts))
        for did, counter in counted:
            if did:
                _count(counter, did, by)

    def take_lists(self, owners: Iterable[str] | None = None) -> Changes:
        """Take over the lists as the rows have them (None: all; else those of these accounts)."""
        found = nothing()
        matcher = self.matcher
        known = {uri for (uri,) in self._connection.execute("SELECT uri FROM list")}
        wanted = None if owners is None else set(owners)
        for uri in sorted(known | matcher.listed.keys()):
            owner = uri.removeprefix("at://").partition("/")[0]
            if wanted is not None and owner not in wanted and (uri in known) == (uri in matcher.listed):
                continue
            if (uri in known) != (uri in matcher.listed):
                _count(self.followed.list_owners, owner, 1 if uri in known else -1)
                found.dids.add(owner)
            members = [did for (did,) in self._connection.execute(_LISTED, (uri,))] if uri in known else None
            found.dids.update(matcher.set_list(uri, members))
            found.judged.update(matcher.lists.get(uri, ()))
        found.dids.update(matcher.believed)
        matcher.believed.clear()
        return found

    def note(self, community: int, did: str, status: str | None, role: int | None) -> None:
        """A membership has changed: it is this now."""
        held = self._held.get(community)
        if held is not None and held.account == did and (agreed := self._agrees(community, held)) != held.agreed:
            self._count(held, -1)
            self._held[community] = held._replace(agreed=agreed)
            self._count(self._held[community], 1)
        if status != "member":
            self.matcher.remove_member(community, did)
        moderates = status == "member" and (role or 0) > 1
        if moderates or did in self.followed.moderators:
            self.places.forget()
            if moderates or self._connection.execute(_MODERATES, (did,)).fetchone():
                self.followed.moderators.add(did)
            else:
                self.followed.moderators.discard(did)


def _count(counter: Counter[str], did: str, by: int) -> None:
    counter[did] += by
    if not counter[did]:
        del counter[did]


def _essence(community: Community) -> int:
    """Whatever decides which posts a community has, and in what state."""
    return hash(
        (
            community.include,
            community.require,
            community.exclude,
            community.owner,
            community.account,
            community.kind,
            community.posting,
            community.state,
            community.parent,
            community.commands,
            community.admin_commands,
        )
    )
