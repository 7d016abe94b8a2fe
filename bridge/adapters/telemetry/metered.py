"""Counts and times each step of a task, and hands it on to the tracer whose trace it belongs to."""

from __future__ import annotations

import contextvars
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from bridge.adapters.telemetry.metrics import Metrics
from bridge.domain.lifecycle import Event, Move
from bridge.domain.submission import Submission
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, Task, Variables
from bridge.domain.trace_context import parse
from bridge.ports.clock import Clock
from bridge.ports.engine import EngineTask
from bridge.ports.tracer import Attempt, Fetching, Publishing, Tracer

_ENDS: Mapping[Event, str] = {
    Event.DELIVERED_RETRY: "retried",
    Event.FAILURE_TAKEN: "retried",
    Event.DELIVERED_INCIDENT: "failed",
    Event.UNDELIVERABLE: "undeliverable",
    Event.SUPERSEDE: "superseded",
    Event.GONE: "cancelled",
    Event.END_UNKNOWN: "unknown",
}


class MeteredTracer:
    """A tracer that measures. A time that is observed has its trace as an exemplar, where that is recorded."""

    def __init__(self, tracer: Tracer, metrics: Metrics, clock: Clock) -> None:
        self._tracer = tracer
        self._metrics = metrics
        self._clock = clock

    def begin(self, task_id: str, variables: Variables, caller: str | None = None) -> str:
        return self._tracer.begin(task_id, variables, caller)

    def submission(self, submission: Submission) -> AbstractContextManager[Submission]:
        return self._tracer.submission(submission)

    def headers(self) -> Mapping[str, str]:
        return self._tracer.headers()

    def delivery(self, task: Task) -> AbstractContextManager[None]:
        return self._tracer.delivery(task)

    @contextmanager
    def fetch(self, worker_id: str, topics: Sequence[str]) -> Iterator[Fetching]:
        with self._tracer.fetch(worker_id, topics) as fetching:
            yield _CountedFetch(fetching, self._metrics)

    @contextmanager
    def publish(self, topic: str, tasks: Sequence[Task]) -> Iterator[Publishing]:
        with self._tracer.publish(topic, tasks) as publishing:
            yield _TimedPublish(publishing, topic, self._metrics)

    def attempt(self, task: Task, claim_id: str) -> Attempt:
        if task.attempts <= 1:
            waited = (self._clock.now() - task.created_at).total_seconds()
            self._metrics.of(self._metrics.waits, task.topic).observe(max(0.0, waited), exemplar_of(task))
        return _Timed(self._tracer.attempt(task, claim_id), task, self._metrics)

    def settled(self, task: Task, move: Move) -> None:
        self._tracer.settled(task, move)
        match move.event:
            case Event.DEFER:
                self._metrics.of(self._metrics.deferred, task.topic).inc()
            case Event.DELIVERED_COMPLETION | Event.ENDED_BY_US:
                completed = isinstance(task.outcome, Completion) and not move.thrown
                result = "completed" if completed else "bpmn_error"
                self._metrics.of(self._metrics.tasks, task.topic, result).inc()
                took = (self._clock.now() - task.created_at).total_seconds()
                self._metrics.of(self._metrics.lives, task.topic).observe(max(0.0, took), exemplar_of(task))
            case event:
                self._count_end(task, event)

    def claim_expired(self, task: Task) -> None:
        self._tracer.claim_expired(task)
        self._metrics.of(self._metrics.attempts, task.topic, "lost").inc()

    def lost(self, task: Task, event: Event) -> None:
        self._tracer.lost(task, event)
        self._count_end(task, event)

    def _count_end(self, task: Task, event: Event) -> None:
        self._metrics.of(self._metrics.tasks, task.topic, _ENDS.get(event, event.value)).inc()
        if event in {Event.SUPERSEDE, Event.GONE}:
            how = "stolen" if event is Event.SUPERSEDE else "gone"
            self._metrics.of(self._metrics.locks_lost, task.topic, how).inc()


class _CountedFetch:
    """A fetch whose tasks are counted."""

    __slots__ = ("_fetching", "_metrics")

    def __init__(self, fetching: Fetching, metrics: Metrics) -> None:
        self._fetching = fetching
        self._metrics = metrics

    def fetched(self, tasks: Sequence[EngineTask]) -> None:
        self._fetching.fetched(tasks)
        for topic, number in Counter(task.topic for task in tasks).items():
            self._metrics.of(self._metrics.fetched, topic).inc(number)


class _TimedPublish:
    """A publish that is timed until the broker's answer, and whose confirms are counted."""

    __slots__ = ("_began", "_metrics", "_publishing", "_topic")

    def __init__(self, publishing: Publishing, topic: str, metrics: Metrics) -> None:
        self._publishing = publishing
        self._topic = topic
        self._metrics = metrics
        self._began = time.perf_counter()

    def confirmed(self, errors: Sequence[BaseException | None]) -> None:
        self._publishing.confirmed(errors)
        self._metrics.of(self._metrics.publishes, self._topic).observe(time.perf_counter() - self._began)
        unconfirmed = sum(error is not None for error in errors)
        if unconfirmed:
            self._metrics.of(self._metrics.published, self._topic, "unconfirmed").inc(unconfirmed)
        self._metrics.of(self._metrics.published, self._topic, "confirmed").inc(len(errors) - unconfirmed)


class _Timed:
    """A run of a handler that is timed."""

    __slots__ = ("_attempt", "_began", "_metrics", "_task", "context")

    def __init__(self, attempt: Attempt, task: Task, metrics: Metrics) -> None:
        self._attempt = attempt
        self._task = task
        self._metrics = metrics
        self._began = time.perf_counter()
        self.context: contextvars.Context | None = attempt.context

    def ended(self, outcome: Outcome | None, why: str | None = None) -> None:
        topic = self._task.topic
        self._attempt.ended(outcome, why)
        self._metrics.of(self._metrics.runs, topic).observe(time.perf_counter() - self._began, exemplar_of(self._task))
        self._metrics.of(self._metrics.attempts, topic, _result(outcome)).inc()


def _result(outcome: Outcome | None) -> str:
    match outcome:
        case None:
            return "abandoned"
        case Completion():
            return "completed"
        case BpmnFault():
            return "bpmn_error"
        case Failure():
            return "failed"


def exemplar_of(task: Task) -> dict[str, str] | None:
    """Return what links a time to its trace, where that is recorded."""
    found = parse(task.trace)
    return {"trace_id": found[0]} if found is not None and found[2] else None
