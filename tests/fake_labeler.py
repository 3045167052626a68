"""A labeler of others over real HTTP and WebSocket, with real keys: it keeps a history, and sends what it is told."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Self

import coincurve
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer
from cbrrr import encode_dag_cbor

from labeler.label import Label, fields
from tests.didnet import DidNet, Signer

LABELS = {"op": 1, "t": "#labels"}
CTS = 1_780_000_000_000


class FakeLabeler:
    """One labeler. `frames`: what was sent so far, by `seq`; `cursors`: with which it was asked."""

    def __init__(self, did: str, net: DidNet) -> None:
        self.did = did
        self.net = net
        self.signer = Signer("ES256K")
        self.frames: dict[int, bytes] = {}
        self.raw: list[bytes | str] = []
        """Sent once to the next connection, before anything else."""
        self.cursors: list[str | None] = []
        self.seq = 0
        self._sockets: dict[web.WebSocketResponse, int] = {}
        self._woken = asyncio.Condition()
        app = web.Application()
        app.router.add_get("/xrpc/com.atproto.label.subscribeLabels", self._serve)
        self._server = TestServer(app, host="localhost")

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        self.publish()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drop()
        await self._server.close()

    def publish(self, signer: Signer | None = None, **changes: Any) -> None:
        """Let the DID document name the endpoint and the key."""
        self.net.answers[f"/{self.did}"] = {
            "id": self.did,
            "verificationMethod": [
                {
                    "id": f"{self.did}#atproto_label",
                    "type": "Multikey",
                    "controller": self.did,
                    "publicKeyMultibase": (signer or self.signer).multikey,
                }
            ],
            "service": [
                {
                    "id": "#atproto_labeler",
                    "type": "AtprotoLabeler",
                    "serviceEndpoint": f"http://localhost:{self._server.port}",
                }
            ],
        } | changes

    def label(
        self,
        uri: str,
        val: str,
        *,
        neg: bool = False,
        cid: str = "",
        cts: int = 0,
        exp: int | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
        signer: Signer | None = None,
    ) -> dict[str, Any]:
        """A signed label. `change`: what is done to it behind the signature."""
        self.seq += 1
        said = fields(Label(self.did, uri, cid, val, neg, cts or CTS + self.seq, exp))
        said["sig"] = (signer or self.signer).sign(encode_dag_cbor(said))
        if change:
            change(said)
        return said

    async def say(self, *labels: Mapping[str, Any]) -> None:
        """Publish a message of these labels."""
        self.seq += 1
        self.frames[self.seq] = encode_dag_cbor(LABELS) + encode_dag_cbor({"seq": self.seq, "labels": list(labels)})
        async with self._woken:
            self._woken.notify_all()

    async def drop(self) -> None:
        """End all connections, as when the server falls over."""
        for socket in [*self._sockets]:
            await socket.close(code=1011)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        cursor = request.query.get("cursor")
        self.cursors.append(cursor)
        raw, self.raw = self.raw, []
        for one in raw:
            await (socket.send_str(one) if isinstance(one, str) else socket.send_bytes(one))
        self._sockets[socket] = self.seq if cursor is None else int(cursor)
        sending = asyncio.create_task(self._send(socket))
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            self._sockets.pop(socket, None)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket

    async def _send(self, socket: web.WebSocketResponse) -> None:
        while True:
            for seq in sorted(self.frames):
                if seq > self._sockets[socket]:
                    await socket.send_bytes(self.frames[seq])
                    self._sockets[socket] = seq
            async with self._woken:
                await self._woken.wait()


def k256(number: int) -> coincurve.PrivateKey:
    """A key for each number."""
    return coincurve.PrivateKey(hashlib.sha256(str(number).encode()).digest())
