"""Who may label what for a community: predicates over what is known of the person, the subject and the labeler.

Moderators and admins label for their community, with a labeler that serves it and in the values that it declares:
posts that the community has (in whatever state) and the accounts of its members and authors, as far as their role is
not limited to other values or collections. Values that every app obeys (`!hide`, `!warn`) are for the admins of the
site alone (S140).
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from communities.access import Action, Site, Standing, holds
from communities.members import find_actor
from communities.refs import read_post_uri
from models import label_causes
from models.database import Connection
from models.mod_events import SubjectKey, find_subject
from models.subject_statuses import takendown_in

SYSTEM = "!"
"""What the values begin with that every app obeys, whoever subscribes."""
RULE_ACTOR = "rule:"
"""What stands before the name of an automatic rule where it is the actor of an event."""


class Serving(Protocol):
    """What is asked of a declared labeler."""

    @property
    def did(self) -> str:
        """Whose labels they are."""

    @property
    def communities(self) -> frozenset[str]:
        """The slugs of those that it labels for; empty: every one."""

    @property
    def values(self) -> frozenset[str]:
        """All values that may be issued."""


Labeler = TypeVar("Labeler", bound=Serving)


class NotAllowedError(Exception):
    """Somebody may not label so. `name`: NotPermitted, UndeclaredLabel or SubjectNotInCommunity."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Facts(NamedTuple):
    """What is known. `who`: how the person stands to the community; `belongs`: whether the subject is the community's;
    `own`: the values that hold of it because of this community or of an automatic rule; `about`: the collection of the
    subject, as limits name it.
    """

    who: Standing
    belongs: bool
    own: frozenset[str]
    about: str


def serving(labelers: Iterable[Labeler], slug: str) -> list[Labeler]:
    """The labelers that label for a community."""
    return [one for one in labelers if not one.communities or slug in one.communities]


def judge(facts: Facts, values: Collection[str], add: Sequence[str], remove: Sequence[str]) -> None:
    """Raise NotAllowedError unless somebody may add and remove these labels. `values`: what the labeler declares;
    `remove`: also what is to be said anew with another end.
    """
    site_admin = facts.who.site is Site.ADMIN
    # Who may take a post out of the community may also say of it what it is.
    if not holds(Action.REMOVE, facts.who) or not facts.who.bounds.covers(facts.about):
        raise NotAllowedError("NotPermitted", "Your role does not allow you to label this here.")
    check_values(facts.who, (*add, *remove))
    for val in (*add, *remove):
        if val.startswith(SYSTEM) and not site_admin:
            raise NotAllowedError("NotPermitted", f"{val} is for the admins of the site: every app obeys it.")
    for val in add:
        if val not in values:
            raise NotAllowedError("UndeclaredLabel", f"The labeler of this community does not declare {val[:100]!r}.")
    if site_admin:
        return
    if add and not facts.belongs:
        raise NotAllowedError(
            "SubjectNotInCommunity", "The community has no such post, and no such member or author: nothing to label."
        )
    for val in remove:
        if val not in facts.own:
            raise NotAllowedError("NotPermitted", f"{val[:100]!r} does not hold because of this community.")


def check_values(who: Standing, values: Iterable[str]) -> None:
    """Raise NotAllowedError unless a role covers all values that somebody is about to issue or negate."""
    for val in who.bounds.labelled(values):
        raise NotAllowedError("NotPermitted", f"Your role does not cover the label {val[:100]!r}.")


def belongs(connection: Connection, community: int, uri: str) -> bool:
    """Whether a subject is a community's: a post that it has, or an account that is a member or has posts in it."""
    if uri.startswith("did:"):
        actor = find_actor(connection, uri)
        query = (
            "SELECT EXISTS (SELECT 1 FROM membership WHERE community = ?1 AND actor = ?2 AND status IN ('member',"
            " 'banned')) OR EXISTS (SELECT 1 FROM post p CROSS JOIN feed_item i ON i.post = p.id AND i.community = ?1"
            " WHERE p.actor = ?2)"
        )
        return actor is not None and bool(connection.execute(query, (community, actor)).fetchone()[0])
    ref = read_post_uri(uri)
    if ref is None:
        return False
    query = (
        "SELECT 1 FROM actor a JOIN post p ON p.actor = a.id CROSS JOIN feed_item i ON i.post = p.id"
        " AND i.community = ?1 WHERE a.did = ?2 AND p.rkey = ?3"
    )
    return connection.execute(query, (community, *ref)).fetchone() is not None


def own_values(
    connection: Connection, community: int, key: SubjectKey, events: Iterable[tuple[str, int]], *, its_own: bool
) -> frozenset[str]:
    """Of labels that hold (value, number of the event): the values of which each holds because of this community, or,
    of a subject that is `its_own`, because of an automatic rule, which its moderators may overrule. What a takedown has
    issued holds because of all who have the subject taken down.
    """
    subject = find_subject(connection, key)
    elsewhere = any(scope != community for scope in takendown_in(connection, subject)) if subject is not None else False
    shared = label_causes.of_takedowns(connection, key) if elsewhere else set()
    own: dict[str, bool] = {}
    for val, event in events:
        of, actor = connection.execute("SELECT community, actor FROM label_event WHERE id = ?", (event,)).fetchone()
        mine = (of == community and event not in shared) or (its_own and actor.startswith(RULE_ACTOR))
        own[val] = own.get(val, True) and mine
    return frozenset(val for val, mine in own.items() if mine)
