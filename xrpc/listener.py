"""A listening socket for an aiohttp application, safe to show to the internet (S6, S61-S63).

What aiohttp answers by itself, in plain text, becomes JSON here: requests that its parser refuses, paths that
no route can match, an unknown `Expect`. Connections that do not deliver a whole request head in time are
closed.
"""

import asyncio
import logging
from dataclasses import dataclass

from aiohttp import web

from xrpc.errors import InvalidRequest, NotFound, XrpcError, error_response
from xrpc.server import ROUTES

HEAD_TIMEOUT = 15.0
SHUTDOWN_TIMEOUT = 10.0
MAX_LINE = 16_384
"""Of a request, so of its path and query; each method has its own limit (`xrpc.params`)."""
MAX_FIELD = 8190
MAX_HEADERS = 64

_log = logging.getLogger(__name__)


class _Connection(web.RequestHandler):
    """One connection, which answers its own faults in JSON."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused (400) or what a route let through (500)."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, an error cannot be sent any more")
        fault = InvalidRequest("Malformed HTTP request") if status == 400 else exc or XrpcError()
        response = error_response(fault)
        response.force_close()
        return response


@dataclass(frozen=True, slots=True)
class Listener:
    """A running server. `port` is the real one, also when 0 was asked for."""

    host: str
    port: int
    _server: asyncio.Server
    _runner: web.AppRunner

    async def close(self) -> None:
        """Stop accepting, let running requests end until the deadline, cut off the rest, clean the app up."""
        self._server.close()
        await self._runner.cleanup()


async def listen(
    app: web.Application,
    host: str,
    port: int,
    *,
    head_timeout: float = HEAD_TIMEOUT,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    reuse_port: bool = False,
) -> Listener:
    """Start `app` on `host:port` (0: a free port). Times are in seconds.

    `head_timeout` bounds the arrival of a request head, the first on a connection and every next one, so it
    is the keep-alive time as well. `shutdown_timeout` is how long `close` waits for running requests, and
    once more for them to notice. Raises OSError when the address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_timeout)
    await runner.setup()
    web_server = runner.server
    if web_server is None:  # pragma: no cover - setup() has made it
        raise RuntimeError("the runner has no server")
    route = web_server.request_handler
    routes = app.get(ROUTES, {})

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            # A request that asks to leave HTTP and still sends a body is read differently by different
            # servers on the way (S63).
            if "Upgrade" in request.headers and request.can_read_body:
                refusal = error_response(InvalidRequest("Malformed HTTP request"))
                refusal.force_close()
                return refusal
            if request.method == "GET" and "Expect" not in request.headers:
                direct = routes.get(request.raw_path.partition("?")[0])
                if direct is not None:
                    answered: web.StreamResponse = await direct(request)
                    return answered
            return await route(request)
        except web.HTTPException as fault:
            return error_response(NotFound() if fault.status == 404 else InvalidRequest(fault.reason))

    web_server.request_handler = answer

    def connection() -> _Connection:
        return _Connection(
            web_server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # documented as "None disables it"
            keepalive_timeout=head_timeout,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_HEADERS,
            lingering_time=1.0,
            auto_decompress=False,
        )

    try:
        server = await loop.create_server(connection, host, port, backlog=1024, reuse_port=reuse_port or None)
    except BaseException:
        await runner.cleanup()
        raise
    bound = server.sockets[0].getsockname()[1]
    _log.debug("listening on %s port %d", host, bound)
    return Listener(host, bound, server, runner)
