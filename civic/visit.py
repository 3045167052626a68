"""One call of a method: who calls, when, and what they find. Each method is a plain function of it, inside one
transaction, so that roles are those of the moment in which they are used.

    def get_viewer(visit, params):
        settings = visit.find(params["community"])
        ...
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from civic.town import Town
from communities.access import Site, Standing, Status, discoverable
from communities.appeals import Course
from communities.community import Community
from communities.directory import Settings, owners_above
from communities.members import find_actor, memberships, standing_by
from communities.membership import Membership
from communities.reports import Intake
from communities.taken import Labeler
from models import communities as community_rows
from models.database import Connection
from xrpc.errors import AuthMissing, Refused
from xrpc.params import Params

NSID = "social.communities."


def nsid(name: str) -> str:
    """The whole name of a method: one of ours is called by what stands behind NSID."""
    return name if "." in name else NSID + name


@dataclass(frozen=True, slots=True)
class Visit:
    """`caller`: a DID, None for somebody unknown. `now`: microseconds. `site`: who has a role for the whole site.
    `publisher`: in whose repository feeds stand; `key`: of cursors; `keep`: how long posts are kept, microseconds.
    `labeler`: to which the call was sent, if it was to one; `host`: the domain of the caller's PDS, empty if it is not
    known; `intake`: how reports are taken; `course`: how appeals go; `labelers`: those that this service is.
    """

    connection: Connection
    town: Town
    caller: str | None
    now: int
    site: Mapping[str, Site]
    publisher: str
    key: bytes
    keep: int
    labeler: Labeler | None = None
    host: str = ""
    intake: Intake = Intake()
    course: Course = Course()
    labelers: Sequence[Labeler] = ()

    def signed(self) -> str:
        """The caller's DID. Raises AuthMissing when nobody is known to call."""
        if self.caller is None:
            raise AuthMissing("This call is for people who sign in: send it through your PDS.")
        return self.caller

    def find(self, name: str, *, banned: bool = False) -> Settings:
        """The community with this slug or at-uri, if the caller may know of it. `banned`: who is banned may, too.

        Raises Refused (CommunityNotFound), as for one that is not there (S136).
        """
        settings = self.town.places.find(name)
        if settings is not None:
            who = self.standing(settings)
            if discoverable(settings.kind, who) or (banned and who.status is Status.BANNED):
                return settings
        raise Refused("CommunityNotFound", "There is no such community here.")

    def standing(self, settings: Settings, did: str | None = None) -> Standing:
        """How somebody stands to a community now: the account `did`, or else the caller."""
        did = did or self.caller
        if did is None:
            return Standing()
        return self.standing_by(settings, did, memberships(self.connection, find_actor(self.connection, did)))

    def standing_by(self, settings: Settings, did: str, of: Mapping[int, Membership]) -> Standing:
        """The same where the memberships of the account are known already."""
        return standing_by(
            settings, did, of, owners_above(self.town.places, settings), self.now, self.site.get(did, Site.NOBODY)
        )

    def declaration(self, settings: Settings) -> Community:
        """All that a community declares."""
        return Community.from_json(community_rows.rule(self.connection, settings.id))


Answer = dict[str, Any]


class Query(NamedTuple):
    """A method that reads. `name`: see `nsid`; `answer` is called in a read transaction with the parameters that were
    given or have a default.
    """

    name: str
    params: Params
    answer: Callable[[Visit, Mapping[str, Any]], Answer]


class Procedure(NamedTuple):
    """A method that changes something, for callers who are known. `act` is called in an immediate transaction with the
    body, which fits the lexicon; whatever it raises undoes all that it did. `labelers`: it may also be sent to a
    labeler; `inactive`: accounts that are not active or taken down may call it, and it says itself what they may.
    """

    name: str
    act: Callable[[Visit, Mapping[str, Any]], Answer]
    labelers: bool = False
    inactive: bool = False
