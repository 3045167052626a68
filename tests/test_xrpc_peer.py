"""Whom a limit meets, behind proxies: S167."""

from collections.abc import Sequence

import pytest

from xrpc.peer import Proxies, read_networks


def client(remote: str, *forwarded: str, trusted: str = "127.0.0.1, ::1, 10.0.0.0/8") -> str | None:
    return Proxies(read_networks(trusted)).client(remote, forwarded)


@pytest.mark.parametrize(
    ("remote", "forwarded", "wanted"),
    [
        ("8.8.8.8", (), "8.8.8.8"),
        ("8.8.8.8", ("1.2.3.4",), "8.8.8.8"),  # nobody who is trusted says so
        ("127.0.0.1", ("1.2.3.4",), "1.2.3.4"),
        ("::1", ("6.6.6.6, 1.2.3.4",), "1.2.3.4"),
        ("127.0.0.1", ("6.6.6.6, 1.2.3.4, 10.1.2.3",), "1.2.3.4"),
        ("127.0.0.1", ("6.6.6.6", "1.2.3.4 , 10.1.2.3"), "1.2.3.4"),
        ("127.0.0.1", ("6.6.6.6, 10.9.9.9, 1.2.3.4",), "1.2.3.4"),
        ("::ffff:127.0.0.1", ("::ffff:1.2.3.4",), "1.2.3.4"),
        ("127.0.0.1", ("2001:db8:1:2:3::9",), "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", (), "2001:db8:1:2::/64"),
        ("fe80::1%eth0", (), "fe80::/64"),
        ("127.0.0.1", (), None),
        ("127.0.0.1", ("",), None),
        ("127.0.0.1", ("1.2.3.4, unknown",), None),
        ("127.0.0.1", ("1.2.3.4:99",), None),
        ("127.0.0.1", ("10.0.0.1, 10.0.0.2",), None),
        ("", ("1.2.3.4",), None),
    ],
)
def test_s167_who_called(remote: str, forwarded: Sequence[str], wanted: str | None) -> None:
    assert client(remote, *forwarded) == wanted


def test_nobody_needs_to_be_trusted() -> None:
    assert client("127.0.0.1", "1.2.3.4", trusted="") == "127.0.0.1"


@pytest.mark.parametrize("text", ["x", "10.0.0.1/8", "1.2.3", "10.0.0.0/33", "::g"])
def test_networks_are_read_strictly(text: str) -> None:
    with pytest.raises(ValueError, match="must be addresses or networks"):
        read_networks(text)
