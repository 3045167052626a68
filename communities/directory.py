"""All communities of the service as access is decided by them: who owns each, what it allows, what stands above it.

Parents count only where they may: `settle` names what is wrong with the others. Pure.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from communities.access import CHILDREN, Posting, State, Type
from communities.community import Community

MOST_ABOVE = 100
"""Communities that may stand above one (ours): every question of access walks them all."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What access to one community depends on. `above`: the ids of those that it is part of, the nearest first."""

    id: int
    slug: str
    uri: str | None = None
    owner: str | None = None
    kind: Type = Type.OPEN
    posting: Posting = Posting.ANYONE
    state: State = State.ACTIVE
    join_by: tuple[str, ...] = ()
    account: str | None = None
    above: tuple[int, ...] = ()
    joined: bool = False
    queue_feed: bool = False


class Places(Protocol):
    """Whatever finds communities, as access is decided by them."""

    def get(self, community: int) -> Settings | None:
        """The community with this number."""

    def find(self, name: str) -> Settings | None:
        """The community with this slug, or whose record has this at-uri."""

    def of_account(self, did: str) -> list[Settings]:
        """The communities of which this is the account."""

    def forget(self) -> None:
        """What is kept of the rows may not be so any more."""


@dataclass(frozen=True, slots=True)
class Directory:
    """The communities by id, and the ways to find one. `faults`: why a parent that one names does not count."""

    by_id: dict[int, Settings] = field(default_factory=dict)
    by_slug: dict[str, Settings] = field(default_factory=dict)
    by_uri: dict[str, Settings] = field(default_factory=dict)
    by_account: dict[str, tuple[int, ...]] = field(default_factory=dict)
    below: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Of each community those directly below it."""
    faults: dict[int, str] = field(default_factory=dict)

    def get(self, community: int) -> Settings | None:
        """The community with this number."""
        return self.by_id.get(community)

    def of_account(self, did: str) -> list[Settings]:
        """The communities of which this is the account."""
        return [self.by_id[number] for number in self.by_account.get(did, ())]

    def forget(self) -> None:
        """Nothing: it does not change."""

    def find(self, name: str) -> Settings | None:
        """The community with this slug, or whose record has this at-uri."""
        return self.by_uri.get(name) if name.startswith("at://") else self.by_slug.get(name)

    def descendants(self, community: int) -> list[int]:
        """All that stand below one, at any depth, each once."""
        found: list[int] = []
        waiting = list(self.below.get(community, ()))
        while waiting:
            found.append(waiting.pop())
            waiting += self.below.get(found[-1], ())
        return found


def owners_above(places: Places, settings: Settings) -> dict[int, str | None]:
    """Who owns the communities that one is part of."""
    return {one.id: one.owner for number in settings.above if (one := places.get(number))}


Declared = tuple[str | None, Community]
"""The at-uri of a community's record (None: it stands in the file), and what is declared."""
Administers = Callable[[str, int], bool]
"""Whether an account (DID) has the role of admin in a community."""


def settle(communities: Iterable[tuple[int, str | None, Community]], administers: Administers) -> Directory:
    """The directory of these communities: (id, at-uri of its record if it has one, declaration).

    `faults`: UnknownParent, ParentCycle, MoreVisible, TooDeep or NotParentAdmin.
    """
    declared = {number: (uri, community) for number, uri, community in communities}
    by_name = {community.slug: number for number, (_, community) in declared.items()}
    by_name |= {uri: number for number, (uri, _) in declared.items() if uri}
    parents: dict[int, int] = {}
    faults: dict[int, str] = {}
    for number, (_, community) in declared.items():
        if community.parent is not None:
            parent = by_name.get(community.parent)
            if parent is None:
                faults[number] = "UnknownParent"
            else:
                parents[number] = parent
    for number in _circular(parents):
        faults[number] = "ParentCycle"
        del parents[number]
    above: dict[int, tuple[int, ...]] = {}
    for number in _top_down(declared, parents):
        parent = parents.get(number)
        chain = (parent, *above[parent]) if parent is not None else ()
        if parent is not None:
            fault = _refused(declared[number], declared[parent], chain, declared, administers)
            if fault:
                faults[number] = fault
                chain = ()
        above[number] = chain
    by_id = {
        number: Settings(
            id=number,
            slug=community.slug,
            uri=uri,
            owner=community.owner,
            kind=Type(community.kind),
            posting=Posting(community.posting),
            state=State(community.state),
            join_by=community.join_by,
            account=community.account,
            above=above[number],
            joined=community.include.joined,
            queue_feed=community.queue_feed,
        )
        for number, (uri, community) in declared.items()
    }
    below: dict[int, list[int]] = {}
    accounts: dict[str, list[int]] = {}
    for settings in by_id.values():
        if settings.above:
            below.setdefault(settings.above[0], []).append(settings.id)
        if settings.account:
            accounts.setdefault(settings.account, []).append(settings.id)
    return Directory(
        by_id=by_id,
        by_slug={settings.slug: settings for settings in by_id.values()},
        by_uri={settings.uri: settings for settings in by_id.values() if settings.uri},
        by_account={did: tuple(numbers) for did, numbers in accounts.items()},
        below={number: tuple(numbers) for number, numbers in below.items()},
        faults=faults,
    )


def _circular(parents: dict[int, int]) -> set[int]:
    """Those that stand above themselves."""
    found: set[int] = set()
    done: set[int] = set()
    for start in parents:
        path: dict[int, None] = {}
        at: int | None = start
        while at is not None and at not in done and at not in path:
            path[at] = None
            at = parents.get(at)
        if at is not None and at in path:
            steps = list(path)
            found.update(steps[steps.index(at) :])
        done.update(path)
    return found


def _top_down(declared: Iterable[int], parents: dict[int, int]) -> list[int]:
    """All of them, each behind its parent."""
    order: dict[int, None] = {}
    for start in declared:
        path = [start]
        while path[-1] not in order and path[-1] in parents:
            path.append(parents[path[-1]])
        order.update(dict.fromkeys(reversed(path)))
    return list(order)


def _refused(
    child: Declared, parent: Declared, chain: tuple[int, ...], declared: dict[int, Declared], administers: Administers
) -> str | None:
    """Why a community is not part of the one that it names, or None."""
    uri, community = child
    if Type(community.kind) not in CHILDREN[Type(parent[1].kind)]:
        return "MoreVisible"
    if len(chain) > MOST_ABOVE:
        return "TooDeep"
    if uri is None and parent[0] is None:
        return None  # both stand in the operator's file, who arranges them as is wanted
    owner = community.owner
    if owner is None or not any(declared[number][1].owner == owner or administers(owner, number) for number in chain):
        return "NotParentAdmin"
    return None
