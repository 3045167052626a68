"""The in-process ingest with members whose repositories are followed, and what tests ask of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.ingest_site import RULES, Site
from tests.world import Account
from tests.world.keys import make_did

MEMBERS = ("alice", "bob")


class TrustSite(Site):
    """A Site that verifies; `alice` and `bob` are members of the community "club", which has only members."""

    def __init__(self, folder: Path, *, seed: int = 1, verify: str = "members", **options: Any) -> None:
        dids = ", ".join(f'"{make_did(f"{seed} {name}")}"' for name in MEMBERS)
        club = f'\n[[community]]\nslug = "club"\nname = "Club"\ninclude.members = [{dids}]\n'
        super().__init__(folder, RULES + club, seed=seed, verify=verify, **options)

    async def __aenter__(self) -> Self:
        return await super().__aenter__()

    def state(self, account: Account) -> str | None:
        """The state of the account's repository; None when it has no row."""
        rows = self.rows("SELECT r.state FROM repo r JOIN actor a ON a.id = r.actor WHERE a.did = ?", account.did)
        return rows[0][0] if rows else None

    async def synced(self, *accounts: Account) -> None:
        """Everything sent was applied, and the repositories of these are followed as they are now."""
        await self.caught_up()
        for account in accounts:
            await self.until(f"{account.name} synced", self._is_synced(account))

    def _is_synced(self, account: Account) -> Callable[[], bool]:
        query = "SELECT r.state, a.rev FROM repo r JOIN actor a ON a.id = r.actor WHERE a.did = ?"
        return lambda: self.rows(query, account.did) == [("synced", account.repo.rev)]

    def count(self, what: str) -> int:
        """One of the counters of the index, of resync or of the sweep."""
        return self.ingest.index.counts[what] + self.resync.counts[what] + self.sweep.counts[what]
