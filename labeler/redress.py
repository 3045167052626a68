"""Appeals are granted or denied here, in one transaction, by somebody whose they are not and who has not decided what
they are against.

To grant is to take back what an appeal is against and what is in force of it: a post comes back, a ban or a takedown by
the site ends, and the labels go that were issued with it, of every version. What was decided after the appeal stays.
To deny leaves it all. Whoever decides, and by what door (`social.communities.resolveAppeal`, `communities appeals`), it
is the same; the moderation API takes back and marks in two steps, and asks here who may.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from communities.access import Action, Site, Standing, may_decide
from communities.appeals import sent_to
from communities.casebook import Appended, append, scope_of, standing
from communities.directory import Places, Settings
from communities.membership import RefusedError
from communities.mod_event import Kind, ModEvent
from communities.person_decisions import PersonDecision, decide_person
from communities.post_decisions import PostDecision, decide_post
from communities.reasons import APPEALS
from communities.refs import read_post_uri
from communities.report_actions import ReportAction, settle
from communities.shown import take_down, take_down_post
from communities.stored import find_post
from labeler import takedowns
from labeler.issue import Wanted, take_back
from labeler.saying import tell
from labeler.standing import Slot, slots_of
from models import appeals, label_causes, report_cases, subject_statuses
from models.appeals import AppealRow
from models.database import Connection
from models.mod_events import SERVICE, SubjectKey, enter_subject, find_subject
from models.reports import SITE

OWN = "This appeal is your own, or against your own decision: somebody else must resolve it."
NOT_YOURS = "Your role does not allow you to decide about appeals here."


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is decided about appeals. `reason`: for the author; `actor`: a DID or `cli`; `role`: as what it acts."""

    grant: bool
    reason: str
    actor: str
    role: str


@dataclass(frozen=True, slots=True)
class Court:
    """What decisions in a community go by, as in `decide_post`; `settings` None: it is the site's matter."""

    places: Places | None = None
    settings: Settings | None = None
    site: Mapping[str, Site] = field(default_factory=dict)


class Issued(NamedTuple):
    """Labels that hold because of what is appealed against. `event`: by which the last of them came."""

    labeler: int
    event: int
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Matter:
    """Open appeals about a subject in a community (0: the site), and what is in force of that which they are against:
    the numbers of a removal and of a ban in the community's log, whether the site has taken it down, labels.
    """

    community: int
    key: SubjectKey
    appeals: tuple[AppealRow, ...]
    removal: int | None
    ban: int | None
    down: bool
    labels: tuple[Issued, ...]

    @property
    def actions(self) -> frozenset[Action]:
        """What one must be allowed to decide in a community to decide about them."""
        found = {action for action, number in ((Action.RESTORE, self.removal), (Action.UNBAN, self.ban)) if number}
        if self.labels:
            found.add(Action.RESTORE)  # who may give a post back may also say of it what it is
        return frozenset(found or {Action.RESTORE if self.key.path else Action.UNBAN})


def look(connection: Connection, community: int, key: SubjectKey, labeler: str | None, now: int) -> Matter | None:
    """The open appeals about a subject in a community (0: the site), those sent to `labeler` alone if it is named; None
    if there are none. `now`: microseconds.
    """
    uri = key.uri if key.path else ""
    found = appeals.waiting(connection, key.did, uri, community, labeler)
    if not found:
        return None
    last = max(one.decision for one in found)
    against = appeals.removals(connection, key.did, uri.rpartition("/")[2]) if read_post_uri(uri) else []
    removal = next((one.decision for one in against if one.community == community), None)
    bans = appeals.bans(connection, key.did, now)
    if uri:
        post = read_post_uri(uri)
        bans = appeals.hiding_bans(connection, *post, now) if post else []
    ban = next((one.decision for one in bans if one.community == community), None)
    # What was decided after the appeal is not what it is against.
    down = community == SITE and _covers(connection, key, uri, max(one.last_at for one in found))
    covered = [None if number is None or not 0 < number <= last else number for number in (removal, ban)]
    return Matter(
        community,
        key,
        tuple(found),
        covered[0] if community != SITE else None,
        covered[1] if community != SITE else None,
        down,
        tuple(_labels(connection, community, key, found, [0] if down else [one for one in covered if one], now)),
    )


