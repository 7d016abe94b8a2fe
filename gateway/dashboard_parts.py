"""Hands the gateway's parts to the pages of the dashboard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from bridge.operations.health import Health
from gateway.wiring import Gateway
from web.dashboard.desk_operations import OperationsDesk, Terms
from web.dashboard.desk_tasks import TasksDesk


def operations_desk(gateway: Gateway, health: Callable[[], Awaitable[Health]]) -> OperationsDesk:
    """Return what the pages of topics, workers, bulk operations and the audit need."""
    settings = gateway.settings
    return OperationsDesk(
        desk=gateway.desk,
        bulk=gateway.bulk,
        replicas=gateway.store,
        depths=gateway.publisher.depths,
        dead_letters=gateway.store.dead_letters,
        health=health,
        circuit=lambda: gateway.breaker.circuit.value,
        topics=gateway.topics,
        terms=Terms(timedelta(seconds=settings.task_timeout), settings.lock, settings.task_retry_limit),
        clock=gateway.clock,
        trace_url=settings.jaeger_ui_url,
    )


def tasks_desk(gateway: Gateway, health: Callable[[], Awaitable[Health]]) -> TasksDesk:
    """Return what the overview, and the pages of tasks and failures need."""
    return TasksDesk(
        desk=gateway.desk,
        reader=gateway.store,
        letters=gateway.store,
        operate=gateway.operate,
        engine=gateway.engine,
        depth=gateway.publisher.depth,
        needs=gateway.attention.needs,
        health=health,
        topics=gateway.topics,
        clock=gateway.clock,
        jaeger_url=gateway.settings.jaeger_ui_url,
        cockpit_url=gateway.settings.cockpit_url,
    )
