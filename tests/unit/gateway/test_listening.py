"""The addresses that HTTP is served on: of IPv4, of IPv6, or both at one port."""

from __future__ import annotations

import socket

import pytest

from bridge.domain.errors import SetupError
from gateway.server import listen_on_all
from gateway.settings import read_settings


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("0.0.0.0", ("0.0.0.0",)),
        ("0.0.0.0, ::", ("0.0.0.0", "::")),
        ("[::1],gateway", ("::1", "gateway")),
    ],
)
def test_host_names_one_address_or_several(host: str, addresses: tuple[str, ...]) -> None:
    assert read_settings(host=host).addresses == addresses


def test_with_open_access_each_address_is_a_name_of_the_gateway() -> None:
    assert read_settings(host="127.0.0.1,gateway", auth="open").hosts == ("localhost", "127.0.0.1", "gateway")


def test_a_host_without_an_address_is_refused() -> None:
    with pytest.raises(SetupError, match=r"HOST: .*names no address: 0.0.0.0 for IPv4, 0.0.0.0,:: for IPv4 and IPv6"):
        read_settings(host=" , ")


@needs_ipv6
def test_both_families_listen_at_one_port() -> None:
    listeners = listen_on_all(("127.0.0.1", "::1"), 0, "PORT")
    try:
        port = listeners[0].getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port), timeout=5) as connection:
                assert connection.getsockname()[0] == address
    finally:
        for listener in listeners:
            listener.close()


@needs_ipv6
def test_an_address_of_ipv6_takes_no_ipv4() -> None:
    (listener,) = listen_on_all(("::",), 0, "PORT")
    with listener, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=5)


def test_where_one_address_can_not_be_had_none_is_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"PORT {port} on 127.0.0.1 can't be listened on"):
            listen_on_all(("127.0.0.2", "127.0.0.1"), port, "PORT")
    socket.create_server(("127.0.0.2", port)).close()
