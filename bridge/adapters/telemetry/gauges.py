"""The state of one process at the moment of a scrape, read from the parts themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bridge.domain.replica import Load
from bridge.domain.task import State

_FORMER_LOOPS: Final[Mapping[str, str]] = MappingProxyType(
    {"heartbeat": "beat", "reconcile": "recover", "statistics": "tally"}
)
"""Loops that were renamed, by the labels of version 1.0; for one version each is measured by both."""


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """The state of one process. What its roles don't know is empty, or None.

    `credit` has each topic's limit and how many of its tasks are locked; `parts` whether what the gateway rests on
    answers; `consumers` how many of all replicas are attached to each topic's queue; `open_tasks` and `oldest_open` the
    engine's own backlog, in the one process that asks for it.
    """

    version: str
    roles: str
    ready: bool
    parts: Mapping[str, bool]
    is_another_engine: bool
    circuit: str
    error_rate: float
    reporting: int
    backlogged: bool
    loops: Mapping[str, int] = field(default_factory=dict)
    loads: Mapping[str, Load] = field(default_factory=dict)
    attached: Mapping[str, bool] = field(default_factory=dict)
    credit: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    queued: Mapping[str, int] = field(default_factory=dict)
    consumers: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[State, int] = field(default_factory=dict)
    incidents: Mapping[str, int] = field(default_factory=dict)
    paused: Mapping[str, float] = field(default_factory=dict)
    oldest_waiting: float | None = None
    open_tasks: Mapping[str, int] = field(default_factory=dict)
    oldest_open: Mapping[str, float] = field(default_factory=dict)
    poll_wait: float | None = None


class Gauges(Collector):
    """Asks for a snapshot at each scrape."""

    def __init__(self, take_snapshot: Callable[[], StatusSnapshot]) -> None:
        self._take_snapshot = take_snapshot

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry is not to ask before there is something to see."""
        return ()

    def collect(self) -> Iterator[Metric]:
        snapshot = self._take_snapshot()
        yield _by("gateway_info", "What runs here.", ("version", "roles"), {(snapshot.version, snapshot.roles): 1})
        yield _one("gateway_ready", "Whether the process does what its roles ask of it.", snapshot.ready)
        yield _per("gateway_part_up", "Whether a part answers.", "part", snapshot.parts)
        yield _per("gateway_loop_failures", "Failures in a row of each loop.", "loop", _by_both_names(snapshot.loops))
        yield _one("gateway_engine_is_another", "Whether another engine than ours answers.", snapshot.is_another_engine)
        circuits = {name: name == snapshot.circuit for name in ("closed", "half_open", "open")}
        yield _per("gateway_engine_circuit", "1 for the state that the engine's breaker is in.", "circuit", circuits)
        yield _one(
            "gateway_engine_error_rate", "The moving share of calls to the engine that failed.", snapshot.error_rate
        )
        yield _one("gateway_reporting", "Outcomes on their way to the engine from this process.", snapshot.reporting)
        yield _one("gateway_outcomes_held_up", "Whether outcomes wait that an outage held up.", snapshot.backlogged)
        yield from _of_work(snapshot)
        yield from _of_intake(snapshot)


def _by_both_names(loops: Mapping[str, int]) -> Mapping[str, int]:
    return dict(loops) | {_FORMER_LOOPS[name]: failures for name, failures in loops.items() if name in _FORMER_LOOPS}


def _of_work(snapshot: StatusSnapshot) -> Iterator[Metric]:
    running = {topic: load.running for topic, load in snapshot.loads.items()}
    slots = {topic: load.slots for topic, load in snapshot.loads.items()}
    stuck = {topic: load.stuck for topic, load in snapshot.loads.items()}
    yield _per("gateway_running", "Handlers that run in this process.", "topic", running)
    yield _per("gateway_slots", "Handlers that may run in this process at once.", "topic", slots)
    yield _per("gateway_stuck_threads", "Threads that run on after their run was given up.", "topic", stuck)
    yield _per("gateway_consumer_attached", "Whether RabbitMQ delivers to this process.", "topic", snapshot.attached)


def _of_intake(snapshot: StatusSnapshot) -> Iterator[Metric]:
    limits = {topic: limit for topic, (limit, _) in snapshot.credit.items()}
    locked = {topic: locked for topic, (_, locked) in snapshot.credit.items()}
    capacity = {topic: max(0, limit - locked) for topic, (limit, locked) in snapshot.credit.items()}
    yield _per("gateway_credit_limit", "How many tasks may be locked and not yet running.", "topic", limits)
    yield _per("gateway_locked", "How many are, as far as this process knows.", "topic", locked)
    yield _per("gateway_credit_room", "How many more may be fetched.", "topic", capacity)
    yield _per("gateway_queued", "Messages that wait in the topic's queue.", "topic", snapshot.queued)
    yield _per("gateway_consumers", "Subscribers of the topic's queue, of all processes.", "topic", snapshot.consumers)
    text = "Open tasks of the engine that a worker can get, locked or not; known to one process at a time."
    yield _per("gateway_engine_open_tasks", text, "topic", snapshot.open_tasks)
    text = "Since the creation of the oldest of them that no worker holds."
    yield _per("gateway_engine_oldest_open_seconds", text, "topic", snapshot.oldest_open)
    states = {state.value: count for state, count in snapshot.states.items()}
    yield _per("gateway_tasks_in_state", "Tasks in the store by state, up to 10,000 each.", "state", states)
    yield _per("gateway_incidents", "Incidents that wait for a person.", "topic", snapshot.incidents)
    yield _per("gateway_topic_paused_seconds", "Since when topics are paused.", "topic", snapshot.paused)
    if snapshot.poll_wait is not None:
        text = "How long a fetch waits at the engine at present, where it has nothing to give."
        yield _one("gateway_poll_wait_seconds", text, snapshot.poll_wait)
    if snapshot.oldest_waiting is not None:
        text = "Since the acceptance of the oldest task that waits for a run."
        yield _one("gateway_oldest_waiting_seconds", text, snapshot.oldest_waiting)


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _per(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _by(name, text, (label,), {(key,): value for key, value in values.items()})


def _by(name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, float(value))
    return family
