"""What one connection, one address and all of them together may take of the HTTP server.

The times are Apache's (`mod_reqtimeout`), the count of header lines too (`LimitRequestFields`); uvicorn has neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Final

from bridge.domain.access import neighbourhood

_UNPROXIED: Final[tuple[str, ...]] = ()


class Refused(StrEnum):
    """Why a connection was closed, or not taken."""

    TOO_MANY = "too_many"
    TOO_MANY_OF_ADDRESS = "too_many_of_address"
    HEAD_TOO_LARGE = "head_too_large"
    HEAD_TOO_SLOW = "head_too_slow"
    BODY_TOO_SLOW = "body_too_slow"
    BODIES_TOO_LARGE = "bodies_too_large"
    TOO_MANY_PIPELINED = "too_many_pipelined"
    ANSWER_UNREAD = "answer_unread"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bytes, counts and seconds.

    A request's head (its line and header lines) has `head_bytes` and `header_lines` at the most, and is whole within
    `head_within`; of its body comes `body_rate` bytes a second after `body_within`. Bodies that are larger than
    `small_body` take `bodies` at a time, all together. An answer of which the client reads nothing for `unread_for` is
    closed. `pipelined` requests may wait for the request before them. `connections` of all clients are kept, and
    `of_address` of one address, in IPv6 of its /64.
    """

    head_bytes: int = 65_536
    header_lines: int = 100
    head_within: float = 20.0
    body_within: float = 20.0
    body_rate: int = 10_000
    small_body: int = 262_144
    bodies: int = 40_000_000
    unread_for: float = 30.0
    pipelined: int = 100
    connections: int = 2000
    of_address: int = 500


class Connections:
    """Counts the connections of a server, and the bytes of the bodies that are under way.

    Connections from `proxies` are not limited by address. `observe` is called for each connection that is refused.
    """

    def __init__(
        self,
        limits: HttpLimits,
        *,
        proxies: Collection[str] = _UNPROXIED,
        observe: Callable[[Refused], None] = lambda _reason: None,
    ) -> None:
        self.limits = limits
        self.observe = observe
        self.body_bytes = 0
        self._proxies = [ip_network(proxy) for proxy in proxies]
        self._sides: Counter[str] = Counter()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def admit(self, address: str) -> Refused | None:
        """Count a connection from the address and return None; or return why it can't be taken."""
        side = neighbourhood(address)
        if self._count >= self.limits.connections:
            return Refused.TOO_MANY
        if self._sides[side] >= self.limits.of_address and not self._is_proxy(address):
            return Refused.TOO_MANY_OF_ADDRESS
        self._sides[side] += 1
        self._count += 1
        return None

    def release(self, address: str) -> None:
        """Forget a connection that was admitted."""
        side = neighbourhood(address)
        self._sides[side] -= 1
        if self._sides[side] <= 0:
            del self._sides[side]
        self._count -= 1

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies)
