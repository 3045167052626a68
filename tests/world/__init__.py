"""A simulated AT Protocol network on the loopback, for tests and the demonstration.

    async with World(seed=1) as world:
        alice = world.account("alice")
        post = alice.post("Hello, #python")
        await world.relay.delivered(post.seq)

Everything in it is the real thing on a small scale: keys of both curves, DID documents, signed commits over
Merkle search trees, CARs, frames, a PLC directory, a PDS and a relay. It shares no code with the service. The
same seed and the same clock give the same bytes. Faults are scripted: `world.relay.faults`,
`world.plc.failing`, `world.pds.failing`; `world.fired` counts how often each has really happened.
"""

from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any

from aiohttp import web

from tests.world.account import Account, Record
from tests.world.clock import Clock, wall
from tests.world.keys import Curve
from tests.world.pds import Pds
from tests.world.plc import Plc
from tests.world.relay import Relay
from tests.world.repo import Write

__all__ = ["Account", "Record", "World", "Write"]


class World:
    """The network. Accounts may be made and may write before the servers run and after they have stopped.

    `now` gives microseconds since 1970.
    """

    def __init__(self, seed: int = 1, now: Callable[[], int] = wall) -> None:
        self.seed = seed
        self.clock = Clock(now)
        self.accounts: dict[str, Account] = {}
        self.fired: Counter[str] = Counter()
        self.tombstones = True
        """Whether the directory has no document for an account that was deleted; hosts leave that open."""
        self.relay = Relay(self.clock, self.fired)
        self.plc = Plc(self._document, self.fired, self._plc_data)
        self.pds = Pds(self.accounts, self.clock, seed, self.fired)
        self.second = Pds(self.accounts, self.clock, seed, self.fired, first=False)
        self.plc_url = ""
        self.pds_url = ""
        self._handles: dict[str, str] = {}
        self._runners: list[web.AppRunner] = []

    @property
    def relay_url(self) -> str:
        """`ws://127.0.0.1:PORT`."""
        return self.relay.url

    def account(self, name: str, curve: Curve = "k256", *, quiet: bool = False) -> Account:
        """A new account `name`.test; `quiet` keeps its arrival off the stream."""
        account = Account(name, f"{self.seed} {name}", curve, clock=self.clock, relay=self.relay, handles=self._handles)
        if account.did in self.accounts:
            raise ValueError(f"there is an account {name} already")
        account.pds_url = self.pds_url
        self.accounts[account.did] = account
        self._handles[account.handle] = account.did
        if quiet:
            account.commit()
        else:
            account.arrive()
        return account

    def migrate(self, account: Account) -> int:
        """Move an account to the other PDS; see Account.move. The network must run."""
        return account.move(self.pds.url if account.pds_url == self.second.url else self.second.url)

    def emit(self, frame: bytes, *, retained: bool = True, fault: str = "") -> int:
        """Send any bytes to the subscribers; see Relay.emit."""
        return self.relay.emit(frame, retained=retained, fault=fault)

    def _document(self, did: str) -> dict[str, Any] | None:
        account = self.accounts.get(did)
        gone = account is None or (account.status == "deleted" and self.tombstones)
        return None if gone or account is None else account.document

    def _plc_data(self, did: str) -> dict[str, Any] | None:
        return self.accounts[did].plc_data if self._document(did) else None

    async def __aenter__(self) -> "World":
        self.plc_url = await self._listen(self.plc.app())
        self.pds_url = self.pds.url = await self._listen(self.pds.app())
        self.second.url = await self._listen(self.second.app())
        for account in self.accounts.values():
            account.pds_url = account.pds_url or self.pds_url
        await self.relay.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.relay.stop()
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, app: web.Application) -> str:
        runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"
