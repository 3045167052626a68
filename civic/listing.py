"""Which communities there are, and one of them whole: listCommunities and getCommunity.

A page ends at the whole key of its last community, so each that stands still while somebody pages is shown once,
whatever comes, goes or moves meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from civic.people import NAME, PAGE
from civic.views import viewer_state
from civic.visit import Answer, Query, Visit
from communities.access import Standing, discoverable
from communities.decision_view import moment
from communities.directory import Settings
from communities.members import find_actor, memberships
from communities.membership import Membership
from communities.ranking import QUEUE, record_key
from communities.relatives import MOST_BELOW
from communities.text import fold, words
from xrpc import cursor
from xrpc.errors import InvalidRequest
from xrpc.params import Params, StringParam

RELEVANCE = "relevance"
GENERATOR = "app.bsky.feed.generator"
MOST_CHILDREN = 100
"""That getCommunity names; listCommunities gives them all (ours)."""
MOST_LOOKED_AT = 10_000
"""Communities that one page looks at: a search for what is rare goes on with the next page (ours)."""
_BATCH = 500
_KEYS = {
    "recent": ("last_post_at", "community", "community_count"),
    "active": ("posts", "community", "community_count"),
    "biggest": ("members", "community", "community_count"),
    "newest": ("created_at", "id", "community"),
}
"""What each sort goes by, the greatest first: a column with an index, the number of the community, their table."""
_ROW = (
    "SELECT c.slug, c.name, c.description, c.uri, c.created_at, coalesce(k.members, 0), coalesce(k.posts, 0),"
    " coalesce(k.last_post_at, 0) FROM community c LEFT JOIN community_count k ON k.community = c.id WHERE c.id = ?"
)
Key = tuple[int, int]
FIRST: Key = ((1 << 63) - 1, (1 << 63) - 1)
"""Before every community."""


def get_community(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """One community."""
    settings = visit.find(params["community"])
    who, told = visit.standing(settings), visit.declaration(settings)
    above = [parent for number in settings.above[:1] if (parent := visit.town.places.get(number))]
    below = visit.town.children(settings, MOST_BELOW)
    seen = _seen(visit, [*above, *below])
    view = _basic(visit, settings) | {
        "rules": [{"name": rule.name, **({"text": rule.text} if rule.text else {})} for rule in told.rules],
        "posting": settings.posting.value,
        "joinBy": list(settings.join_by),
        "children": [_ref(visit, child) for child in below if child.id in seen][:MOST_CHILDREN],
        "feeds": _feeds(visit, settings, told.feeds, who),
    }
    optional = {"about": told.about, "owner": settings.owner, "account": settings.account}
    view |= {name: value for name, value in optional.items() if value}
    if above and above[0].id in seen:
        view["parent"] = _ref(visit, above[0])
    if visit.caller is not None:
        view["viewer"] = viewer_state(visit, settings, who)
    return view


def _feeds(visit: Visit, settings: Settings, sorts: Iterable[str], who: Standing) -> list[dict[str, str]]:
    """Where each feed of a community stands: in its owner's repository if a record declares it, else in ours."""
    repository = settings.owner if settings.uri and settings.owner else visit.publisher
    shown = [*sorts, *((QUEUE,) if settings.queue_feed and (who.moderates or who.oversees) else ())]
    prefix = f"at://{repository}/{GENERATOR}/"
    return [{"sort": sort, "uri": prefix + record_key(settings.slug, sort)} for sort in shown]


def list_communities(visit: Visit, params: Mapping[str, Any]) -> Answer:
    """A page of those that the caller may know of."""
    sort, text, limit = params["sort"], params.get("q"), params["limit"]
    if sort == RELEVANCE and text is None:
        raise InvalidRequest("sort=relevance needs q")
    parent = visit.find(params["parent"]) if "parent" in params else None
    scope = f"listCommunities {sort} {parent and parent.id} {text}"
    after = FIRST
    if "cursor" in params:
        value, number = cursor.decode(visit.key, scope, params["cursor"], 2)
        after = value, number
    within = None if parent is None else {child.id for child in visit.town.children(parent, MOST_LOOKED_AT)}
    keys = _similar(visit, text or "", after) if sort == RELEVANCE else _in_order(visit, sort, within, after)
    wanted = [] if sort == RELEVANCE or text is None else words(text) or [fold(text)]
    of = _memberships(visit)

    def belongs(number: int) -> bool:
        if (within is not None and number not in within) or not _has(visit, number, wanted):
            return False
        settings = visit.town.places.get(number)
        return settings is not None and _discovers(visit, settings, of)

    found: list[Key] = []
    further = False
    for looked_at, key in enumerate(keys, 1):
        if belongs(key[1]):
            further = len(found) == limit
            if further:
                break
            found.append(key)
            after = key
        if looked_at == MOST_LOOKED_AT:
            further, after = True, key
            break
    views = [_listed(visit, one, of) for _, number in found if (one := visit.town.places.get(number))]
    return {"communities": views, **({"cursor": cursor.encode(visit.key, scope, *after)} if further else {})}


