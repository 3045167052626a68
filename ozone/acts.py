"""What an event of a moderator does in one scope, whose matter it is: by the same functions as every other door.

Taking down means what it can mean here. In a community: a post is removed, an account is banned, for as long as it
says. On the site: no feed shows it. In both the value is issued that the labeler declares for it, if it does. Nothing
is done to what is on anybody's PDS.
"""

from collections.abc import Iterable, Set
from dataclasses import replace
from typing import Any

from communities.access import Action, Site, Standing
from communities.acting import acting_as
from communities.casebook import Appended, append, standing
from communities.community import Community
from communities.deeds import REMOVED, Deed
from communities.directory import Settings
from communities.log import Acting
from communities.members import standing_of
from communities.membership import RefusedError
from communities.mod_event import HOUR, Kind, ModEvent
from communities.person_decisions import PersonDecision, decide_person
from communities.post_decisions import PostDecision, decide_post
from communities.refs import PostRef, read_cid, read_post_uri
from communities.shown import take_down, take_down_post
from communities.stored import find_post
from labeler import second, takedowns
from labeler.issue import LabelRefusedError, Wanted
from labeler.permission import SYSTEM, Facts, NotAllowedError, belongs, check_values, judge, own_values
from labeler.saying import say
from labeler.second import Asked
from labeler.standing import active
from models import communities as community_rows
from models.reports import unflag
from models.subject_statuses import takendown_in
from ozone.event_input import About, Intent
from ozone.views import NO_CID
from ozone.visit import Visit
from xrpc.errors import AuthenticationRequired, InvalidRequest, Refused


def act(visit: Visit, scope: int, about: About, intent: Intent, deed: Deed) -> Appended:
    """Do it. Call inside a write. Raises InvalidRequest, AuthenticationRequired, Refused."""
    try:
        if intent.kind in (Kind.TAKEDOWN, Kind.REVERSE_TAKEDOWN):
            return _take_down(visit, scope, about, intent, deed)
        if intent.kind is Kind.TAG and any(map(is_removal, (*intent.said["add"], *intent.said["remove"]))):
            return _tag_out(visit, scope, about, intent, deed)
        if intent.kind is Kind.LABEL:
            return _label(visit, scope, about, intent, deed)
        if intent.kind is Kind.ACKNOWLEDGE:
            _wait_no_more(visit, scope, about)
        return append(visit.connection, scope, about.key, event(visit, scope, deed))
    except (RefusedError, NotAllowedError) as refusal:
        # The lexicon has no names for the rest.
        if refusal.name == "NotPermitted":
            raise Refused(refusal.name, str(refusal), 403) from refusal
        raise InvalidRequest(str(refusal)) from refusal
    except LabelRefusedError as error:
        raise InvalidRequest(str(error)) from error


def event(visit: Visit, scope: int, deed: Deed, **more: Any) -> ModEvent:
    """The event as it is appended."""
    if deed.kind is None:
        raise ValueError("an event has a kind")
    said = dict(deed.said)
    if deed.kind is Kind.EMAIL:
        said["isDelivered"] = False  # this service has nobody's address
    return ModEvent(
        deed.kind,
        visit.now,
        visit.caller.did,
        role(visit, scope),
        comment=deed.comment,
        said=said,
        cid=deed.cid,
        blobs=deed.blobs,
        tool=deed.tool,
        tool_meta=deed.tool_meta,
        batch=deed.batch,
        external=deed.external,
        label_event=deed.label_event,
        undoes=deed.undoes,
        **more,
    )


def is_removal(tag: str) -> bool:
    """Whether a tag takes a post out of a feed."""
    return tag.startswith(REMOVED)


def _tag_out(visit: Visit, scope: int, about: About, intent: Intent, deed: Deed) -> Appended:
    """A post is taken out of the feed of a community, or let in again, and that is all: the tag says so."""
    settings, post = community(visit, scope), read_post_uri(about.key.uri) if about.key.path else None
    if post is None:
        raise InvalidRequest(f"{REMOVED}{settings.slug} is for posts")
    action = Action.REMOVE if any(map(is_removal, intent.said["add"])) else Action.RESTORE
    removed = action is Action.REMOVE
    status = standing(visit.connection, scope, about.key)
    if status is not None and status.takendown:
        raise InvalidRequest("Subject is taken down there: that is given back by its reversal, not by a tag")
    if not removed and (status is None or REMOVED + settings.slug not in status.tags):
        raise InvalidRequest(f"Subject has no tag {REMOVED}{settings.slug}")
    wanted = PostDecision(action, post, read_cid(about.cid), intent.comment or None, known=removed)
    to = (visit.connection, visit.places, settings, visit.caller.did)
    done = decide_post(*to, wanted, visit.now, visit.stands, deed)
    if done.event is None:  # pragma: no cover - the deed says which
        raise RuntimeError("a removal is no event")
    return done.event