def _covers(connection: Connection, key: SubjectKey, uri: str, last_at: int) -> bool:
    """Whether the site has taken a subject down, and no later than that was appealed against."""
    since = appeals.last_takedown(connection, key.did, uri)
    return appeals.is_down(connection, key.did, uri) and (since is None or since <= last_at)


def _labels(
    connection: Connection, community: int, key: SubjectKey, found: Sequence[AppealRow], decisions: list[int], now: int
) -> list[Issued]:
    """The labels that hold because of what appeals are against."""
    causes: dict[int, set[int]] = {}
    for one in found:
        if one.label_event:
            labeler, events = label_causes.up_to(connection, community, key.uri, one.label_event)
            causes.setdefault(labeler, set()).update(events)
    if _is_down_elsewhere(connection, community, key):
        # What a takedown has issued holds because of the others as well, also where the appeal is against that.
        stays = label_causes.of_takedowns(connection, key)
        causes = {labeler: events - stays for labeler, events in causes.items()}
    else:
        # A takedown may have issued one with it.
        for labeler, event in label_causes.of_decisions(connection, community, key, decisions):
            causes.setdefault(labeler, set()).add(event)
    hits = []
    for labeler, events in causes.items():
        slots = tuple(
            slot
            for versions in slots_of(connection, labeler, key.uri).values()
            for slot in versions.values()
            if slot.newest.event in events and slot.holds(now // 1000)
        )
        if slots:
            hits.append(Issued(labeler, max(slot.newest.event for slot in slots), slots))
    return hits


def _is_down_elsewhere(connection: Connection, community: int, key: SubjectKey) -> bool:
    """Whether somebody else has the subject taken down: then the label of takedowns stays for them."""
    subject = find_subject(connection, key)
    down = subject_statuses.takendown_in(connection, subject) if subject is not None else []
    return any(max(scope, SITE) != community for scope in down)


def partial(connection: Connection, matter: Matter) -> set[str]:
    """Who does not decide about appeals: whoever has decided what they are against, and whose they are."""
    found = {matter.key.did} | {actor for one in matter.appeals for actor in appeals.deciders(connection, one)}
    for number in filter(None, (matter.removal, matter.ban)):
        query = "SELECT actor FROM decision WHERE community = ? AND seq = ?"
        found |= {actor for (actor,) in connection.execute(query, (matter.community, number))}
    for event in {slot.newest.event for one in matter.labels for slot in one.slots}:
        found |= {actor for (actor,) in connection.execute("SELECT actor FROM label_event WHERE id = ?", (event,))}
    return found


def refusal(matter: Matter, who: Standing) -> str:
    """Why somebody who stands so to a community is not to decide about appeals there; empty: they may."""
    # Of the parts of a moderator's work those are asked that the decisions belong to.
    if not all(may_decide(action, who) for action in matter.actions):
        return NOT_YOURS
    if who.bounds.labelled(slot.val for one in matter.labels for slot in one.slots):
        return "Your role does not cover the labels that this appeal is against."
    return ""


def look_in(connection: Connection, scope: int, key: SubjectKey, labeler: str, now: int) -> Matter | None:
    """The open appeals that wait in a scope, as `look`; `labeler`: the DID of that which a scope below 0 is."""
    return look(connection, max(scope, 0), key, sent_to(scope, labeler), now)


def rule(connection: Connection, court: Court, matter: Matter, ruling: Ruling, now: int) -> None:
    """Grant or deny. Call inside a write. `now`: microseconds. Raises RefusedError: NotPermitted for whom it is not to
    decide, and whatever `decide_post` and `decide_person` refuse.
    """
    # Who has the machine is nobody in particular, and has nobody above.
    if ruling.actor.startswith("did:") and ruling.actor in partial(connection, matter):
        raise RefusedError("NotPermitted", OWN)
    scopes = list(dict.fromkeys(scope_of(connection, matter.community, one.labeler) for one in matter.appeals))
    subject = enter_subject(connection, matter.key)
    # What others have reported, and nobody has looked at, goes on waiting.
    others = {scope for scope in scopes if report_cases.others_wait(connection, scope, subject)}
    if ruling.grant:
        _take_back(connection, court, matter, ruling, scopes, now)
    for scope in scopes:
        resolved = append(connection, scope, matter.key, _event(Kind.RESOLVE_APPEAL, ruling, now))
        waits = scope in others
        closing = resolved if waits else append(connection, scope, matter.key, _event(Kind.ACKNOWLEDGE, ruling, now))

        def close(wanted: ReportAction, scope: int = scope, event: Appended = closing) -> None:
            settle(connection, scope, event.subject, event.id, Kind.ACKNOWLEDGE, wanted, ruling.actor, now)

        # What its author is told nobody else is.
        close(ReportAction(types=tuple(APPEALS), note=ruling.reason))
        if ruling.grant and not waits:
            close(ReportAction(everything=True))
    for one in matter.appeals:
        appeals.settle(connection, one.id, "granted" if ruling.grant else "denied", now, ruling.reason)


def _take_back(
    connection: Connection, court: Court, matter: Matter, ruling: Ruling, scopes: list[int], now: int
) -> None:
    """Take back what is in force."""
    if matter.community == SITE:
        if matter.down:
            _show_again(connection, matter.key, ruling, scopes, now)
    elif court.places is not None and court.settings is not None:
        to = (connection, court.places, court.settings, ruling.actor)
        if matter.ban is not None:
            _end_label(connection, matter.community, SubjectKey(matter.key.did), ruling, now)
            person = PersonDecision(Action.UNBAN, matter.key.did, ruling.reason or None)
            decide_person(*to, person, now, court.site)
        ref = read_post_uri(matter.key.uri) if matter.removal is not None else None
        if ref is not None:
            post = find_post(connection, ref)
            cid = post.cid if post else appeals.removed_version(connection, matter.community, *ref)
            wanted = PostDecision(Action.RESTORE, ref, cid, ruling.reason or None, known=True)
            _end_label(connection, matter.community, matter.key, ruling, now)
            decide_post(*to, wanted, now, court.site)
    for one in matter.labels:
        known = slots_of(connection, one.labeler, matter.key.uri)
        left = [known.get(slot.val, {}).get(slot.cid) for slot in one.slots]
        slots = [slot for slot in left if slot is not None and slot.holds(now // 1000)]
        if not slots:
            continue  # it went with the takedown
        back = Wanted(
            one.labeler, "", matter.key.uri, actor=ruling.actor, role=ruling.role, community=matter.community,
            reason=ruling.reason, undoes=one.event,
        )  # fmt: skip
        issued = take_back(connection, back, slots, now // 1000)
        tell(connection, back, issued, now // 1000)


def _show_again(connection: Connection, key: SubjectKey, ruling: Ruling, scopes: list[int], now: int) -> None:
    """What the site has taken down is shown again, whichever team did it."""
    post = read_post_uri(key.uri) if key.path else None
    if post is not None:
        take_down_post(connection, post, b"", now, allowed=True)
    else:
        take_down(connection, key.did, allowed=True)
    subject = find_subject(connection, key)
    known = subject_statuses.scopes(connection, subject) if subject is not None else []
    down = [scope for scope in known if scope <= SERVICE and _is_down(connection, scope, key)] or scopes[:1]
    for scope in down:
        _end_label(connection, scope, key, ruling, now)
        append(connection, scope, key, _event(Kind.REVERSE_TAKEDOWN, ruling, now))


def _end_label(connection: Connection, scope: int, key: SubjectKey, ruling: Ruling, now: int) -> None:
    """The label of takedowns goes with the last of them."""
    takedowns.end(connection, scope, key, ruling.actor, ruling.role, now // 1000)


def _is_down(connection: Connection, scope: int, key: SubjectKey) -> bool:
    status = standing(connection, scope, key)
    return status is not None and status.takendown


def _event(kind: Kind, ruling: Ruling, now: int) -> ModEvent:
    return ModEvent(kind, now, ruling.actor, ruling.role, comment=ruling.reason)
