"""The one guarded way out: every outbound call goes through a session made here (S107-S117).

Host names in outbound calls come from strangers (a did:web in a token, an endpoint in a DID document), so the
guard sits where it cannot be talked around: on the address, after resolution, when the socket is made. A name
is refused as a whole when one of its addresses is not public. Proxies of the environment are not used;
callers follow no redirects.
"""

import asyncio
import re
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

# IANA's special-purpose registry (RFC 6890) and multicast. `is_global` is not used: depending on the Python
# release it passes multicast, NAT64, 6to4 and others.
_RESERVED_V4 = tuple(
    IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_UNICAST_V6 = IPv6Network("2000::/3")
_RESERVED_V6 = tuple(IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))

_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json", re.IGNORECASE)

_DNS_THREADS = 32
_DNS_RESERVED = 4

USER_AGENT = "communities (AT Protocol feed service)"


class FetchError(Exception):
    """A document could not be fetched. `status` is the HTTP status when there was an answer, else None; `error` is the
    XRPC error that a refusal names, if any.
    """

    def __init__(self, message: str, status: int | None = None, error: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error = error


class FetchTimeout(FetchError):
    """The answer did not come, or did not end, in time."""


class HttpAnswer(NamedTuple):
    """Whatever a server has answered. `kind`: its media type, `headers`: all of them, `body`: unpacked."""

    status: int
    kind: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_json(self) -> bool:
        """Whether it says that it is JSON."""
        return _JSON_TYPE.fullmatch(self.kind) is not None


class BlockedAddress(OSError):
    """The address is not a public one."""


def is_public_address(text: str) -> bool:
    """Whether `text` is the literal of a public unicast IP address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        return address in _UNICAST_V6 and not any(address in net for net in _RESERVED_V6)
    return not any(address in net for net in _RESERVED_V4)


def _look_up(host: str, port: int, family: socket.AddressFamily) -> "list[tuple[Any, ...]] | Exception":
    """The addresses of a name, or the fault: a value, since nobody may be left to see it when the loop ends."""
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
    except (OSError, UnicodeError) as error:
        return error


class _Guard(AbstractResolver):
    """Resolves names and makes sockets; holds the addresses that the allowed names had."""

    def __init__(self, allow: tuple[str, ...], own: tuple[str, ...]) -> None:
        self._own = frozenset(name.lower().rstrip(".") for name in own)
        self._names = frozenset(name.lower().rstrip(".") for name in allow)
        self._addresses = set(self._names)
        # Threads of its own: a stranger's name server that never answers must not stop anything else.
        self._threads = ThreadPoolExecutor(_DNS_THREADS, thread_name_prefix="egress-dns")
        self._pending = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name, all public or the name is allowed. Raises BlockedAddress or OSError."""
        # Strangers' names that never get an answer must not keep the operator's own from being resolved (S118).
        reserved = 0 if host.lower().rstrip(".") in self._own else _DNS_RESERVED
        if self._pending >= _DNS_THREADS - reserved:
            raise OSError("too many names are being resolved")
        self._pending += 1
        answer = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port, family)
        answer.add_done_callback(self._resolved)
        # Shielded: a caller's timeout does not free the thread, so it must not free the place either.
        infos = await asyncio.shield(answer)
        if isinstance(infos, Exception):
            raise infos
        addresses = {str(info[4][0]) for info in infos}
        if host.lower().rstrip(".") in self._names:
            self._addresses |= addresses
        elif not all(map(is_public_address, addresses)):
            raise BlockedAddress(f"{host} has an address that is not public")
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in infos
        ]

    def _resolved(self, _: "asyncio.Future[Any]") -> None:
        self._pending -= 1

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket towards one address. IP literals are never resolved: only this check sees them."""
        family, kind, protocol, _, address = info
        host = str(address[0])
        if not is_public_address(host) and host not in self._addresses:
            raise BlockedAddress(f"{host} is not a public address")
        return socket.socket(family=family, type=kind, proto=protocol)

    async def close(self) -> None:
        """Let the threads end by themselves; a resolution cannot be interrupted."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def egress_session(allow: tuple[str, ...] = (), own: tuple[str, ...] = ()) -> aiohttp.ClientSession:
    """A session for all outbound calls; call it inside a running loop and close it at the end.

    `allow` names hosts and IP addresses that may be reached although they are private, for development; `own`
    the hosts that the operator has configured, for which places are kept free.
    """
    guard = _Guard(allow, own)
    connector = aiohttp.TCPConnector(
        resolver=guard, socket_factory=guard.socket, ttl_dns_cache=300, limit=100, limit_per_host=20
    )
    return aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=30, sock_connect=5),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
    )


