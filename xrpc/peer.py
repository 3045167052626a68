"""Who is at the other end of a connection, behind proxies that we trust: what limits per client go by (S167).

`X-Forwarded-For` is a list to which each proxy adds the address that it was called from, at the end. Whatever stands
before what our own proxies have added was written by the caller, who may write anything.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
SITE_BITS = 64
"""One customer of a provider has at least so much of IPv6 to choose addresses from."""


def read_networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks (`10.0.0.0/8`), by comma or space. Raises ValueError for anything else."""
    try:
        return tuple(ip_network(one) for one in text.replace(",", " ").split())
    except ValueError as error:
        raise ValueError("must be addresses or networks such as 10.0.0.0/8, by comma") from error


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


class Proxies:
    """The proxies that are trusted to say who called them."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address.version == one.version and address in one for one in self._trusted)

    def client(self, remote: str | None, forwarded: Sequence[str]) -> str | None:
        """The address of the caller, of IPv6 its network of SITE_BITS. `remote`: the other end of the connection;
        `forwarded`: every `X-Forwarded-For` of the request.

        None: a trusted proxy does not say (or it is a call from that machine itself), so that callers cannot be told
        apart.
        """
        address = _address(remote or "")
        if address is None:
            return None
        hops = ",".join(forwarded).split(",")
        while self._is_trusted(address):
            hop = _address(hops.pop()) if hops else None
            if hop is None:
                return None
            address = hop
        if isinstance(address, IPv6Address):
            return str(ip_network((int(address), SITE_BITS), strict=False))
        return str(address)
