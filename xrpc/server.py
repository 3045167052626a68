"""XRPC over aiohttp: methods registered by NSID, one static route each, and a JSON answer to everything else.

Each route wraps its method once, at mount time; there is no middleware and no per-request look-up. A request
is judged in this order: verb, declared size, parameters, authorisation, body, then the method itself. Source:
atproto.com/specs/xrpc (HTTP mapping) and the reference server's error names.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from multidict import CIMultiDict

from xrpc.auth import Token
from xrpc.body import check_length, read_json
from xrpc.errors import InvalidRequest, MethodNotImplemented, NotFound, XrpcError, error_response
from xrpc.params import Params
from xrpc.syntax import is_nsid

DEFAULT_MAX_BODY = 64 * 1024

# Any web page may read what is public. Credentials are never allowed along (S64): no cookie means anything
# here, and a page that holds a token sends it itself.
CORS = {"Access-Control-Allow-Origin": "*"}
_PREFLIGHT = {
    **CORS,
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Headers": "authorization, accept-language, atproto-accept-labelers, "
    "atproto-proxy, x-bsky-topics",
    "Access-Control-Max-Age": "86400",
}
_JSON = CIMultiDict({"Content-Type": "application/json"})
_PUBLIC_JSON = CIMultiDict({"Content-Type": "application/json", **CORS})


@dataclass(slots=True)
class Call:
    """One call of a method.

    `body` is the parsed JSON object of a procedure and `token` what its `authorize` returned; both stay empty
    for a query, whose method authenticates itself when its answer depends on the viewer.
    """

    request: web.Request
    nsid: str
    params: Mapping[str, Any]
    body: Mapping[str, Any] = field(default_factory=dict)
    token: Token | None = None


# A mapping is rendered as JSON, bytes are JSON already, a response is sent untouched.
Answer = Mapping[str, Any] | bytes | web.StreamResponse
Method = Callable[[Call], Awaitable[Answer]]
_Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Query:
    """A method called with GET; anybody may read it from a web page."""

    nsid: str
    params: Params
    handler: Method


@dataclass(frozen=True, slots=True)
class Procedure:
    """A method called with POST and a JSON object.

    The body may have `max_body` bytes and take `body_timeout` seconds. `authorize` runs before the body is
    read, so that a stranger's body is never parsed (S44).
    """

    nsid: str
    params: Params
    handler: Method
    max_body: int = DEFAULT_MAX_BODY
    body_timeout: float = 15.0
    authorize: Callable[[Call], Awaitable[Token | None]] | None = None


ROUTES = web.AppKey("xrpc_routes", dict[str, Any])
"""Path -> route of every method. `xrpc.listener` goes by it, since aiohttp's router costs as much as an answer."""


def mount(app: web.Application, methods: Sequence[Query | Procedure]) -> None:
    """Add a route for each method, the `/xrpc/` catch-all and a JSON 404 for the rest of the site.

    Routes that the caller adds with a fixed path, such as `/.well-known/did.json`, stay reachable. Raises
    ValueError for a malformed or doubled NSID and for a second mount.
    """
    nsids = [method.nsid for method in methods]
    doubled = sorted({nsid for nsid in nsids if nsids.count(nsid) > 1})
    if doubled:
        raise ValueError(f"registered twice: {', '.join(doubled)}")
    malformed = [nsid for nsid in nsids if not is_nsid(nsid) and nsid != "_health"]
    if malformed:
        raise ValueError(f"not an NSID: {', '.join(malformed)}")
    if ROUTES in app:
        raise ValueError("XRPC methods are mounted already")
    routes = {
        f"/xrpc/{method.nsid}": _query(method) if isinstance(method, Query) else _procedure(method)
        for method in methods
    }
    app[ROUTES] = routes
    for path, route in routes.items():
        app.router.add_route("*", path, route)
    app.router.add_route("*", "/xrpc/{nsid:.*}", _unknown_method)
    app.router.add_route("*", "/{path:.*}", _not_found)


def _response(answer: Answer, headers: CIMultiDict[str]) -> web.StreamResponse:
    if isinstance(answer, bytes):
        return web.Response(body=answer, headers=headers)
    if isinstance(answer, web.StreamResponse):
        return answer
    return web.Response(body=orjson.dumps(answer), headers=headers)


def _wrong_verb() -> InvalidRequest:
    return InvalidRequest("Incorrect HTTP method")


def _query(method: Query) -> _Route:
    nsid, parse, handler = method.nsid, method.params.parse, method.handler

    async def route(request: web.Request) -> web.StreamResponse:
        try:
            if request.method != "GET":
                if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                    return web.Response(status=204, headers=_PREFLIGHT)
                raise _wrong_verb()
            params = parse(request.rel_url.raw_query_string)
            return _response(await handler(Call(request, nsid, params)), _PUBLIC_JSON)
        except Exception as fault:
            return error_response(fault, CORS)

    return route


def _procedure(method: Procedure) -> _Route:
    async def route(request: web.Request) -> web.StreamResponse:
        try:
            if request.method != "POST":
                raise _wrong_verb()
            check_length(request, method.max_body)
            call = Call(request, method.nsid, method.params.parse(request.rel_url.raw_query_string))
            if method.authorize is not None:
                call.token = await method.authorize(call)
            call.body = await read_json(request, method.max_body, method.body_timeout)
            return _response(await method.handler(call), _JSON)
        except Exception as fault:
            return error_response(fault)

    return route


async def _unknown_method(request: web.Request) -> web.Response:
    # The path as it was sent: `..%2f` must not turn into a path on the way to this check (S46).
    nsid = request.rel_url.raw_path.removeprefix("/xrpc/")
    fault: XrpcError = MethodNotImplemented() if is_nsid(nsid) else InvalidRequest("Malformed method name")
    return error_response(fault, CORS)


async def _not_found(_: web.Request) -> web.Response:
    return error_response(NotFound(), CORS)
