"""Reports: what readers tell moderators about accounts and records, and whom it reaches.

A report of a post reaches every community that has the post and that the reporter may read. There the post stays as it
is, and waits in the queue until the moderators decide; what they have approved, in this version, does not wait again.
Of more than MOST_ROUTES communities those are reached that the reporter has joined, then the biggest; and the site.
One of an account reaches the communities of which the account is a member and which the reporter may read, and always
the moderators of the site, whose matter accounts are. What is in no community reaches the moderators of the site. A
labeler's reports reach no community that it does not serve. Every report is kept.

Source: com.atproto.moderation.createReport.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from communities import appeals, evidence, report_cases
from communities.access import Site, Status, readable
from communities.admission import PENDING, Verdict
from communities.casebook import scope_of
from communities.deeds import Deed
from communities.directory import Places, Settings, owners_above
from communities.members import find_actor, memberships, standing_by
from communities.reasons import APPEALS
from communities.refs import read_post_uri
from communities.report_limits import HOUR, LARGE_HOSTS
from communities.stored import StoredPost, find_decided, find_post
from models import reports
from models.appeals import Against, is_open
from models.database import Connection
from models.mod_events import find_subject, key_of
from models.reports import SITE, Kept, Said, Witness
from models.subject_statuses import is_appealed

MERGED_MICROS = 7 * 24 * HOUR
SEEN = frozenset((0, PENDING))
"""How a post stands in a community in which it may be reported."""
MOST_ROUTES = 100
"""Communities that a report reaches: an account may be a member of any number, a post may be in any number."""
BURST, BURST_MICROS, MOST_WITNESSES = 10, HOUR, 100
"""So many reporters of one post within that time may have agreed to; the newest are looked at."""
ALIKE = 0.8
"""Of the reporters of a burst that share makes it look like one."""


@dataclass(frozen=True, slots=True)
class Intake:
    """How reports are taken. `merged`: microseconds within which what the same reporter says again of the same version
    is the same report; `large_hosts`: domains of large hosts.
    """

    merged: int = MERGED_MICROS
    large_hosts: frozenset[str] = LARGE_HOSTS


@dataclass(frozen=True, slots=True)
class Around:
    """What reports are judged by. `places`: the communities; `site`: who is what for the whole site; `serves`: the
    slugs of the communities that the labeler serves to which a report was sent, empty: every one.
    """

    places: Places
    site: Mapping[str, Site] = field(default_factory=dict)
    serves: frozenset[str] = frozenset()

    def get(self, community: int) -> Settings | None:
        """The community with this number, if reports reach it."""
        settings = self.places.get(community)
        return settings if settings and (not self.serves or settings.slug in self.serves) else None


class Reached(NamedTuple):
    """A community that a report reaches. `post`: what waits in its queue because of it, if something does."""

    community: int
    post: int | None = None


def find_same(connection: Connection, said: Said, now: int, intake: Intake) -> Kept | None:
    """The report that this one only repeats. An appeal is repeated until it is decided, or what it is about was decided
    anew. `now`: microseconds.

    What is said of another version of a record repeats nothing: of that there is no evidence yet.
    """
    if said.reason_type in APPEALS:
        since = 0 if _is_waiting(connection, said) else now + 1
        return reports.find_same(connection, said, since, any_version=True)
    return reports.find_same(connection, said, now - intake.merged)


def _is_waiting(connection: Connection, said: Said) -> bool:
    """Whether an appeal about the same waits for somebody."""
    subject = find_subject(connection, key_of(said.did, said.uri, said.convo))
    waits = is_open(connection, said.did, said.uri, said.labeler)
    return waits and subject is not None and is_appealed(connection, subject)


def report(
    connection: Connection, around: Around, said: Said, now: int, intake: Intake, deed: Deed | None = None
) -> Kept:
    """Keep a report and let it reach the moderators whom it concerns. Call inside a write.

    `now`: microseconds; `deed`: what a moderator's program calls it. What `said` holds must be checked. What somebody
    reports who is muted in a community waits in no queue there.
    """
    kept = find_same(connection, said, now, intake)
    if said.reason_type in APPEALS:
        return _appeal(connection, around, kept, said, now, deed)
    reached = [
        one._replace(post=None)
        if one.post is not None and report_cases.is_muted(connection, one.community, said.reporter, now)
        else one
        for one in _reached(connection, around, said, now)
    ]
    for community, post in reached:
        if post is not None:
            # Before this report is one of those that there are.
            reports.flag(connection, community, post, said.reason_type, now, said)
    kept = _keep(connection, kept, said, [one.community for one in reached], now, deed)
    for community, post in reached:
        if post is not None and _looks_agreed(connection, community, said, now, intake.large_hosts):
            reports.mark(connection, community, post)
    return kept


def _keep(
    connection: Connection, kept: Kept | None, said: Said, communities: Iterable[int], now: int, deed: Deed | None
) -> Kept:
    """A report as a new one, or (`kept`) once more."""
    scopes = [scope_of(connection, community, said.labeler) for community in dict.fromkeys(communities)]
    if kept is not None:
        report_cases.again(connection, kept, said, scopes, now)
        return kept
    kept = report_cases.begin(connection, said, scopes, now, deed)
    evidence.keep(connection, kept.id, said, now)
    return kept


def _appeal(connection: Connection, around: Around, kept: Kept | None, said: Said, now: int, deed: Deed | None) -> Kept:
    """To those who have decided; if nobody has, to whom a report would go."""
    against = [
        one
        for one in appeals.decided(connection, said, now)
        if one.community == SITE or around.get(one.community) is not None
    ]
    if not against:
        against = [Against(one.community) for one in _reached(connection, around, said, now)]
    kept = _keep(connection, kept, said, (one.community for one in against), now, deed)
    appeals.keep(connection, kept.id, said, against, now)
    return kept


def _reached(connection: Connection, around: Around, said: Said, now: int) -> list[Reached]:
    """Whom a report reaches: at least the moderators of the site."""
    if said.convo:
        return [Reached(SITE)]
    if not said.uri:
        found = list(_with_member(connection, around, said, now))
        return [Reached(SITE), *found]
    ref = read_post_uri(said.uri)
    post = find_post(connection, ref) if ref else None
    if ref is None or post is None:
        return [Reached(SITE)]
    found = list(_with_post(connection, around, said, post, ref.rkey, now))
    return found if 0 < len(found) < MOST_ROUTES else [Reached(SITE), *found]


def _with_post(
    connection: Connection, around: Around, said: Said, post: StoredPost, rkey: str, now: int
) -> Iterable[Reached]:
    """The communities that have a post."""
    items = connection.execute("SELECT community, hidden FROM feed_item WHERE post = ?", (post.id,)).fetchall()
    for settings in _readable(connection, around, said, now, [number for number, hidden in items if hidden in SEEN]):
        decided = find_decided(connection, settings.id, post.actor, rkey)
        shielded = decided is not None and decided.verdict is Verdict.APPROVED and decided.cid == post.cid
        yield Reached(settings.id, None if shielded else post.id)


def _with_member(connection: Connection, around: Around, said: Said, now: int) -> Iterable[Reached]:
    """The communities that an account has joined."""
    joined = memberships(connection, find_actor(connection, said.did))
    members = [number for number, one in joined.items() if one.status is Status.MEMBER]
    for settings in _readable(connection, around, said, now, members):
        yield Reached(settings.id)


def _readable(
    connection: Connection, around: Around, said: Said, now: int, communities: list[int]
) -> Iterable[Settings]:
    """Those that the reporter may read, and that reports reach."""
    of = memberships(connection, find_actor(connection, said.reporter))
    above, left = around.site.get(said.reporter, Site.NOBODY), MOST_ROUTES
    for community in _first(connection, communities, of):
        settings = around.get(community)
        if settings is None:
            continue
        owners = owners_above(around.places, settings)
        if readable(settings.kind, standing_by(settings, said.reporter, of, owners, now, above)):
            yield settings
            left -= 1
            if not left:
                return


def _first(connection: Connection, communities: list[int], joined: Collection[int]) -> list[int]:
    """Communities in the order in which a report reaches them. If they are more than it can: first those that the
    reporter has joined, then the biggest. The author of a post can found many, and does not know who will report it.
    """
    if len(communities) <= MOST_ROUTES:
        return communities
    members = reports.members(connection, communities)
    return sorted(communities, key=lambda number: (number not in joined, -members.get(number, 0), number))


def _looks_agreed(connection: Connection, community: int, said: Said, now: int, large: frozenset[str]) -> bool:
    """Whether those who have just reported a post may have agreed to. Counts alone are no reason to think so."""
    since = now - BURST_MICROS
    if reports.nth_newest_about(connection, said.did, said.uri, BURST, since) is None:
        return False
    found = reports.witnesses(connection, community, said.did, said.uri, since, MOST_WITNESSES)
    return len(found) >= BURST and _alike(found, large)


def _alike(found: list[Witness], large: frozenset[str]) -> bool:
    """Whether most of them are strangers to the community, unknown here, or from one host that is not a large one."""
    most = ALIKE * len(found)
    strangers = sum(one.status != Status.MEMBER for one in found)
    unknown = sum(not one.known for one in found)
    hosts = [one.host for one in found if one.host and one.host not in large]
    together = max((hosts.count(host) for host in set(hosts)), default=0)
    return max(strangers, unknown, together) >= most
