"""Labels that somebody wants for a community: which labeler, whether they may, what takes two people, in one
transaction with the events.

Whoever asks, and by what door, it is the same: `social.communities.label`, or a command in a post.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from communities.access import Action, Standing
from communities.acting import acting_as
from communities.deeds import Deed, subject_key
from communities.directory import Settings
from communities.membership import RefusedError
from communities.refs import read_cid, read_post_uri
from communities.stored import find_post
from labeler import protection, second
from labeler.issue import Issued, Wanted
from labeler.permission import Facts, belongs, judge, own_values, serving
from labeler.saying import say
from labeler.standing import active
from labeler.vocabulary import Declared
from models import labelers as labeler_rows
from models.database import Connection


class Wish(NamedTuple):
    """What somebody (`actor`, a DID) wants said of a subject, an account or a post in the version `cid`. `until`: when
    what is added ends, microseconds; `labeler`: whose labels, None: of the only one that serves the community.
    """

    actor: str
    uri: str
    cid: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    reason: str = ""
    rule: str = ""
    until: int | None = None
    labeler: str | None = None


class Granted(NamedTuple):
    """What became of a wish: as what it was done, what changed, and which values wait for another person."""

    wanted: Wanted
    done: Issued
    waiting: tuple[str, ...]


def label(
    connection: Connection,
    labelers: Sequence[Declared],
    settings: Settings,
    stands: Callable[[str], Standing],
    wish: Wish,
    now: int,
    deed: Deed | None = None,
) -> Granted:
    """Label for a community. Call inside a write. `stands`: how an account stands to the community; `now`:
    microseconds; `deed`: what else is to be said of it.

    Raises NotAllowedError, LabelRefusedError as `issue` does, and RefusedError: LabelerNotFound, VersionChanged,
    NoChange.
    """
    declared, who = _which(labelers, settings, wish.labeler), stands(wish.actor)
    labeler, millis = labeler_rows.enter(connection, declared.did), now // 1000
    held = active(connection, labeler, wish.uri, millis)
    its_own = belongs(connection, settings.id, wish.uri)
    key = subject_key(wish.uri)
    own = own_values(connection, settings.id, key, ((one.val, one.event) for one in held), its_own=its_own)
    holding = {one.val for one in held}
    exp = None if wish.until is None else wish.until // 1000
    gone = tuple(val for val in wish.remove if val in holding)
    # To say with another end what holds is to take that away: it would be over when the new one is.
    over = tuple({one.val for one in held if one.val in wish.add and one.cid == wish.cid and one.exp != exp})
    # What does not hold is not there to be removed: that is no matter of permission.
    judge(Facts(who, its_own, own, key.about), declared.values, wish.add, (*gone, *over))
    if wish.add:
        _check_version(connection, wish.uri, wish.cid)
    role = str(acting_as(Action.REMOVE, settings, wish.actor, who))
    protection.check(connection, declared.did, settings.id, key, wish.actor)
    two = second.takes_two(declared.definitions, wish.add, held, wish.cid, exp)
    how = second.Wish(second.hours_until(exp, millis), wish.cid)
    may = second.able(connection, labeler, key, stands)
    asked = second.ask(connection, settings.id, key, wish.actor, wish.add, two, how, may)
    wanted = Wanted(
        labeler,
        declared.did,
        wish.uri,
        wish.cid,
        add=asked.now,
        remove=wish.remove,
        exp=exp if asked.now else None,
        actor=wish.actor,
        role=role,
        community=settings.id,
        reason=wish.reason,
        rule=wish.rule,
    )
    deed = replace(deed or Deed(), comment=wish.reason, cid=wish.cid)
    done = say(connection, declared, wanted, millis, deed).issued
    noted = second.note(connection, settings.id, key, wish.actor, role, asked, now, deed)
    if done.event is None and noted is None:
        raise RefusedError("NoChange", "That is how it stands already.")
    return Granted(wanted, done, asked.waiting)


def _which(labelers: Sequence[Declared], settings: Settings, did: str | None) -> Declared:
    found = [one for one in serving(labelers, settings.slug) if did in (None, one.did)]
    if len(found) != 1:
        names = " or ".join(one.did for one in found)
        why = f"Say which labeler: {names}." if found else "No such labeler labels for this community."
        raise RefusedError("LabelerNotFound", why)
    return found[0]


def _check_version(connection: Connection, uri: str, cid: str) -> None:
    """Whether the version that somebody has seen is the one that is indexed."""
    ref = read_post_uri(uri)
    post = find_post(connection, ref) if ref else None
    if post is not None and post.cid != read_cid(cid):
        raise RefusedError("VersionChanged", "The post was edited since: look at it again.")
