"""Whose matters somebody looks into, as a condition of queries. Pure.

A scope is the number of a community, 0 for the service itself, or below 0 the number of a labeler (`mod_event`).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scopes:
    """`listed`: scopes one by one; `communities`: besides those, all that are communities."""

    listed: frozenset[int]
    communities: bool = False

    @property
    def few(self) -> tuple[int, ...] | None:
        """The scopes, where they can be counted; None: there is no end of them."""
        return None if self.communities else tuple(sorted(self.listed))

    def __contains__(self, scope: int) -> bool:
        return scope in self.listed or (self.communities and scope > 0)

    def among(self, scopes: Iterable[int]) -> list[int]:
        """Those of them that are looked into."""
        return [scope for scope in scopes if scope in self]

    def where(self, column: str) -> tuple[str, tuple[str, ...]]:
        """A condition on a column that is a scope, and its bindings."""
        listed = json.dumps(sorted(self.listed))
        condition = f"{column} IN (SELECT value FROM json_each(?))"
        return (f"({column} > 0 OR {condition})" if self.communities else condition), (listed,)
