"""What a moderator's role is limited to besides its scope: the values of labels, the collections of records, the
reasons of reports that are theirs to work on. Pure.

Each is None where the role is not limited in it, and empty where it grants nothing. What is not known here grants
nothing either, for it equals nothing that is ever asked. Source: social.communities.role.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xrpc.syntax import is_nsid

ACCOUNT = "account"
"""Stands for accounts among collections."""
PARTS = ("labels", "collections", "reasons")
"""The names of limits, as records, calls and views have them."""
Names = frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Limits:
    """`labels`: values that may be issued and negated; `collections`: of records that are worked on, ACCOUNT for
    accounts; `reasons`: types of reports that are worked on, whole NSIDs.
    """

    labels: Names = None
    collections: Names = None
    reasons: Names = None

    def labelled(self, values: Iterable[str]) -> list[str]:
        """Those of some values that may not be issued or negated."""
        return [val for val in values if self.labels is not None and val not in self.labels]

    def covers(self, collection: str | None = None, reasons: Iterable[str] = ()) -> bool:
        """Whether what is of a collection (None: whichever) is worked on, and reports for all of these reasons."""
        if collection is not None and self.collections is not None and collection not in self.collections:
            return False
        return self.reasons is None or all(reason in self.reasons for reason in reasons)

    @property
    def cuts(self) -> bool:
        """Whether not all that is there is worked on."""
        return self.collections is not None or self.reasons is not None

    def within(self, other: "Limits") -> bool:
        """Whether nothing is granted here that the other does not grant."""
        pairs = ((self.labels, other.labels), (self.collections, other.collections), (self.reasons, other.reasons))
        return all(wide is None or (narrow is not None and narrow <= wide) for narrow, wide in pairs)

    def said(self) -> dict[str, list[str]]:
        """The limits that there are, as records, calls and views have them."""
        parts = zip(PARTS, (self.labels, self.collections, self.reasons), strict=True)
        return {name: sorted(names) for name, names in parts if names is not None}


UNLIMITED = Limits()


def limits_of(said: Mapping[str, Any]) -> Limits:
    """The limits that a record or a call names. What is no collection is none, nor is nothing a reason."""
    labels, collections, reasons = (frozenset(filter(None, said[name])) if name in said else None for name in PARTS)
    if collections is not None:
        collections = frozenset(name for name in collections if name == ACCOUNT or is_nsid(name))
    return Limits(labels, collections, reasons)


def limits_text(limits: Limits) -> str:
    """Limits as they are to be stored."""
    return json.dumps(limits.said(), separators=(",", ":"))


def read_limits(text: str) -> Limits:
    """Limits as they are stored."""
    return UNLIMITED if text == "{}" else limits_of(json.loads(text))
