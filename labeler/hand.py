"""Who undoes what moderators have done, and what they may: the same as when each of it is done by hand."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from communities.access import Action, Site, Standing, holds
from communities.acting import acting_as
from communities.deeds import subject_key
from communities.directory import Places, Settings
from communities.log import Acting
from communities.members import standing_of
from communities.membership import RefusedError
from labeler.permission import Facts, belongs, check_values, judge, serving
from labeler.protection import for_others
from labeler.vocabulary import Declared
from models import labelers as labeler_rows
from models.database import Connection
from models.mod_events import SubjectKey


@dataclass(frozen=True, slots=True)
class Hand:
    """`actor`: a DID; `operator`: it is that of the service itself, which may do everything. `site`: who is what for
    the whole site; `labelers`: those that this service is; `now`: microseconds. `batch`: how what is done together is
    called, empty for a single event; `reason`: why.
    """

    actor: str
    places: Places
    site: Mapping[str, Site]
    labelers: Sequence[Declared]
    now: int
    reason: str = ""
    batch: str = ""
    operator: bool = False

    def community(self, scope: int) -> Settings:
        """The community that a scope is. Raises RefusedError."""
        settings = self.places.get(scope)
        if settings is None:
            raise RefusedError("CommunityNotFound", "There is no such community here any more.")
        return settings

    def standing(self, connection: Connection, scope: int) -> Standing:
        """How they stand to a community."""
        return standing_of(connection, self.places, self.community(scope), self.actor, self.now, self.site)

    def role(self, connection: Connection, scope: int) -> str:
        """As what they act."""
        if scope <= 0:
            return str(Acting.SITE)
        return str(acting_as(Action.REMOVE, self.community(scope), self.actor, self.standing(connection, scope)))

    def covers(self, connection: Connection, scope: int, key: SubjectKey) -> bool:
        """Whether their role in a scope is not limited to what is of other collections: then it is not there."""
        return scope <= 0 or self.operator or self.standing(connection, scope).bounds.covers(key.about)

    def moderates(self, connection: Connection, scope: int, key: SubjectKey) -> None:
        """Raise RefusedError unless they may take posts out of the community and work on such a subject, or, of the
        site, run it.
        """
        theirs = self.operator if scope <= 0 else holds(Action.REMOVE, self.standing(connection, scope))
        if not theirs or not self.covers(connection, scope, key):
            raise RefusedError("NotPermitted", "Your role does not allow this here.")

    def labels(self, connection: Connection, scope: int, values: Iterable[str]) -> None:
        """Raise NotAllowedError unless their role in a scope covers these values."""
        if scope > 0 and not self.operator:
            check_values(self.standing(connection, scope), values)

    def serving(self, connection: Connection, scope: int) -> list[Declared]:
        """The labelers whose team looks into a scope."""
        if scope > 0:
            return serving(self.labelers, self.community(scope).slug)
        return [one for one in self.labelers if scope == 0 or labeler_rows.find(connection, one.did) == -scope]

    def declared(self, connection: Connection, labeler: int) -> Declared | None:
        """What the labeler with this number declares."""
        return next((one for one in self.labelers if labeler_rows.find(connection, one.did) == labeler), None)

    def looks_into(self, connection: Connection, labeler: int, scope: int) -> bool:
        """Whether a scope is a matter of that labeler."""
        if scope <= 0 or self.places.get(scope) is None:
            return scope == -labeler
        declared = self.declared(connection, labeler)
        return declared is not None and declared in self.serving(connection, scope)

    def may_say(
        self, connection: Connection, scope: int, labeler: int, uri: str, end: Sequence[str], again: Sequence[str]
    ) -> None:
        """Raise RefusedError or NotAllowedError unless they may end these labels, and issue those."""
        self.moderates(connection, scope, subject_key(uri))
        who = self.standing(connection, scope) if scope > 0 else Standing(site=Site.ADMIN)
        # What they end holds because of this community alone.
        judge(Facts(who, True, frozenset(end), subject_key(uri).about), (), (), end)
        if not again:
            return
        declared = self.declared(connection, labeler)
        if declared is None:
            raise RefusedError("LabelerNotFound", "The labeler is not declared any more.")
        if any(val in declared.definitions and declared.definitions[val].two_person for val in again):
            raise RefusedError("SecondNeeded", "It takes two people to issue this label.")
        its_own = scope <= 0 or belongs(connection, scope, uri)
        judge(Facts(who, its_own, frozenset(), subject_key(uri).about), declared.values, again, ())

    def protected(self, connection: Connection, scope: int, tags: Collection[str]) -> set[str]:
        """Those of some tags that are for others."""
        if self.operator:
            return set()
        return for_others(connection, (one.did for one in self.serving(connection, scope)), self.actor, tags)

    def touches(self, connection: Connection, scope: int, tags: Collection[str]) -> None:
        """Raise RefusedError where one of a subject's tags says that others decide about it."""
        for tag in sorted(self.protected(connection, scope, tags)):
            raise RefusedError("NotPermitted", f"The tag {tag!r} protects this subject: it is for others to decide.")
