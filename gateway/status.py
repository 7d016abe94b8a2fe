"""The status of one process: its snapshot for a scrape, and what its health check says of engine and broker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.adapters.telemetry.gauges import StatusSnapshot
from bridge.domain.errors import BrokerUnavailable
from bridge.domain.messages import joined, message
from bridge.runtime.loop import Loop
from gateway.settings import Role
from gateway.wiring import Gateway


def status_snapshot(
    gateway: Gateway, *, ready: bool, loops: Sequence[Loop], attached: Mapping[str, bool]
) -> StatusSnapshot:
    """Return the snapshot. What its roles don't know is left empty: another process exports it."""
    fetches = Role.INTAKE in gateway.roles
    found = gateway.measure.sample
    depths = found.depths or {}
    backlog = gateway.engine_backlog.topics or {}
    return StatusSnapshot(
        version=gateway.version,
        roles=",".join(sorted(gateway.roles)),
        ready=ready,
        parts=_parts(gateway, attached),
        is_another_engine=gateway.identity.trouble is not None,
        circuit=gateway.breaker.circuit.value,
        error_rate=gateway.breaker.error_rate,
        reporting=gateway.delivery.pending,
        backlogged=gateway.delivery.backlogged,
        loops={loop.name: loop.failures for loop in loops},
        loads=gateway.claims.loads(),
        attached=attached,
        credit=gateway.credit.snapshot() if fetches else {},
        queued={topic: depth.ready for topic, depth in depths.items()},
        consumers={topic: depth.consumers for topic, depth in depths.items()},
        states=found.counts or {},
        incidents=found.incidents or {},
        paused=found.paused or {},
        oldest_waiting=found.oldest_waiting,
        open_tasks={topic: of.tasks for topic, of in backlog.items()},
        oldest_open={topic: of.oldest for topic, of in backlog.items() if of.oldest is not None},
        poll_wait=gateway.poll.wait.total_seconds() if fetches else None,
    )


def _parts(gateway: Gateway, attached: Mapping[str, bool]) -> Mapping[str, bool]:
    parts = {"engine": gateway.breaker.is_closed, "mongodb": gateway.has_recent_heartbeat()}
    if Role.INTAKE in gateway.roles:
        if gateway.measure.sample.at is not None:
            parts["rabbitmq"] = gateway.measure.sample.depths is not None
    elif attached:
        parts["rabbitmq"] = any(attached.values())
    return parts


def engine_warnings(gateway: Gateway) -> tuple[str, ...]:
    """Return what is wrong with an engine that answers: something else answers, its user lacks rights, it is old."""
    foreign, product = gateway.wrong_answer(), gateway.product.product
    return (
        *(() if foreign is None else (foreign,)),
        *(missing.message for missing in gateway.rights.missing),
        *(() if product is None else product.shortcomings),
    )


async def broker_version(gateway: Gateway) -> str:
    """Ask RabbitMQ for its version: by the publisher's connection, or by the consumer's where there is no publisher.

    Raises `BrokerUnavailable` where a queue can't be used, or takes no message; its text names each such queue.
    """
    publishes = bool(gateway.roles & {Role.WEB, Role.INTAKE})
    version = await gateway.publisher.version() if publishes else "consuming"
    published = {**gateway.relay.faults(), **gateway.publisher.faults()} if publishes else {}
    faults = {**published, **gateway.consumer.faults()}
    if faults:
        raise BrokerUnavailable(joined(faults.values()))
    if not publishes:
        detached = [topic for topic, attached in (await gateway.consumer.consuming()).items() if not attached]
        if detached:
            raise BrokerUnavailable(message("broker.not_consumed", topics=", ".join(detached)))
    return version
