"""Checks of MongoDB: address, rights, that the database is the gateway's, its clock, its replica set, its engine, and
that all processes of the database use the same exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final

from bridge.domain.errors import EngineChanged, EngineUnavailable
from bridge.domain.replica import ALIVE_FOR
from gateway.adapters import exchange_of
from gateway.checks.check import Check, run_in_turn, without_login
from gateway.checks.finding import Finding, fault, good, warning
from gateway.wiring import Gateway

PART: Final = "mongodb"
_BUILDS_FOR: Final = 20.0
"""Seconds that indexes which are being built are waited for: on a large collection that takes minutes."""
_TOLERANCE: Final = 2.0
"""Seconds by which the clocks may differ."""


def _address(gateway: Gateway) -> str:
    return without_login(gateway.settings.mongodb_uri.get_secret_value())


async def _answers(gateway: Gateway) -> Sequence[Finding]:
    """Find whether a server answers, and takes what the gateway does: the open store has written and read."""
    version = await gateway.store.version()
    await gateway.store.leave(f"doctor-{gateway.replica}")  # nobody's: to delete is a right of its own
    return (good(PART, f"{_address(gateway)}: MongoDB {version}, database {gateway.settings.mongodb_database}"),)


async def _clock(gateway: Gateway) -> Sequence[Finding]:
    skew = (await gateway.store.server_time() - datetime.now(UTC)).total_seconds()
    if abs(skew) > _TOLERANCE:
        says = f"the clocks of this machine and of MongoDB differ by {abs(skew):.1f} s"
        return (warning("clock", "mongodb.clock", says, "set both by NTP; the gateway follows MongoDB's meanwhile"),)
    return (good("clock", f"differs from MongoDB's by {abs(skew):.1f} s"),)


async def _replica_set(gateway: Gateway) -> Sequence[Finding]:
    name = await gateway.store.replica_set()
    if name is None:
        says = "the server is no member of a replica set: what it wrote is on its disk alone"
        change = "use a replica set in production; for a trial this is enough"
        return (warning("replica set", "mongodb.no_replica_set", says, change),)
    return (good("replica set", name),)


async def _engine_identity(gateway: Gateway) -> Sequence[Finding]:
    part = "identity"
    if await gateway.store.engine_identity() is None:  # the first start of a process stores it
        return (good(part, "the first start takes the engine at CAMUNDA_URL for the one of this database"),)
    try:
        await gateway.identity.confirm()
    except EngineChanged as error:
        change = "correct CAMUNDA_URL or MONGODB_DATABASE; where the engine is the right one, `gateway engine accept`"
        return (fault(part, "engine.changed", str(error), change),)
    except EngineUnavailable as error:
        return (good(part, f"can't be compared: {error}"),)
    return (good(part, "the engine is the one whose tasks are kept"),)


async def _exchange(gateway: Gateway) -> Sequence[Finding]:
    own = exchange_of(gateway.settings)
    replicas = await gateway.store.replicas(gateway.clock.now() - ALIVE_FOR)
    others = sorted({one.exchange for one in replicas if one.exchange is not None} - {own})
    if others:
        says = (
            f"this process uses {own}, others of its database {' and '.join(others)}: no task gets from one to another"
        )
        change = (
            "give all processes of a database the same RABBITMQ_EXCHANGE, and the same virtual host in RABBITMQ_URL"
        )
        return (warning("exchange", "rabbitmq.other_exchange", says, change),)
    return (good("exchange", f"{own}, as all processes of this database"),)


EXCHANGE: Final = Check("exchange", _exchange)
"""Whether the processes of the database reach each other; asked while the store is open."""
_FIRST: Final = Check(PART, _answers, _address)
_REST: Final = (
    Check("clock", _clock),
    Check("replica set", _replica_set),
    Check("identity", _engine_identity),
    EXCHANGE,
)


async def _open(gateway: Gateway) -> str | None:
    """Open the store; where indexes are still being built after `_BUILDS_FOR`, give up, and return the progress."""
    began, progress = asyncio.get_running_loop().time(), ""

    def tell(words: str) -> None:
        nonlocal progress
        progress = words
        patience.reschedule(began + _BUILDS_FOR)  # without a build the time is the check's

    try:
        async with asyncio.timeout(None) as patience:
            await gateway.store.open(tell)
    except TimeoutError:
        return progress
    return None


async def _opened(gateway: Gateway) -> Sequence[Finding]:
    async with AsyncExitStack() as stack:
        build = await _open(gateway)
        if build is not None:
            says = f"{_address(gateway)}: indexes are being built: {build}"
            change = "nothing: MongoDB goes on, and a process that starts waits for it; ask again later"
            return (warning(PART, "mongodb.indexes_being_built", says, change),)
        stack.push_async_callback(gateway.store.close)
        return await run_in_turn(gateway, _FIRST, _REST)


async def check_store(gateway: Gateway) -> Sequence[Finding]:
    """Open the store as a start does, and run the checks of MongoDB; close it."""
    return await Check(PART, _opened, _address, within=30).findings(gateway)
