"""Tests every connection as the gateway would use it, and says what to fix."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from bridge.domain.errors import GatewayError, QueueMismatch, SetupError
from bridge.domain.task import Task
from bridge.domain.time_zones import agrees, offset_of, suggested
from bridge.ports.journal import Level
from bridge.registry import Registry
from bridge.testing import RecordingLog
from gateway.settings import Role, Settings
from gateway.wiring import Gateway


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one test."""

    part: str
    ok: bool
    says: str


class Silence:
    """`bridge.ports.journal.Journal` of a command: its output is the log."""

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        """Write nothing."""


async def diagnose(settings: Settings, topics: Registry) -> tuple[Finding, ...]:
    """Test the settings' servers; nothing is fetched, published or changed but that queues and indexes are declared."""
    try:
        gateway = Gateway(settings, frozenset({Role.WEB}), topics, Silence(), lambda _task, _secrets: RecordingLog())
    except GatewayError as error:
        return (Finding("settings", ok=False, says=str(error)),)
    tests: dict[str, tuple[str, Callable[[], Awaitable[str]]]] = {
        "engine": (_address(settings.camunda_url), lambda: _engine(gateway)),
        "rights": (
            settings.camunda_username or settings.camunda_oauth_client_id or "the engine",
            lambda: _rights(gateway),
        ),
        "time zone": (f"ENGINE_TIMEZONE={settings.engine_timezone}", lambda: _zone(gateway)),
        "mongodb": (_address(settings.mongodb_uri.get_secret_value()), lambda: _store(gateway)),
        "rabbitmq": (_address(settings.rabbitmq_url.get_secret_value()), lambda: _broker(gateway)),
    }
    async with AsyncExitStack() as stack:
        await gateway.engine.open()
        stack.push_async_callback(gateway.engine.close)
        found = await asyncio.gather(*(_test(name, where, test) for name, (where, test) in tests.items()))
    listed = ", ".join(topics.names) or "none"
    return (
        *found,
        Finding("topics", ok=bool(topics), says=listed if topics else "none: `gateway topics new NAME` writes one"),
    )


async def _test(name: str, where: str, test: Callable[[], Awaitable[str]]) -> Finding:
    try:
        async with asyncio.timeout(15):
            return Finding(name, ok=True, says=f"{where}: {await test()}")
    except TimeoutError:
        return Finding(name, ok=False, says=f"{where}: no answer within 15 s: {_HINTS[name]}")
    except QueueMismatch as error:
        return Finding(name, ok=False, says=f"{where}: {error}")
    except GatewayError as error:
        return Finding(name, ok=False, says=f"{where}: {error}: {_HINTS[name]}")


async def _engine(gateway: Gateway) -> str:
    product = await gateway.engine.product()
    waiting = await gateway.engine.count()
    return "; ".join((f"{product}, {waiting} open external tasks", *product.shortcomings))


async def _rights(gateway: Gateway) -> str:
    """Say that the engine's user may do all that is needed; raises `SetupError` where they may not."""
    missing = await gateway.engine.missing_rights(gateway.topics.definitions)
    if missing:
        raise SetupError("; ".join(map(str, missing)))
    return "all that are needed, or the engine asks for none"


async def _zone(gateway: Gateway) -> str:
    """Say that ENGINE_TIMEZONE has the offsets in which the engine writes; raises `SetupError` where it has not."""
    moments = await gateway.engine.written_moments()
    if not moments:
        return "can't be compared: the engine has no deployment that its user may read"
    written = ", ".join(dict.fromkeys(offset_of(moment) for moment in moments))
    if not agrees(ZoneInfo(gateway.settings.engine_timezone), moments):
        raise SetupError(f"the engine writes dates in {written}; set ENGINE_TIMEZONE, as to {suggested(moments)}")
    return f"the engine writes dates in {written}, which agrees"


async def _store(gateway: Gateway) -> str:
    async with AsyncExitStack() as stack:
        await gateway.store.open()
        stack.push_async_callback(gateway.store.close)
        version = await gateway.store.version()
        difference = abs((await gateway.store.server_time() - datetime.now(UTC)).total_seconds())
        skew = f"; its clock differs by {difference:.1f} s: set both by NTP" if difference > 2 else ""
        identity = await gateway.store.engine_identity()
        if identity is not None:  # the first start of a process stores the engine's identity
            await gateway.identity.confirm()
        return f"MongoDB {version}{skew}"


async def _broker(gateway: Gateway) -> str:
    async with AsyncExitStack() as stack:
        await gateway.publisher.open()
        stack.push_async_callback(gateway.publisher.close)
        depths = await gateway.publisher.depths(gateway.topics.names)
        queues = ", ".join(f"{topic}: {d.ready} ready, {d.consumers} consumers" for topic, d in depths.items())
        version = await gateway.publisher.version()
        faults = gateway.publisher.faults()
        if faults:
            raise QueueMismatch(f"RabbitMQ {version}; {queues}; not usable: {'; '.join(faults.values())}")
        return f"RabbitMQ {version}; {queues}"


def _address(url: str) -> str:
    """Return an address without the credentials that it may carry."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else url


_HINTS = {
    "engine": "check CAMUNDA_URL (it ends with /engine-rest) and the login: CAMUNDA_USERNAME and CAMUNDA_PASSWORD, "
    "CAMUNDA_TOKEN, or the CAMUNDA_OAUTH settings",
    "rights": "the manual lists them under `Rights in the engine`",
    "time zone": "it is the zone of the engine's JVM, its -Duser.timezone or TZ, and decides on which day a Date is",
    "mongodb": "check MONGODB_URI, and that a primary answers there",
    "rabbitmq": "check RABBITMQ_URL (user, password, virtual host) and RABBITMQ_EXCHANGE",
}
