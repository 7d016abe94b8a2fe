"""Tests everything as the gateway would use it, and says what to change."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack

from bridge.domain.errors import GatewayError
from bridge.domain.task import Task
from bridge.ports.journal import Level
from bridge.registry import Registry
from bridge.testing import RecordingLog
from gateway.checks.broker import check_broker
from gateway.checks.endpoints import PORT, PROVIDER, TRACES
from gateway.checks.engine import check_engine
from gateway.checks.finding import Finding, failed, good, warning
from gateway.checks.settings import check_settings
from gateway.checks.store import check_store
from gateway.settings import Role, Settings
from gateway.settings_file import settings_file
from gateway.wiring import Gateway


class Silence:
    """`bridge.ports.journal.Journal` of a command: its output is the log."""

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        """Write nothing."""


async def diagnose(settings: Settings, topics: Registry) -> Sequence[Finding]:
    """Test the settings and the servers; no task is fetched, published or changed.

    Queues and indexes are declared, and one message goes through a queue that is gone afterwards.
    """
    try:
        gateway = Gateway(settings, frozenset({Role.WEB}), topics, Silence(), lambda _task, _secrets: RecordingLog())
        told = tuple(check_settings(settings, os.environ, settings_file(os.environ)))
    except GatewayError as error:
        return (failed("settings", error),)
    async with AsyncExitStack() as stack:
        await gateway.engine.open()
        stack.push_async_callback(gateway.engine.close)
        found = await asyncio.gather(
            check_engine(gateway),
            check_store(gateway),
            check_broker(gateway),
            *(check.findings(gateway) for check in (PORT, PROVIDER, TRACES)),
        )
    return (*told, *(one for some in found for one in some), _topics(topics))


def _topics(topics: Registry) -> Finding:
    if topics:
        return good("topics", ", ".join(topics.names))
    return warning("topics", "topics.none", "there is no topic, and so no work", "`gateway topics new NAME` writes one")