def role(visit: Visit, scope: int) -> str:
    """As what the caller acts."""
    if scope <= 0:
        return str(Acting.SITE)
    settings = community(visit, scope)
    return str(acting_as(Action.REMOVE, settings, visit.caller.did, _standing(visit, settings)))


def community(visit: Visit, scope: int) -> Settings:
    """The community that a scope is."""
    settings = visit.places.get(scope)
    if settings is None:
        raise InvalidRequest("There is no such community here.")
    return settings


def _standing(visit: Visit, settings: Settings) -> Standing:
    return standing_of(visit.connection, visit.places, settings, visit.caller.did, visit.now, visit.stands)


def _ask(visit: Visit, scope: int, about: About, wanted: Iterable[str], two: Set[str], wish: second.Wish) -> Asked:
    """What of that can be done now, and what waits for another person."""

    def stands(did: str) -> Standing:
        if scope <= 0:
            return Standing(site=visit.site.get(did, Site.NOBODY))
        return standing_of(visit.connection, visit.places, community(visit, scope), did, visit.now, visit.site)

    may = second.able(visit.connection, visit.labeler, about.key, stands)
    return second.ask(visit.connection, scope, about.key, visit.caller.did, wanted, two, wish, may)


def _take_down(visit: Visit, scope: int, about: About, intent: Intent, deed: Deed) -> Appended:
    down, status = intent.kind is Kind.TAKEDOWN, standing(visit.connection, scope, about.key)
    if down is (status is not None and status.takendown):
        raise InvalidRequest(f"Subject is {'already' if down else 'not'} taken down")
    names = (second.TAKEDOWN,) if down else ()
    two = set(names) if visit.declared.two_person else set()
    wish = second.Wish(intent.said.get("durationInHours"))
    asked = _ask(visit, scope, about, names, two, wish)
    if asked.waiting:
        with second.only_tried(visit.connection):
            _change(visit, scope, about, intent, deed)
        return _waits(visit, scope, about, asked, deed)
    done = _change(visit, scope, about, intent, deed)
    _note(visit, scope, about, asked, deed)
    return done


def _change(visit: Visit, scope: int, about: About, intent: Intent, deed: Deed) -> Appended:
    """What a takedown or its reversal does, and the event."""
    deed = replace(deed, label_event=_label_of_takedown(visit, scope, about, intent))
    post = read_post_uri(about.key.uri) if about.key.path else None
    account = not (about.key.path or about.key.convo)
    if scope > 0 and (post is not None or account):
        return _in_community(visit, scope, about, intent, deed, post)
    done = append(visit.connection, scope, about.key, event(visit, scope, deed))
    # Several may have it down for the whole site: it is shown again when the last of them has given it back.
    allowed = not any(one <= 0 for one in takendown_in(visit.connection, done.subject))
    if post is not None:
        take_down_post(visit.connection, post, read_cid(about.cid) or b"", visit.now, allowed=allowed)
    elif account:
        take_down(visit.connection, about.key.did, allowed=allowed)
    return done


def _note(visit: Visit, scope: int, about: About, asked: Asked, deed: Deed) -> Appended | None:
    who = visit.caller.did, role(visit, scope)
    return second.note(visit.connection, scope, about.key, *who, asked, visit.now, deed)


def _waits(visit: Visit, scope: int, about: About, asked: Asked, deed: Deed) -> Appended:
    """Nothing was done but to ask for it; or, by who has asked already, not even that."""
    noted = _note(visit, scope, about, asked, deed)
    if noted is None:
        name = asked.waiting[0]
        raise Refused("SecondNeeded", f"You have asked for this already: it is for somebody else to do ({name}).")
    return noted


def _wait_no_more(visit: Visit, scope: int, about: About) -> None:
    """What a community has looked at waits in its queue no more because of reports."""
    ref = read_post_uri(about.key.uri) if scope > 0 and about.key.path else None
    post = find_post(visit.connection, ref) if ref else None
    if post is not None:
        unflag(visit.connection, scope, post.id)


def _in_community(visit: Visit, scope: int, about: About, intent: Intent, deed: Deed, post: PostRef | None) -> Appended:
    """Out of a community, or into it again: a post, or an account."""
    settings, down = community(visit, scope), intent.kind is Kind.TAKEDOWN
    reason, rule = intent.comment or None, _rule(visit, settings, intent)
    to = (visit.connection, visit.places, settings, visit.caller.did)
    if post is not None:
        action = Action.REMOVE if down else Action.RESTORE
        # The moderator may have seen an earlier version: it is the post that goes.
        wanted = PostDecision(action, post, read_cid(about.cid), reason, rule, known=down)
        done = decide_post(*to, wanted, visit.now, visit.overrules, deed)
    else:
        until = visit.now + intent.said["durationInHours"] * HOUR if "durationInHours" in intent.said else None
        person = PersonDecision(Action.BAN if down else Action.UNBAN, about.key.did, reason, rule, until)
        done = decide_person(*to, person, visit.now, visit.overrules, deed)
    if done.event is None:  # pragma: no cover - these four are events
        raise RuntimeError(f"{intent.kind} in a community is no event")
    return done.event