async def read_error(response: aiohttp.ClientResponse) -> str:
    """The error that a refusal of XRPC names (its first 4 KiB are looked at), or nothing."""
    try:
        body = orjson.loads(await response.content.read(4096))
    except ValueError:
        return ""
    name = body.get("error") if isinstance(body, dict) else None
    return name[:100] if isinstance(name, str) else ""


async def fetch_json(
    session: aiohttp.ClientSession,
    url: str,
    *,
    limit: int = 65536,
    timeout: float = 3.0,  # noqa: ASYNC109
) -> Any:
    """GET a JSON document of at most `limit` bytes (once unpacked) within `timeout` seconds.

    Redirects are not followed. Raises FetchError for everything but status 200 with a JSON content type
    and good JSON.
    """
    with _named_faults():
        async with (
            asyncio.timeout(timeout),
            session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as response,
        ):
            if response.status != 200:
                raise FetchError(f"answered {response.status}", response.status, await read_error(response))
            if not _JSON_TYPE.fullmatch(response.content_type):
                raise FetchError("is not sent as JSON", response.status)
            return orjson.loads(await _body(response, limit))


async def fetch_answer(
    session: aiohttp.ClientSession,
    url: URL,
    *,
    headers: Mapping[str, str],
    limit: int,
    timeout: float,  # noqa: ASYNC109
) -> HttpAnswer:
    """GET whatever is answered, of at most `limit` bytes (once unpacked), within `timeout` seconds.

    Redirects are not followed: they are answers. Raises FetchError.
    """
    with _named_faults():
        async with (
            asyncio.timeout(timeout),
            session.get(url, allow_redirects=False, headers={"Accept": "application/json", **headers}) as response,
        ):
            body = await _body(response, limit)
            return HttpAnswer(response.status, response.content_type, response.headers, body)


async def post_json(
    session: aiohttp.ClientSession,
    url: str,
    body: Mapping[str, Any],
    *,
    headers: Mapping[str, str],
    limit: int = 65536,
    timeout: float,  # noqa: ASYNC109
) -> HttpAnswer:
    """POST a JSON object; whatever is answered, of at most `limit` bytes (once unpacked), within `timeout` seconds.

    Redirects are not followed: they are answers. Raises FetchError.
    """
    sent = {"Content-Type": "application/json", "Accept": "application/json", **headers}
    with _named_faults():
        async with (
            asyncio.timeout(timeout),
            session.post(url, data=orjson.dumps(body), allow_redirects=False, headers=sent) as response,
        ):
            answered = await _body(response, limit)
            return HttpAnswer(response.status, response.content_type, response.headers, answered)


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(8192):
        body += chunk
        if len(body) > limit:
            raise FetchError(f"is larger than {limit} bytes", response.status)
    return bytes(body)


@contextmanager
def _named_faults() -> Iterator[None]:
    """Whatever goes wrong with a request, as FetchError."""
    try:
        yield
    except TimeoutError:
        raise FetchTimeout("did not answer in time") from None
    except ValueError as fault:  # the URL itself (aiohttp.InvalidURL) or the JSON
        raise FetchError("is not valid JSON" if isinstance(fault, orjson.JSONDecodeError) else "bad URL") from None
    except (aiohttp.ClientError, OSError) as fault:
        raise FetchError(f"could not be reached ({type(fault).__name__})") from fault
