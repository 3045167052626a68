"""A Tap server that retells the relay's history, each message until it is acknowledged.

Messages of an account go out one after another, the next when the last was acknowledged; those of different accounts
side by side. What is not acknowledged comes again: after `timeout` seconds, and to whoever connects.
"""

import asyncio
import base64
import json
from collections import defaultdict, deque
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.world.account import Account, Record
from tests.world.listener import Listener
from tests.world.relay import Entry, Relay
from tests.world.retelling import Told, holdings, retell


class Tap(Listener):
    """See the module. `acked` are the ids that were acknowledged, in that order; `sent` every id that went out."""

    def __init__(self, relay: Relay, *, password: str = "", timeout: float = 60.0) -> None:
        self.password = password
        self.timeout = timeout
        self.acked: list[int] = []
        self.sent: list[int] = []
        self.connections = 0
        self.refused = 0
        self.asked: list[str] = []
        """The paths of all requests."""
        self.bad: list[Any] = []
        """What clients sent that is no acknowledgement of something that was sent."""
        self.deaf = False
        """Whether acknowledgements are lost on the way."""
        self._next = 1
        self._messages: dict[int, str] = {}
        self._queues: defaultdict[str, deque[int]] = defaultdict(deque)
        self._due: dict[int, float] = {}
        self._status: dict[str, str] = {}
        super().__init__(relay)

    @property
    def waiting(self) -> int:
        """How many messages are not acknowledged."""
        return len(self._messages)

    def url(self, user: str = "") -> str:
        """As a setting names it."""
        return f"tap+ws://{user + '@' if user else ''}{self.host}"

    def _absorb(self, entry: Entry) -> None:
        for told in retell(entry):
            if told.kind == "account":
                self._status[told.did] = "active" if told.body["active"] else told.body.get("status", "inactive")
            message = _message(told, self._status.get(told.did, "active"))
            if message is not None:
                self._add(told.did, message)

    def _add(self, did: str, message: dict[str, Any]) -> None:
        id = self._next
        self._next += 1
        self._messages[id] = json.dumps({"id": id, **message}, ensure_ascii=False)
        self._queues[did].append(id)
        self._wake()

    def resync(self, account: Account, *records: Record) -> None:
        """Tell what a repository holds, as after having read it: no deletions, and of what was told before, nothing.

        `records`: what was not.
        """
        for told in holdings(account, *records):
            if told.kind == "commit":
                message = _message(told, "")
                assert message is not None
                message["record"]["live"] = False
                self._add(account.did, message)

    def inject(self, raw: str | dict[str, Any]) -> None:
        """Send any text, or a message that lacks its id only."""
        if isinstance(raw, dict):
            self._add(f"injected {self._next}", raw)
        else:
            self._messages[-self._next] = raw
            self._queues[f"injected {self._next}"].append(-self._next)
            self._next += 1
            self._wake()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.asked.append(request.path)
        if request.path != "/channel":
            return connection.respond(404, "no such path\n")
        wanted = "Basic " + base64.b64encode(f"admin:{self.password}".encode()).decode()
        if self.password and request.headers.get("Authorization") != wanted:
            self.refused += 1
            self._wake()
            return connection.respond(401, "who are you\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        self._due.clear()  # whoever connects gets all that is open
        self._wake()
        sender = asyncio.ensure_future(self._send(connection))
        try:
            async for text in connection:
                self._acknowledge(text)
        except ConnectionClosed:
            pass
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _acknowledge(self, text: Any) -> None:
        message = json.loads(text)
        if message.get("type") != "ack" or message.get("id") not in self.sent:
            self.bad.append(message)
            return
        if self.deaf:
            return
        id = message["id"]
        self.acked.append(id)
        self._messages.pop(id, None)
        for queue in self._queues.values():
            if queue and queue[0] == id:
                queue.popleft()
        self._wake()

    async def _send(self, connection: ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                changed = self._changed
                for queue in list(self._queues.values()):
                    if queue and self._due.get(queue[0], 0.0) <= loop.time():
                        id = queue[0]
                        self._due[id] = loop.time() + self.timeout
                        self.sent.append(id)
                        await connection.send(self._messages[id])
                        if id < 0:  # it has no id, and nobody can acknowledge it
                            queue.popleft()
                            del self._messages[id]
                soonest = min(
                    (self._due.get(q[0], 0.0) for q in self._queues.values() if q), default=loop.time() + 3600
                )
                try:
                    await asyncio.wait_for(changed.wait(), max(0.001, soonest - loop.time()))
                except TimeoutError:
                    continue
        except ConnectionClosed:
            return


def _message(told: Told, status: str) -> dict[str, Any] | None:
    if told.kind == "commit":
        record = {key: value for key, value in told.body.items() if key != "operation"}
        return {"type": "record", "record": {"live": True, "did": told.did, "action": told.body["operation"], **record}}
    if told.kind in ("identity", "account"):
        identity = {"did": told.did, "handle": "handle.test", "is_active": status == "active", "status": status}
        return {"type": "identity", "identity": identity}
    return None
