"""Labels that somebody wants or a rule issues: as one event of moderation, in the transaction that issues them.

What is imported is no such event: somebody else has decided it, at another time.
"""

from typing import NamedTuple

from communities.casebook import Appended, append
from communities.deeds import Deed, subject_key
from communities.mod_event import Kind, ModEvent
from labeler.issue import Issued, Vocabulary, Wanted, issue
from models.database import Connection


class Said(NamedTuple):
    """What changed, and the event of moderation; None when nothing did."""

    issued: Issued
    event: Appended | None


def say(connection: Connection, vocabulary: Vocabulary, wanted: Wanted, now: int, deed: Deed | None = None) -> Said:
    """Do what is wanted of the labels of a subject. Call inside a write. `now`: milliseconds; `deed`: what else is
    said.

    Raises LabelRefusedError as `issue` does.
    """
    issued = issue(connection, vocabulary, wanted, now)
    if issued.event is None:
        return Said(issued, None)
    return Said(issued, tell(connection, wanted, issued, now, deed))


def tell(connection: Connection, wanted: Wanted, issued: Issued, now: int, deed: Deed | None = None) -> Appended:
    """Append the event of labels that came or went. Call inside a write. `now`: milliseconds."""
    said = {"createLabelVals": list(issued.added), "negateLabelVals": list(issued.removed)}
    deed = deed or Deed()
    event = ModEvent(
        Kind.LABEL,
        now * 1000,
        wanted.actor,
        wanted.role,
        comment=deed.comment or wanted.reason,
        said={**deed.said, **said, **({"policies": [wanted.rule]} if wanted.rule else {})},
        cid=wanted.cid or deed.cid,
        blobs=deed.blobs,
        tool=deed.tool,
        tool_meta=deed.tool_meta,
        batch=wanted.batch,
        external=deed.external,
        ends=None if wanted.exp is None or not issued.added else wanted.exp * 1000,
        label_event=issued.event,
        undoes=deed.undoes,
    )
    return append(connection, wanted.community or -wanted.labeler, subject_key(wanted.uri), event)
