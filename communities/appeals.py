"""Appeals: what the author of something says against what was decided about it.

An appeal is a report with the reason `reasonAppeal`. It reaches those whose decision it is: the communities that have
removed the post, or banned the account; the site that has taken the account down; the labeler that has labelled either.
Beside it is kept which decision that was, so that somebody else can be asked to decide again. About whatever nobody has
decided, it goes where a report would go.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from communities.refs import read_post_uri
from models import appeals
from models.appeals import Against
from models.database import Connection
from models.mod_events import SubjectKey
from models.reports import SITE, Said

DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Course:
    """How appeals go. `within`: microseconds in which somebody should decide; `audience`: the service to which authors
    send them (a DID with the entry of its document).
    """

    within: int = 7 * DAY
    audience: str = ""

    def due_at(self, at: int) -> int:
        """Until when an appeal that was made at `at` should be decided."""
        return at + self.within


def is_author(said: Said) -> bool:
    """Whether it is the reporter's own account or record that is meant."""
    return said.did == said.reporter


def waits_for_account(connection: Connection, said: Said) -> bool:
    """Whether the reporter has an appeal about the account itself that nobody has decided about: then no further one is
    taken, about whatever it is. One about another record is no reason.
    """
    return appeals.is_open(connection, said.reporter, "", said.labeler)


def decided(connection: Connection, said: Said, now: int) -> list[Against]:
    """What was decided about the subject, and is in force. `now`: microseconds."""
    found: list[Against] = []
    if said.uri:
        ref = read_post_uri(said.uri)
        if ref is not None:
            found += appeals.removals(connection, *ref) + appeals.hiding_bans(connection, *ref, now)
    elif not said.convo:
        found += appeals.bans(connection, said.did, now)
        if is_taken_down(connection, said.did):
            found.append(Against(SITE))
    if said.labeler:
        found += appeals.labellings(connection, said.labeler, said.uri or said.did)
    return found


def is_taken_down(connection: Connection, did: str) -> bool:
    """Whether this site has taken an account down, whatever its host says."""
    row = connection.execute("SELECT allowed FROM actor WHERE did = ?", (did,)).fetchone()
    return row is not None and not row[0]


def keep(connection: Connection, report: int, said: Said, against: Iterable[Against], now: int) -> None:
    """Let an appeal wait for those against whose decisions it is. Call inside a write. `now`: microseconds."""
    merged: dict[int, Against] = {}
    for one in against:
        same = merged.get(one.community, one)
        decision, event = max(same.decision, one.decision), max(same.label_event, one.label_event)
        merged[one.community] = Against(one.community, decision, event)
    for one in merged.values():
        appeals.put(connection, report, said.did, said.uri, said.labeler, one, now)


def sent_to(scope: int, labeler: str) -> str | None:
    """To whom the appeals were sent that wait in a scope: a community hears them wherever they were sent (None), the
    service those to itself (empty), and the labeler with this DID its own.
    """
    return None if scope > 0 else "" if scope == SITE else labeler


def resolve(connection: Connection, scope: int, key: SubjectKey, labeler: str, now: int) -> None:
    """Let the open appeals about a subject be decided in one scope: granted where nothing of what they are against is
    in force any more. Call inside a write. `labeler`: the DID of that which a scope below 0 is; `now`: milliseconds.
    """
    uri = key.uri if key.path else ""
    for one in appeals.waiting(connection, key.did, uri, max(scope, 0), sent_to(scope, labeler)):
        state = "denied" if appeals.stands(connection, key.did, uri, one.against, now) else "granted"
        appeals.settle(connection, one.id, state, now * 1000)
