"""What Prometheus reads: counted where it happens, with labels of few values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from bridge.domain.task import Task
from bridge.ports.journal import FORMER_NAMES, Journal, Level
from bridge.runtime.http_limits import Refused

Family = TypeVar("Family", Counter, Histogram)

_CALLS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WORK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_LIFE = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

OTHER = "other"
"""The label of all topics that this process doesn't know."""
TASK_RESULTS = ("completed", "bpmn_error", "failed", "retried", "undeliverable", "superseded", "cancelled", "unknown")
_DEAD = {
    "message_undecodable": "undecodable",
    "dead_letter_kept": "kept",
    "dead_letter_revived": "revived",
    "dead_letter_settled": "settled",
}
"""The events of dead letters, and what became of each."""
_REFUSALS = ("leases_refused", "leases_expired", "task_refused", "incident_not_raised")
"""The events of tasks that the engine gave and that are not kept; an alert asks for their increase."""


class Metrics:
    """The gateway's own metrics in a registry of their own."""

    def __init__(self) -> None:
        # Of the library as a whole: the moments of creation are a third more series that nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has it so
        self.registry = CollectorRegistry()
        self._known: dict[tuple[object, ...], Any] = {}
        self._topics = {""}
        ProcessCollector(registry=self.registry)
        self._engine = self._histogram(
            "gateway_engine_call_seconds",
            "Calls to the engine by operation and HTTP status (none: no answer came).",
            ("operation", "status"),
            _CALLS,
        )
        self._foreign_answers = self._counter(
            "gateway_foreign_answers",
            "Answers that another gave in the engine's place, by operation and HTTP status.",
            ("operation", "status"),
        )
        self._unreadable_rows = self._counter(
            "gateway_unreadable_rows", "Rows of the engine's lists that can't be read, by operation.", ("operation",)
        )
        self._refused_connections = self._counter(
            "gateway_http_connections_refused", "HTTP connections that were closed or not taken, by why.", ("reason",)
        )
        self._events = self._counter("gateway_events", "What happened, as the log has it.", ("event", "topic"))
        self.dead_letters = self._counter(
            "gateway_dead_letters", "Messages that the broker, or their subscriber, gave up on.", ("topic", "what")
        )
        self.spans_dropped = self._counter(
            "gateway_spans_dropped",
            "Spans that nobody will see (queue: too many wait; collector: not taken).",
            ("why",),
        )
        self.http = self._histogram(
            "gateway_http_request_seconds", "Requests by route and status.", ("method", "route", "status"), _CALLS
        )
        self._blocked = Counter(
            "gateway_event_loop_blocked_seconds",
            "How long handlers have blocked the event loop.",
            ("topic",),
            registry=self.registry,
        )
        self._lag = self._histogram("gateway_loop_lag_seconds", "By how much the event loop is late.", (), _LAG)
        self._most_lag = Gauge(
            "gateway_loop_lag_recent_seconds", "The most of the last ten seconds.", registry=self.registry
        )
        self._build_tasks()

    def _build_tasks(self) -> None:
        self.tasks = self._counter("gateway_tasks", "Tasks by what became of them at the engine.", ("topic", "result"))
        self.attempts = self._counter("gateway_attempts", "Runs of handlers by how they ended.", ("topic", "result"))
        self.fetched = self._counter("gateway_fetched", "Tasks that the engine gave.", ("topic",))
        self.published = self._counter("gateway_published", "Messages to the broker.", ("topic", "result"))
        self.deferred = self._counter("gateway_outcomes_deferred", "Deliveries that are to be repeated.", ("topic",))
        self.locks_lost = self._counter(
            "gateway_locks_lost", "Tasks that another took, or that are gone from the engine.", ("topic", "how")
        )
        self.waits = self._histogram(
            "gateway_task_wait_seconds", "From a task's acceptance to its first run.", ("topic",), _WORK
        )
        self.runs = self._histogram("gateway_task_run_seconds", "Runs of handlers.", ("topic",), _WORK)
        self.lives = self._histogram(
            "gateway_task_seconds", "From a task's acceptance to its completion in the engine.", ("topic",), _LIFE
        )
        self.publishes = self._histogram(
            "gateway_publish_seconds", "From a batch's first publish to its last confirm.", ("topic",), _CALLS
        )

    def expect(self, topics: Iterable[str]) -> None:
        """Begin the counters of these topics at zero: of one that begins at one, Prometheus sees no increase."""
        for topic in topics:
            self._topics.add(topic)
            for counter, results in (
                (self.tasks, TASK_RESULTS),
                (self.attempts, ("completed", "bpmn_error", "failed", "lost", "abandoned")),
                (self.published, ("confirmed", "unconfirmed")),
                (self.locks_lost, ("stolen", "gone")),
                (self.dead_letters, tuple(_DEAD.values())),
            ):
                for result in results:
                    counter.labels(topic, result)
            for each in (self.fetched, self.deferred):
                each.labels(topic)
            for event in _REFUSALS:
                self._events.labels(event, topic)
        for event in _REFUSALS:
            self._events.labels(event, "")
        for why in ("queue", "collector", "shutdown"):
            self.spans_dropped.labels(why)

    def of(self, family: Family, *labels: str) -> Family:
        """Return the family's metric with these labels; the library's own look takes as long as the counting."""
        key = (family, *labels)
        known: Family | None = self._known.get(key)
        if known is None:
            known = self._known[key] = family.labels(*labels)
        return known

    def observe_engine(self, operation: str, status: int | None, seconds: float) -> None:
        """Count one call to the engine."""
        self.of(self._engine, operation, "none" if status is None else str(status)).observe(seconds)

    def observe_foreign_answer(self, operation: str, status: int) -> None:
        """Count one answer that another gave in the engine's place."""
        self.of(self._foreign_answers, operation, str(status)).inc()

    def observe_unreadable_row(self, operation: str) -> None:
        """Count one row of the engine's that can't be read."""
        self.of(self._unreadable_rows, operation).inc()

    def observe_refused_connection(self, reason: Refused) -> None:
        """Count one HTTP connection that was closed, or not taken."""
        self.of(self._refused_connections, reason.value).inc()

    def observe_http(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is its template."""
        self.of(self.http, method, route, str(status)).observe(seconds)

    def observe_block(self, topic: str, seconds: float) -> None:
        """Count seconds in which a topic's handler ("" where none is known) blocked the event loop."""
        self._blocked.labels(topic).inc(seconds)

    def observe_lag(self, seconds: float, most: float) -> None:
        """Count how late the event loop was, and the most that it was of late."""
        self._lag.observe(seconds)
        self._most_lag.set(most)

    def drop_spans(self, why: str, spans: int) -> None:
        """Count spans that are lost; called from any thread."""
        self.spans_dropped.labels(why).inc(spans)

    def count(self, event: str, topic: str) -> None:
        """Count one event; of a topic that was not expected, as a forged message may name one, as one of `OTHER`."""
        label = topic if topic in self._topics else OTHER
        self.of(self._events, event, label).inc()
        if (former := FORMER_NAMES.get(event)) is not None:
            self.of(self._events, former, label).inc()
        if event in _DEAD:
            self.dead_letters.labels(label, _DEAD[event]).inc()

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


class CountingJournal:
    """A journal that counts what is written to another, whatever level that keeps."""

    def __init__(self, journal: Journal, metrics: Metrics) -> None:
        self._journal = journal
        self._metrics = metrics

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        topic = values.get("topic", "") if task is None else task.topic
        self._metrics.count(event, topic if isinstance(topic, str) else "")
        self._journal.write(event, task=task, level=level, **values)
