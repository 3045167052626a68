"""Which reports are taken: all that the network knows, or those that a labeler's own record declares. Pure.

Source: the fields `reasonTypes`, `subjectTypes` and `subjectCollections` of app.bsky.labeler.service.
"""

from collections.abc import Collection
from typing import Protocol

from communities.reasons import APPEALS, LEGACY, OZONE, PARENTS, REASONS

ACCOUNT, RECORD, CHAT = "account", "record", "chat"


class Labeler(Protocol):
    """A labeler as far as reports that are sent to it go by it. What is None was not said."""

    @property
    def did(self) -> str:
        """Its account."""

    @property
    def communities(self) -> frozenset[str]:
        """The slugs of those that it serves; empty: every one."""

    @property
    def reason_types(self) -> frozenset[str] | None:
        """Why things may be reported to it."""

    @property
    def subject_types(self) -> frozenset[str] | None:
        """What may be: ACCOUNT, RECORD, CHAT."""

    @property
    def subject_collections(self) -> frozenset[str] | None:
        """Of what kind records must be (NSIDs)."""


def fault(labeler: Labeler | None, reason_type: str, kind: str, collection: str = "") -> str | None:
    """Why such a report is not taken, for people; None: it is. `labeler`: to which it is sent; None: to the service
    itself. `kind`: of its subject; `collection`: of a record.
    """
    reasons = labeler.reason_types if labeler else None
    kinds = labeler.subject_types if labeler else None
    collections = labeler.subject_collections if labeler else None
    if reasons is None:
        if reason_type not in REASONS | APPEALS:
            return (
                f"reasonType is none that is taken here: take one of {LEGACY}... or {OZONE}..., such as {LEGACY}Other"
            )
    elif not reasons:
        return "this labeler takes no reports"
    elif reason_type not in reasons and PARENTS.get(reason_type) not in reasons:
        return f"this labeler takes reports for these reasons only: {_list(reasons)}"
    if kinds is None and kind == CHAT:
        return "no reports about conversations are taken here, but about accounts and records"
    if kinds is not None and kind not in kinds:
        return f"this labeler takes no reports about subjects of the type {kind}, but: {_list(kinds)}"
    if kind == RECORD and collections is not None and collection not in collections:
        return f"this labeler takes no reports about records of {collection}, but: {_list(collections)}"
    return None


def _list(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"
