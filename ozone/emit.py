"""tools.ozone.moderation.emitEvent: whatever moderators do to a subject, as one event or several, in one transaction.

An event belongs to the scope whose matter it is: a community, or the site. Which one that is:

- The community that `modTool.meta.community` names (its slug), or, of labels, with whose slug and a hyphen all values
  begin.
- For what takes down, gives back or labels, and is done by the team: the site. What waits in communities because of a
  subject that the team takes down is acknowledged there.
- For anything else, and for moderators of communities: every scope of theirs in which the subject is known already. If
  there is none: the site, or the communities of theirs to which the subject belongs.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from communities.deeds import Deed
from communities.mod_event import Kind
from labeler.permission import belongs
from models import mod_events, subject_statuses
from models.mod_events import SubjectKey, key_of
from ozone import views
from ozone.acts import Act, act
from ozone.event_input import read_deed, read_event, read_subject
from ozone.roles import Role
from ozone.visit import Answer, Procedure, Visit
from xrpc.errors import AuthenticationRequired, InvalidRequest, Refused

STRONG = frozenset((Kind.TAKEDOWN, Kind.REVERSE_TAKEDOWN, Kind.LABEL))
"""What is felt outside of this API."""
_MODERATORS = STRONG | {Kind.RESOLVE_APPEAL, Kind.EMAIL, Kind.ACCOUNT, Kind.IDENTITY, Kind.RECORD}
_GENERATOR = "app.bsky.feed.generator"


def emit_event(visit: Visit, body: Mapping[str, Any]) -> Answer:
    """Do what the event says. Raises AuthenticationRequired, InvalidRequest, Refused (DuplicateExternalId, and what the
    decision itself raises).
    """
    kind, said = read_event(body["event"])
    key, cid = read_subject(body["subject"])
    deed = read_deed(body, said, cid)
    needed = needs(kind, key)
    scopes = _scopes(visit, key, kind, said, deed, needed)
    _check_external(visit, key, kind, deed, scopes)
    ...
