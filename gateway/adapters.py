"""The adapters of one process, built from its settings. They are connected to nothing yet."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import timedelta

from yarl import URL

from bridge.adapters.camunda.client import Foreign, Guard, Headers, Observe
from bridge.adapters.camunda.engine import CamundaEngine
from bridge.adapters.camunda.string_column import StringColumn
from bridge.adapters.mongo.access import MongoAccessStore
from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.adapters.mongo.store import MongoStore
from bridge.adapters.rabbitmq.consumer import OnUndecodable, RabbitConsumer
from bridge.adapters.rabbitmq.publisher import RabbitPublisher
from bridge.adapters.rabbitmq.queues import OnFault
from bridge.adapters.telemetry.telemetry import Dropped, Identity, Telemetry, wants_traces
from bridge.domain.messages import Message
from bridge.domain.unreadable_row import OnUnreadableRow
from bridge.ports.clock import Clock
from bridge.registry import Registry
from gateway.engine_login import engine_login
from gateway.settings import Settings
from gateway.tls import tls_context, tls_files


def mongo_store(settings: Settings) -> MongoStore:
    """Return the store of tasks."""
    return MongoStore(
        settings.mongodb_uri.get_secret_value(),
        settings.mongodb_database,
        document_limit=settings.document_limit,
        retention=timedelta(days=settings.retention_days),
        options=tls_files(settings, "mongodb").driver_options(),
    )


def mongo_access_store(settings: Settings, *, pool_size: int = 8) -> MongoAccessStore:
    """Return the store of people and keys."""
    return MongoAccessStore(
        settings.mongodb_uri.get_secret_value(),
        settings.mongodb_database,
        pool_size=pool_size,
        options=tls_files(settings, "mongodb").driver_options(),
    )


def mongo_dashboard_store(settings: Settings, *, pool_size: int = 16) -> MongoDashboardStore:
    """Return the store of what the dashboard reads and writes."""
    return MongoDashboardStore(
        settings.mongodb_uri.get_secret_value(),
        settings.mongodb_database,
        pool_size=pool_size,
        audit_kept=timedelta(days=settings.audit_days),
        options=tls_files(settings, "mongodb").driver_options(),
    )


def camunda_engine(
    settings: Settings,
    *,
    headers: Headers,
    observe: Observe,
    foreign: Foreign,
    guard: Guard,
    on_token_not_renewed: Callable[[Message], None],
    on_string_limit: Callable[[int], None],
    on_unreadable_row: OnUnreadableRow,
) -> CamundaEngine:
    """Return the engine at CAMUNDA_URL; every call goes through `guard`."""
    login = engine_login(settings, on_token_not_renewed)
    return CamundaEngine(
        settings.camunda_url,
        credentials=login.credentials,
        tokens=login.tokens,
        fixed_headers=login.headers,
        tls=tls_context(tls_files(settings, "camunda"), settings.camunda_url, "https") or True,
        connections=settings.camunda_connections,
        timeout=timedelta(seconds=settings.camunda_timeout),
        outcome_timeout=timedelta(seconds=settings.camunda_timeout_max),
        headers=headers,
        observe=observe,
        foreign=foreign,
        guard=guard,
        strings=StringColumn(settings.engine_string_limit, on_string_limit),
        answer_limit=settings.engine_answer_limit,
        on_unreadable_row=on_unreadable_row,
    )


def rabbit_publisher(settings: Settings, topics: Registry, on_fault: OnFault) -> RabbitPublisher:
    """Return the publisher to the queues of the topics."""
    return RabbitPublisher(
        settings.rabbitmq_url.get_secret_value(),
        settings.rabbitmq_exchange,
        topics.names,
        timeout=timedelta(seconds=settings.publish_timeout),
        on_fault=on_fault,
        tls=_broker_tls(settings),
    )


def rabbit_consumer(
    settings: Settings, topics: Registry, on_fault: OnFault, on_undecodable: OnUndecodable
) -> RabbitConsumer:
    """Return the consumer of the queues of the topics."""
    return RabbitConsumer(
        settings.rabbitmq_url.get_secret_value(),
        settings.rabbitmq_exchange,
        tuple(topics.values()),
        graceful=timedelta(seconds=settings.shutdown_grace),
        on_undecodable=on_undecodable,
        on_fault=on_fault,
        tls=_broker_tls(settings),
    )


def exchange_of(settings: Settings) -> str:
    """Return the exchange and its virtual host in words: processes of one store reach each other by the same alone."""
    virtual_host = URL(settings.rabbitmq_url.get_secret_value()).path.removeprefix("/") or "/"
    return f"the exchange {settings.rabbitmq_exchange} of the virtual host {virtual_host}"


def _broker_tls(settings: Settings) -> ssl.SSLContext | None:
    return tls_context(tls_files(settings, "rabbitmq"), settings.rabbitmq_url.get_secret_value(), "amqps")


def telemetry(
    settings: Settings, topics: Registry, clock: Clock, *, version: str, replica: str, dropped: Dropped
) -> Telemetry:
    """Return what sends spans; nothing is sent where the environment names no exporter."""
    if not wants_traces(os.environ):
        return Telemetry()
    # The exporters take a tenth of a start, which a process that isn't traced need not wait for.
    from bridge.adapters.telemetry.start import start_traces  # noqa: PLC0415

    secrets = {topic.name: topic.secrets for topic in topics.values()}
    identity = Identity(version, replica, settings.camunda_url, settings.rabbitmq_exchange, secrets)
    return start_traces(os.environ, settings.trace_sampling, identity, clock, dropped)


class Servers:
    """The servers that the settings name, as the `gateway.neighbours.Neighbours` of a process in production."""

    store = staticmethod(mongo_store)
    access_store = staticmethod(mongo_access_store)
    dashboard_store = staticmethod(mongo_dashboard_store)
    engine = staticmethod(camunda_engine)
    publisher = staticmethod(rabbit_publisher)
    consumer = staticmethod(rabbit_consumer)
    telemetry = staticmethod(telemetry)
