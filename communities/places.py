"""Settings of single communities, settled among those above them when they are first asked for.

Nobody settles a hundred thousand communities because one of them has changed: what is kept here is forgotten then, and
only what is asked for is read again.
"""

from collections.abc import Callable

from communities.directory import Settings
from communities.relatives import Kin, Relatives

KEPT_MICROS = 10_000_000
"""How long settings are kept, unless they are forgotten before: admins come, go, and end by the clock."""
_MOST_KEPT = 20_000


def _everyone(_: int) -> bool:
    return True


class KeptPlaces:
    """Reads by way of `relatives`. `shown`: whether a community, by its number, is one yet; `clock`: microseconds."""

    def __init__(
        self, relatives: Relatives, clock: Callable[[], int], shown: Callable[[int], bool] = _everyone
    ) -> None:
        self.relatives = relatives
        self._clock = clock
        self._shown = shown
        self._kept: dict[int, tuple[int, Settings]] = {}
        self._faults: dict[int, str] = {}

    def forget(self) -> None:
        """Communities, or what is known of them, are others now: read them again."""
        self._kept.clear()
        self._faults.clear()

    def get(self, community: int) -> Settings | None:
        """The community with this number."""
        if not self._shown(community):
            return None
        kept = self._kept.get(community)
        if kept is not None and 0 <= self._clock() - kept[0] < KEPT_MICROS:
            return kept[1]
        kin = self.relatives.get(community)
        return self._settle(kin) if kin else None

    def find(self, name: str) -> Settings | None:
        """The community with this slug, or whose record has this at-uri."""
        kin = self.relatives.find(name)
        return self.get(kin.id) if kin else None

    def of_account(self, did: str) -> list[Settings]:
        """The communities of which this is the account."""
        return [found for kin in self.relatives.of_account(did) if (found := self.get(kin.id))]

    def fault(self, community: int) -> str | None:
        """Why the parent that a community names does not count, by a name of `directory.settle`; None if it does."""
        kin = self.relatives.get(community)
        if kin is None or self.get(community) is None:
            return None
        fault = self._faults.get(community)
        if fault == "UnknownParent" and self.relatives.find(kin.community.parent or "") is not None:
            return "TooDeep"  # nobody has walked up so far
        return fault

    def _settle(self, kin: Kin) -> Settings:
        now = self._clock()
        if len(self._kept) > _MOST_KEPT:
            self.forget()
        found = self.relatives.above(kin, now)
        for settings in found.by_id.values():
            self._kept[settings.id] = now, settings
            self._faults.pop(settings.id, None)
        self._faults |= found.faults
        return found.by_id[kin.id]
