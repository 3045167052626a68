"""The PLC directory: DID documents over HTTP."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web


class Plc:
    """Answers `GET /{did}` and `GET /{did}/data`. `calls` counts documents per DID; `failing`, when set, is the status
    of every answer.
    """

    def __init__(
        self,
        document: Callable[[str], dict[str, Any] | None],
        fired: Counter[str],
        data: Callable[[str], dict[str, Any] | None] = lambda did: None,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.failing: int | None = None
        self.overrides: dict[str, Any] = {}
        self._document = document
        self._data = data
        self._fired = fired

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_get("/_health", self._health)
        app.router.add_get("/{did}", self._resolve)
        app.router.add_get("/{did}/data", self._state)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0"})

    async def _resolve(self, request: web.Request) -> web.Response:
        did = request.match_info["did"]
        self.calls[did] += 1
        if self.failing is not None:
            self._fired[f"{self.failing} of the directory"] += 1
            return web.json_response({"message": "simulated failure"}, status=self.failing)
        document = self.overrides.get(did, self._document(did))
        if document is None:
            return web.json_response({"message": f"DID not registered: {did}"}, status=404)
        return web.json_response(document, content_type="application/did+ld+json")

    async def _state(self, request: web.Request) -> web.Response:
        if self.failing is not None:
            return web.json_response({"message": "simulated failure"}, status=self.failing)
        state = self._data(request.match_info["did"])
        if state is None:
            return web.json_response({"message": "DID not registered"}, status=404)
        return web.json_response(state)