def _rule(visit: Visit, settings: Settings, intent: Intent) -> str | None:
    """The rule of the community by which it is decided: the first of the policies that is one."""
    rules = {one.name for one in Community.from_json(community_rows.rule(visit.connection, settings.id)).rules}
    return next((policy for policy in intent.said.get("policies", ()) if policy in rules), None)


def _label_of_takedown(visit: Visit, scope: int, about: About, intent: Intent) -> int | None:
    """Issue the value that the labeler declares for takedowns, or take back what takedowns have issued."""
    if about.key.convo:
        return None
    now, who = visit.now // 1000, (visit.caller.did, role(visit, scope))
    if intent.kind is Kind.REVERSE_TAKEDOWN:
        _check_values(visit, scope, takedowns.ending(visit.connection, scope, about.key, now))
        return takedowns.end(visit.connection, scope, about.key, *who, now)
    value = visit.declared.takedown
    if value is None:
        return None
    _check_values(visit, scope, (value,))
    wanted = _wanted(visit, scope, about)._replace(exp=_exp(visit, intent))
    return takedowns.begin(visit.connection, visit.declared, value, wanted, now)


def _check_values(visit: Visit, scope: int, values: Iterable[str]) -> None:
    """Raise NotAllowedError unless the caller may say so of anything in this scope. Nothing limits the team."""
    if scope > 0 and not visit.caller.in_charge:
        check_values(_standing(visit, community(visit, scope)), values)


def _wanted(visit: Visit, scope: int, about: About) -> Wanted:
    cid = about.cid if about.cid != NO_CID else ""
    return Wanted(
        visit.labeler,
        visit.did,
        about.key.uri,
        cid,
        actor=visit.caller.did,
        role=role(visit, scope),
        community=max(scope, 0),
    )


def _exp(visit: Visit, intent: Intent) -> int | None:
    """When a label ends, milliseconds."""
    hours = intent.said.get("durationInHours")
    return None if hours is None else visit.now // 1000 + int(hours) * HOUR // 1000


def _label(visit: Visit, scope: int, about: About, intent: Intent, deed: Deed) -> Appended:
    if about.key.convo:
        raise InvalidRequest("a conversation has no labels")
    add, remove = tuple(intent.said["createLabelVals"]), tuple(intent.said["negateLabelVals"])
    held = active(visit.connection, visit.labeler, about.key.uri, visit.now // 1000)
    _check_label(visit, scope, about, intent, add, remove)
    version = about.cid if about.cid != NO_CID else ""
    two = second.takes_two(visit.declared.definitions, add, held, version, _exp(visit, intent))
    wish = second.Wish(intent.said.get("durationInHours"), version)
    asked = _ask(visit, scope, about, add, two, wish)
    if asked.waiting and not asked.now and not remove:
        return _waits(visit, scope, about, asked, deed)
    wanted = _wanted(visit, scope, about)._replace(
        add=asked.now,
        remove=remove,
        exp=_exp(visit, intent) if asked.now else None,
        reason=intent.comment,
        batch=deed.batch,
    )
    said = say(visit.connection, visit.declared, wanted, visit.now // 1000, deed)
    # What holds already is said once more in the list of events alone.
    if said.event is None:
        deed = replace(deed, said={**deed.said, "createLabelVals": list(asked.now)})
    done = said.event or append(visit.connection, scope, about.key, event(visit, scope, deed))
    _note(visit, scope, about, asked, deed)
    return done


def _check_label(
    visit: Visit, scope: int, about: About, intent: Intent, add: tuple[str, ...], remove: tuple[str, ...]
) -> None:
    """Whether the caller may say so in this scope. Raises NotAllowedError, AuthenticationRequired."""
    if scope <= 0 or visit.caller.in_charge:
        if any(val.startswith(SYSTEM) for val in (*add, *remove)) and not visit.caller.administers:
            raise AuthenticationRequired("Must be an admin to issue labels that every app obeys")
        return
    settings = community(visit, scope)
    held = active(visit.connection, visit.labeler, about.key.uri, visit.now // 1000)
    its_own = belongs(visit.connection, scope, about.key.uri)
    own = own_values(visit.connection, scope, about.key, ((one.val, one.event) for one in held), its_own=its_own)
    holding, exp = {one.val for one in held}, _exp(visit, intent)
    gone = [val for val in remove if val in holding]
    # To say with another end what holds is to take that away: it would be over when the new one is.
    over = {one.val for one in held if one.val in add and one.cid == about.cid and one.exp != exp}
    facts = Facts(_standing(visit, settings), its_own, own, about.key.about)
    judge(facts, visit.declared.values, add, (*gone, *over))
