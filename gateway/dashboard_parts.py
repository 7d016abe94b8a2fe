"""Hands the gateway's parts to the pages of the dashboard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from bridge.operations.health import Health
from gateway.wiring import Gateway
from web.dashboard.dependencies import DashboardDependencies, TopicDefaults


def dashboard_dependencies(gateway: Gateway, health: Callable[[], Awaitable[Health]]) -> DashboardDependencies:
    """Return what the pages need."""
    settings = gateway.settings
    return DashboardDependencies(
        store=gateway.dashboard_store,
        reader=gateway.store,
        replicas=gateway.store,
        dead_letter_store=gateway.store,
        engine=gateway.engine,
        operate=gateway.operate,
        bulk=gateway.bulk,
        depth=gateway.publisher.depth,
        depths=gateway.publisher.depths,
        needs=gateway.attention.needs,
        health=health,
        circuit=lambda: gateway.breaker.circuit.value,
        topics=gateway.topics,
        topic_defaults=TopicDefaults(
            timedelta(seconds=settings.task_timeout), settings.lock, settings.task_retry_limit
        ),
        clock=gateway.clock,
        jaeger_url=settings.jaeger_ui_url,
        cockpit_url=settings.cockpit_url,
    )
