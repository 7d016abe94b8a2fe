"""What Prometheus reads: counted where it happens, with labels of few values."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from bridge.ports import Journal, Level
from bridge.task import Task

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The gateway's own metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._engine = Histogram(
            "gateway_engine_call_seconds",
            "Calls to the engine by operation and HTTP status (none: no answer came).",
            ("operation", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._events = Counter(
            "gateway_events", "What happened, as the log has it.", ("event", "topic"), registry=self.registry
        )

    def observe_engine(self, operation: str, status: int | None, seconds: float) -> None:
        """Count one call to the engine."""
        self._engine.labels(operation, "none" if status is None else str(status)).observe(seconds)

    def count(self, event: str, topic: str) -> None:
        """Count one event."""
        self._events.labels(event, topic).inc()


class CountingJournal:
    """A journal that counts what is written to another, whatever level that keeps."""

    def __init__(self, journal: Journal, metrics: Metrics) -> None:
        self._journal = journal
        self._metrics = metrics

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        self._metrics.count(event, "" if task is None else task.topic)
        self._journal.write(event, task=task, level=level, **values)