def _in_order(visit: Visit, sort: str, within: set[int] | None, after: Key) -> Iterator[Key]:
    """The communities behind `after` in an order of _KEYS: all, or only those `within`."""
    value, number, table = _KEYS[sort]
    if within is not None:
        query = f"SELECT {value}, {number} FROM {table} WHERE {number} = ?"
        rows = (visit.connection.execute(query, (child,)).fetchone() for child in within)
        yield from sorted((key for row in rows if row and (key := (row[0], row[1])) < after), reverse=True)
        return
    query = (
        f"SELECT {value}, {number} FROM {table} WHERE ({value}, {number}) < (?, ?)"
        f" ORDER BY {value} DESC, {number} DESC LIMIT {_BATCH}"
    )
    while True:
        batch = visit.connection.execute(query, after).fetchall()
        yield from batch
        if len(batch) < _BATCH:
            return
        after = batch[-1]


def _similar(visit: Visit, text: str, after: Key) -> Iterator[Key]:
    return (key for key in visit.town.index.search(text) if key < after)


def _has(visit: Visit, community: int, wanted: list[str]) -> bool:
    """Whether every word stands in the slug, the name or the description."""
    if not wanted:
        return True
    slug, name, description = visit.connection.execute(_ROW, (community,)).fetchone()[:3]
    text = f"{slug}\n{fold(name)}\n{fold(description)}"
    return all(word in text for word in wanted)


def _memberships(visit: Visit) -> dict[int, Membership]:
    """All memberships of the caller."""
    return memberships(visit.connection, find_actor(visit.connection, visit.caller)) if visit.caller else {}


def _discovers(visit: Visit, settings: Settings, of: Mapping[int, Membership]) -> bool:
    return discoverable(settings.kind, _who(visit, settings, of))


def _who(visit: Visit, settings: Settings, of: Mapping[int, Membership]) -> Standing:
    return visit.standing_by(settings, visit.caller, of) if visit.caller else Standing()


def _seen(visit: Visit, communities: Iterable[Settings]) -> set[int]:
    """Those of some communities that the caller may know of."""
    of = _memberships(visit)
    return {settings.id for settings in communities if _discovers(visit, settings, of)}


def _listed(visit: Visit, settings: Settings, of: Mapping[int, Membership]) -> dict[str, Any]:
    view = _basic(visit, settings)
    if visit.caller is not None:
        view["viewer"] = viewer_state(visit, settings, _who(visit, settings, of))
    return view


def _basic(visit: Visit, settings: Settings) -> dict[str, Any]:
    """#communityViewBasic, but for the viewer."""
    row = visit.connection.execute(_ROW, (settings.id,)).fetchone()
    slug, name, description, uri, created_at, members, posts, last_post_at = row
    view = {
        "slug": slug,
        "name": name,
        "description": description,
        "type": settings.kind.value,
        "state": settings.state.value,
        "memberCount": members,
        "postCount": posts,
        "createdAt": moment(created_at),
    }
    return view | ({"uri": uri} if uri else {}) | ({"lastPostAt": moment(last_post_at)} if last_post_at else {})


def _ref(visit: Visit, settings: Settings) -> dict[str, str]:
    """#communityRef."""
    ref = {"slug": settings.slug, "name": visit.town.name(settings.id)}
    return ref | ({"uri": settings.uri} if settings.uri else {})


QUERIES = (
    Query("getCommunity", Params({"community": NAME}), get_community),
    Query(
        "listCommunities",
        Params(
            {
                "q": StringParam(max_length=1000),
                "sort": StringParam(default="recent"),
                "parent": StringParam(max_length=2200),
                **PAGE,
            }
        ),
        list_communities,
    ),
)
