"""A check of one part, and how several run together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bridge.domain.errors import GatewayError
from gateway.checks.finding import Finding, failed, fault
from gateway.wiring import Gateway

WITHIN = 15.0
"""Seconds that a check may take."""


@dataclass(frozen=True, slots=True)
class Check:
    """`run` returns what it found, or raises a `GatewayError`; `address` is where it asks, for a call that fails.

    `at_start` says whether a start runs it as well: what holds a connection for long, or writes to the log by itself
    all the same, is for the doctor alone.
    """

    part: str
    run: Callable[[Gateway], Awaitable[Sequence[Finding]]]
    address: Callable[[Gateway], str] = lambda _gateway: ""
    within: float = WITHIN
    at_start: bool = True

    async def findings(self, gateway: Gateway) -> Sequence[Finding]:
        """Run it, whatever comes of it."""
        where = self.address(gateway)
        try:
            async with asyncio.timeout(self.within):
                return await self.run(gateway)
        except TimeoutError:
            says = f"{where}: no answer within {self.within:g} s".removeprefix(": ")
            change = "what answers there may be another service: check the port, and what stands between"
            return (fault(self.part, f"{self.part}.no_answer", says, change),)
        except GatewayError as error:
            return (failed(self.part, error, where),)


async def run_in_turn(gateway: Gateway, first: Check, rest: Sequence[Check]) -> Sequence[Finding]:
    """Run the first check, and the others together where it found no fault: they need what it asks for."""
    found = await first.findings(gateway)
    if not all(one.ok for one in found):
        return found
    more = await asyncio.gather(*(check.findings(gateway) for check in rest))
    return (*found, *(one for some in more for one in some))


def without_login(url: str) -> str:
    """Return an address without the credentials that it may carry."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else url
