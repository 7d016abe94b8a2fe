"""The allowed values of `Host`: else a page whose name resolves to the gateway could read its open routes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from bridge.domain.errors import WrongHost
from bridge.domain.messages import message

EVERY: Final = "*"


class AllowedHosts:
    """The names by which the gateway may be asked, `*.example.com` for all below one; None allows every name.

    An IP address, and a request that names no host, is always allowed: DNS rebinding needs a browser and a name.
    """

    def __init__(self, names: Iterable[str] | None) -> None:
        found = None if names is None else {name.lower().rstrip(".") for name in names}
        self._names = None if found is None or EVERY in found else frozenset(found)

    def check(self, host: str | None) -> None:
        """Raise `WrongHost` unless the header `Host` has an allowed name (RFC 9110, 7.2)."""
        if self._names is None or not host:
            return
        name = _name_of(host)
        if name is None or not (_is_address(name) or self._has(name)):
            raise WrongHost(message("request.host", name=repr(host[:255])))

    def _has(self, name: str) -> bool:
        names = self._names or frozenset()
        labels = name.split(".")
        return name in names or any(f"*.{'.'.join(labels[place:])}" in names for place in range(1, len(labels)))


def _name_of(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises ValueError for what is none
    except ValueError:
        return None
    if parts.netloc != host or "@" in host or parts.hostname is None:
        return None
    return parts.hostname.rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
