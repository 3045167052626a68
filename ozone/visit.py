"""One call of a method of the moderation API: who calls, whom, when. Each method is a plain function of it, inside one
transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from communities.access import Site
from communities.forwards import NOBODY, Allowed
from communities.places import KeptPlaces
from labeler.vocabulary import Declared
from models.database import Connection
from models.report_cases import CaseRow
from models.scopes import Scopes
from ozone.queue_stats import QueueStats
from ozone.roles import Caller, Role
from xrpc.errors import AuthenticationRequired
from xrpc.params import Params

NSID = "tools.ozone."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Visit:
    """`labeler`: the number of the labeler that is called, `did`: its account, `declared`: what it declares. `role`:
    the caller's highest; `scopes`: whose matters they look into. `now`: microseconds. `site`: whom the settings of the
    service name; `key`: of cursors; `appview_url`: where posts and accounts are looked at; `resolvable`: whether an
    account is of a kind that can sign in; `places`: the communities; `queue_stats`: how much is in queues; `forwards`:
    to which other labelers may be forwarded.
    """

    connection: Connection
    labeler: int
    did: str
    declared: Declared
    caller: Caller
    role: Role
    scopes: Scopes
    now: int
    site: Mapping[str, Site]
    key: bytes
    appview_url: str
    resolvable: Callable[[str], bool]
    places: KeptPlaces
    queue_stats: QueueStats
    forwards: Allowed = NOBODY

    @property
    def stands(self) -> Mapping[str, Site]:
        """Who is what for the whole site, as far as communities go by it: the settings, and the caller as an admin of
        the team of a labeler that serves them.
        """
        if self.caller.administers and self.site.get(self.caller.did) is not Site.ADMIN:
            return {**self.site, self.caller.did: Site.ADMIN}
        return self.site

    @property
    def overrules(self) -> Mapping[str, Site]:
        """The same where something is taken down or given back: that moderators of the team may do as well, wherever
        the labeler serves.
        """
        return {**self.site, self.caller.did: Site.ADMIN} if self.caller.in_charge else self.stands

    def administer(self, what: str) -> None:
        """Raise AuthenticationRequired unless the caller is an admin of the team; `what` completes the sentence."""
        if not self.caller.administers:
            raise AuthenticationRequired(f"Must be an admin to {what}")

    def moderate(self, what: str) -> None:
        """Raise AuthenticationRequired unless the caller moderates by the team; `what` completes the sentence."""
        if not self.caller.in_charge:
            raise AuthenticationRequired(f"Must be a moderator of the team to {what}")

    def shares(self, what: str) -> bool:
        """Whether what moderators of the team share is shown; not to who moderates by a community alone. Raises
        AuthenticationRequired for lower roles; `what` completes the sentence.
        """
        if self.role < Role.MODERATOR:
            raise AuthenticationRequired(f"Must be a moderator to {what}")
        return self.caller.in_charge

    def works_on(self, case: CaseRow) -> bool:
        """Whether the caller may do something with a report: not who only verifies."""
        if case.scope not in self.scopes:
            return False
        role = self.caller.role_in(case.scope, case.about, (case.reason_type,))
        return role is not None and role >= Role.TRIAGE

    def work(self, what: str, case: CaseRow | None = None) -> None:
        """Raise AuthenticationRequired unless the caller may do something with a report, or (None) with any; `what`
        completes the sentence.
        """
        if self.role < Role.TRIAGE or (case is not None and not self.works_on(case)):
            raise AuthenticationRequired(f"Must be of triage, a moderator or an admin to {what}")

    def scope(self, *parts: object) -> str:
        """The name of a list of this labeler, for its cursors: all that selects and orders it."""
        return repr((self.did, *parts))


Answer = dict[str, Any]


class Query(NamedTuple):
    """A method that reads. `name`: what stands behind NSID; `answer` is called in a read transaction with the
    parameters that were given or have a default. `left_out`: what its lexicon wants and clients leave out, with
    something that would do.
    """

    name: str
    params: Params
    answer: Callable[[Visit, Mapping[str, Any]], Answer]
    left_out: Mapping[str, Any] = MappingProxyType({})


class Procedure(NamedTuple):
    """A method that changes something. `act` is called in an immediate transaction with the body, which fits the
    lexicon; whatever it raises undoes all that it did. It returns None where the lexicon has no answer.
    """

    name: str
    act: Callable[[Visit, Mapping[str, Any]], Answer | None]


def moment(micros: int) -> str:
    """A time as lexicons write it, with milliseconds as the reference server has them."""
    at = _EPOCH + timedelta(microseconds=micros)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
