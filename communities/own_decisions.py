"""What was decided about an account and its posts and applies now, for the account itself: bans, removed posts,
takedowns by this site, labels by its labelers, and how appeals against them stand.

It tells what applies, by which rule and since when, and never why somebody looked: nothing here is read from reports.
What a moderator has marked with the tag WITHHELD is told without rule, reason and role.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from communities import logbook
from communities.casebook import standing
from communities.community import ACTOR, NOBODY, Log
from communities.log import Acting
from communities.members import find_actor
from communities.refs import cid_text
from models import appeals, own_decisions
from models.appeals import AppealRow
from models.database import Connection
from models.mod_events import SERVICE, SubjectKey, key_of
from models.own_decisions import BanRow, LabelRow, RemovalRow
from models.reports import SITE

WITHHELD = "withheld"
"""The tag of a subject of which its author is told that something was decided, and not by which rule and why."""
POST = "app.bsky.feed.post"


class Kind(StrEnum):
    """What applies."""

    TAKEDOWN = "takedown"
    BAN = "ban"
    LABEL = "label"
    REMOVAL = "removal"


KINDS = tuple(Kind)
"""In the order in which they are listed."""


class Place(NamedTuple):
    """A place in the list: behind which entry of which kind. `name`: of a post, its key."""

    kind: int
    number: int
    name: str = ""


FIRST = Place(-1, 0)


@dataclass(frozen=True, slots=True)
class OwnDecision:
    """Something that applies. `community`: whose it is (0: the site); `labeler`: a DID, of labels. `actor`: only where
    the community's log shows who decided. Times are microseconds; `since` None: nobody knows.
    """

    kind: Kind
    place: Place
    community: int
    key: SubjectKey
    cid: str = ""
    values: tuple[str, ...] = ()
    labeler: str = ""
    rule: str | None = None
    reason: str | None = None
    role: str | None = None
    actor: str | None = None
    since: int | None = None
    until: int | None = None
    withheld: bool = False
    appeal: AppealRow | None = None


Logs = Callable[[int], Log | None]
"""What the log of a community shows, by the number of the community; None: the account may not know of that."""


def page(connection: Connection, did: str, logs: Logs, after: Place, limit: int, now: int) -> list[OwnDecision]:
    """At most `limit` of what applies to an account behind a place; what the account may not know of takes room and is
    left out by its `community` alone (see `logs`). `now`: microseconds.
    """
    actor, found = find_actor(connection, did), list[OwnDecision]()
    for kind in range(max(after.kind, 0), len(KINDS)):
        place = after if after.kind == kind else None
        found += _of_kind(connection, KINDS[kind], did, actor, logs, place, limit - len(found), now)
        if len(found) >= limit:
            break
    return found


def _of_kind(
    connection: Connection, kind: Kind, did: str, actor: int | None, logs: Logs, after: Place | None, limit: int,
    now: int,
) -> Iterator[OwnDecision]:  # fmt: skip
    if kind is Kind.LABEL:
        for label in own_decisions.labels(connection, did, now, after.number if after else 1 << 62, limit):
            yield _label(connection, did, label, logs)
    elif actor is None:
        return
    elif kind is Kind.TAKEDOWN:
        if after is None and appeals.is_down(connection, did, ""):
            yield _takedown(connection, kind, Place(0, 0), SubjectKey(did), "", None)
    elif kind is Kind.BAN:
        for ban in own_decisions.bans(connection, actor, did, now, after.number if after else 0, limit):
            yield _ban(connection, did, ban, logs)
    else:
        before = (after.name, after.number) if after else ("\x7f", 0)
        for removal in own_decisions.removals(connection, actor, before, limit):
            yield _removal(connection, did, removal, logs)


def _takedown(
    connection: Connection, kind: Kind, place: Place, key: SubjectKey, cid: str, since: int | None
) -> OwnDecision:
    """By the site; its log is not public, so of the event only the policy and the times are told."""
    row = own_decisions.takedown(connection, key.did, key.path)
    policies = json.loads(row.said).get("policies", ()) if row else ()
    since = row.at if row else since
    withheld = row is not None and is_withheld(connection, row.scope, key)
    return OwnDecision(
        kind, place, SITE, key, cid,
        rule=policies[0] if policies and not withheld else None,
        role=None if withheld else Acting.SITE.value,
        since=since, until=row.until if row else None, withheld=withheld,
        appeal=_appeal(connection, SITE, key, lambda one: since is None or one.last_at >= since),
    )  # fmt: skip


def _ban(connection: Connection, did: str, ban: BanRow, logs: Logs) -> OwnDecision:
    place, key = Place(KINDS.index(Kind.BAN), ban.community), SubjectKey(did)
    return _logged(connection, Kind.BAN, place, ban.community, key, ban.decision, ban.since, logs, until=ban.until)


def _removal(connection: Connection, did: str, row: RemovalRow, logs: Logs) -> OwnDecision:
    place = Place(KINDS.index(Kind.REMOVAL), row.community, row.rkey)
    key = SubjectKey(did, f"{POST}/{row.rkey}")
    cid = cid_text(row.cid) if row.cid else ""
    if row.community == SITE:
        return _takedown(connection, Kind.REMOVAL, place, key, cid, row.at)
    status = standing(connection, row.community, key)
    until = status.suspend_until if status else None
    return _logged(
        connection, Kind.REMOVAL, place, row.community, key, row.decision, row.at, logs, until=until, cid=cid
    )


def _logged(
    connection: Connection, kind: Kind, place: Place, community: int, key: SubjectKey, decision: int, since: int,
    logs: Logs, *, until: int | None = None, cid: str = "",
) -> OwnDecision:  # fmt: skip
    """By a community, as it stands in its log: its author is told what and why, and of who what the log shows all."""
    log = logs(community)
    event = logbook.event(connection, community, decision) if log else None
    withheld = is_withheld(connection, community, key)
    told = None if withheld else event
    return OwnDecision(
        kind, place, community, key, cid,
        rule=told.rule if told else None,
        reason=told.get("reason") if told else None,
        role=told.get("role") if told and log and log.who != NOBODY else None,
        actor=told.get("actor") if told and log and log.who == ACTOR else None,
        since=event.at if event else since, until=until, withheld=withheld,
        appeal=_appeal(connection, community, key, lambda one: bool(decision) and one.decision >= decision),
    )  # fmt: skip


def _label(connection: Connection, did: str, row: LabelRow, logs: Logs) -> OwnDecision:
    """By a labeler; why is for moderators alone (`social.communities.label`)."""
    key = key_of(did, row.uri) if row.uri != did else SubjectKey(did)
    withheld = is_withheld(connection, row.community or -row.labeler, key)
    log = logs(row.community) if row.community else Log()
    return OwnDecision(
        Kind.LABEL, Place(KINDS.index(Kind.LABEL), row.event), row.community, key, row.cid,
        values=tuple(sorted(row.values.split())), labeler=row.src,
        rule=(row.rule or None) if not withheld else None,
        role=row.role if not withheld and log and log.who != NOBODY else None,
        since=row.at, until=None if row.exp is None else row.exp * 1000, withheld=withheld,
        appeal=_appeal(
            connection, row.community, key, lambda one: one.labeler == row.src and one.label_event >= row.event
        ),
    )  # fmt: skip


def is_withheld(connection: Connection, scope: int, key: SubjectKey) -> bool:
    """Whether rule and reason of what was decided about a subject in a scope are not told to its author."""
    status = standing(connection, scope, key)
    if status is None and scope < SERVICE:
        status = standing(connection, SERVICE, key)
    return status is not None and WITHHELD in status.tags


def _appeal(
    connection: Connection, community: int, key: SubjectKey, covers: Callable[[AppealRow], bool]
) -> AppealRow | None:
    """The newest appeal that is against a decision."""
    uri = key.uri if key.path else ""
    return next((one for one in appeals.newest_about(connection, key.did, uri, community) if covers(one)), None)
