"""`bridge.ports.tracer.Tracer` on OpenTelemetry: one trace a task, from the fetch to the engine's answer."""

from __future__ import annotations

import contextvars
import random
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import context as otel
from opentelemetry import trace as api
from opentelemetry.trace import NonRecordingSpan, SpanKind
from opentelemetry.trace.propagation import set_span_in_context

from bridge.adapters.telemetry.attributes import OPERATIONS, RESULTS, describe, trace_given_by
from bridge.adapters.telemetry.provider import SpanSink
from bridge.adapters.telemetry.spans import AttemptSpan, Attributes, Draft, Hide, nanos, scope_with
from bridge.domain.errors import EngineRejected, EngineUnavailable, ForeignAnswer, GatewayError
from bridge.domain.lifecycle import Event, Move
from bridge.domain.quoted_values import without_values
from bridge.domain.redaction import mask_text
from bridge.domain.submission import Submission
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, Source, Task, Variables
from bridge.domain.trace_context import (
    Place,
    is_sampled,
    parse,
    place_of,
    span_of_attempt,
    span_of_fetch,
    trace_of,
    traceparent,
)
from bridge.ports.clock import Clock
from bridge.ports.engine import EngineTask
from bridge.ports.tracer import UNSEEN, Attempt, Fetching, Publishing

TAKEN_OVER: Final = "the claim was taken over"
"""Why an attempt is abandoned whose span the process that took it over has written."""
LATE_CONFIRM: Final = 100_000_000
"""Nanoseconds from a publish to its confirm from which on the messages get spans."""
_MOST_FETCHES: Final = 64


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What spans say of the gateway itself. `samples` tells of a new trace's id whether it is recorded."""

    replica: str
    engine_url: str
    exchange: str
    secrets: Mapping[str, Collection[str]]
    samples: Callable[[str], bool]


class OtelTracer:
    """Makes the spans of tasks; `docs/decisions/0012-one-trace-a-task.md` says which, and under what id."""

    def __init__(self, sink: SpanSink, clock: Clock, around: Surroundings) -> None:
        self._sink = sink
        self._clock = clock
        self._around = around
        address = urlsplit(around.engine_url)
        self._engine: Attributes = {
            "server.address": address.hostname or "",
            "server.port": address.port or (443 if address.scheme == "https" else 80),
        }
        self._fetches: OrderedDict[str, Draft] = OrderedDict()
        self._chance = random.Random()  # noqa: S311 - it makes ids, it keeps no secret

    def begin(self, task_id: str, variables: Variables, caller: str | None = None) -> str:
        return trace_of(variables, task_id, caller=caller, samples=self._around.samples)

    def headers(self) -> Mapping[str, str]:
        found = api.get_current_span().get_span_context()
        if not found.is_valid:
            return {}
        trace, span = api.format_trace_id(found.trace_id), api.format_span_id(found.span_id)
        return {"traceparent": traceparent(trace, span, found.trace_flags.sampled)}

    # -- into the gateway

    @contextmanager
    def submission(self, submission: Submission) -> Iterator[Submission]:
        """As the port says: a span for the call, under the caller's, and the task's under that."""
        caller = parse(submission.trace) or parse(trace_given_by(submission))
        trace, _, sampled = caller or parse(self.begin("", {})) or ("", "", False)
        route: Attributes = {
            "http.request.method": "POST",
            "http.route": "/tasks/submit",
            "task.id": submission.task_id,
            "task.topic": submission.topic,
        }
        parent = None if caller is None else caller[1]
        draft = Draft(trace, self._fresh(), parent, "POST /tasks/submit", SpanKind.SERVER, self._now(), route)
        try:
            yield replace(submission, trace=traceparent(trace, draft.span_id, sampled))
        except GatewayError as error:
            draft.fail(type(error).__name__, mask_text(str(error)), self._now())
            raise
        finally:
            draft.end = self._now()
            self._sink.put(draft, sampled)

    @contextmanager
    def fetch(self, worker_id: str, topics: Sequence[str]) -> Iterator[Fetching]:
        """As the port says. Sent when one of its tasks is recorded, or when it failed."""
        trace, span = span_of_fetch(worker_id)
        attributes: Attributes = {
            **self._engine,
            "worker.id": worker_id,
            "fetch.topics": ",".join(topics[:20]),
        }
        draft = Draft(trace, span, None, "fetch", SpanKind.CLIENT, self._now(), attributes)
        token = otel.attach(set_span_in_context(NonRecordingSpan(draft.context(self._around.samples(trace)))))
        try:
            yield _Fetch(self, worker_id, draft)
        except (EngineRejected, EngineUnavailable) as error:
            self._refused(draft, error, mask_text)
            self._sink.put(draft, True)
            raise
        finally:
            otel.detach(token)

    def keep_fetch(self, worker_id: str, draft: Draft, tasks: int) -> None:
        """Keep the span of a fetch that brought tasks until one of them is recorded."""
        draft.end = self._now()
        draft.attributes |= {"http.response.status_code": 200, "messaging.batch.message_count": tasks}
        self._fetches[worker_id] = draft
        if len(self._fetches) > _MOST_FETCHES:
            self._fetches.popitem(last=False)

    def _show_fetch(self, worker_id: str) -> None:
        draft = self._fetches.pop(worker_id, None)
        if draft is not None:
            self._sink.put(draft, True)

    # -- to the broker and from it

    @contextmanager
    def publish(self, topic: str, tasks: Sequence[Task]) -> Iterator[Publishing]:
        for task in tasks:
            if task.worker_id in self._fetches and is_sampled(task.trace):
                self._show_fetch(task.worker_id)
        yield _Publish(self, topic, tasks, self._now())

    def end_publish(
        self, topic: str, tasks: Sequence[Task], began: int, errors: Sequence[BaseException | None]
    ) -> None:
        """Write a span for each message that the broker refused, or confirmed late: the others tell nothing."""
        now = self._now()
        is_late = now - began >= LATE_CONFIRM
        for task, error in zip(tasks, errors, strict=True):
            place = place_of(task.id, task.trace) if is_late or error is not None else None
            if place is None:
                continue
            attributes: Attributes = {
                "messaging.system": "rabbitmq",
                "messaging.destination.name": self._around.exchange,
                "messaging.rabbitmq.destination.routing_key": topic,
                "messaging.operation.type": "send",
                "task.id": task.id,
            }
            draft = _draft(place, self._fresh(), f"send {topic}", SpanKind.PRODUCER, began, attributes)
            draft.end = now
            if error is not None:
                draft.fail(type(error).__name__, mask_text(str(error)), now)
            self._sink.put(draft, place.sampled)

    def attempt(self, task: Task, claim_id: str) -> Attempt:
        place = place_of(task.id, task.trace)
        if place is None:
            return UNSEEN
        draft = self._processing(place, task, claim_id, self._now())
        if task.history:
            last = task.history[-1]
            draft.links = ((place.trace_id, span_of_attempt(place.trace_id, task.id, last.claim_id)),)
            began, name = nanos(last.ended_at), "wait for the next attempt"
            wait = _draft(place, self._fresh(), name, SpanKind.INTERNAL, began, {"task.id": task.id})
            wait.end = draft.start
            self._sink.put(wait, place.sampled)
        return _Attempt(self, task, place, draft)

    def _processing(self, place: Place, task: Task, claim_id: str, start: int) -> Draft:
        attributes: Attributes = {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "process",
            "task.id": task.id,
            "task.topic": task.topic,
            "task.attempt": task.attempts,
            "worker.id": task.worker_id,
        }
        span = span_of_attempt(place.trace_id, task.id, claim_id)
        return _draft(place, span, f"process {task.topic}", SpanKind.CONSUMER, start, attributes)

    def end_attempt(self, task: Task, place: Place, draft: Draft, outcome: Outcome | None, why: str) -> None:
        """Write the span of an attempt that decided, or did not get to."""
        now = draft.end = self._now()
        hide = self.hiding(task)
        match outcome:
            case None:
                draft.attributes |= {**describe(task), "task.result": "abandoned"}
                draft.fail("Abandoned", hide(why), now)
            case Completion():
                draft.attributes["task.result"] = "completed"
            case BpmnFault(code):
                # What a process is modelled for is no fault of the attempt.
                draft.attributes |= {"task.result": "bpmn_error", "bpmn.error.code": hide(code)}
            case Failure(name, message, details, retries):
                draft.attributes |= {**describe(task), "task.result": "failed", "task.retries": retries}
                draft.fail(name, hide(message), now, hide(details))
        self._sink.put(draft, place.sampled)
        if isinstance(outcome, Failure) and not place.sampled:
            self._keep(task, place)

    def _keep(self, task: Task, place: Place) -> None:
        """Record a task that failed, whatever was sampled."""
        self._sink.release(place.trace_id)
        self._show_fetch(task.worker_id)

    def hiding(self, task: Task) -> Hide:
        """Return what takes the topic's secrets and the task's values out of a text."""
        also = self._around.secrets.get(task.topic, ())
        return lambda text: mask_text(without_values(text, task.inputs), also)

    # -- out of the gateway

    @contextmanager
    def delivery(self, task: Task) -> Iterator[None]:
        place = place_of(task.id, task.trace)
        if place is None or task.outcome is None:
            yield
            return
        attributes = {**self._engine}
        name = OPERATIONS[type(task.outcome)]
        draft = _draft(place, self._fresh(), name, SpanKind.CLIENT, self._now(), attributes)
        if task.reports:
            draft.attributes["http.request.resend_count"] = task.reports
        token = otel.attach(set_span_in_context(NonRecordingSpan(draft.context(place.sampled))))
        try:
            yield
            draft.attributes["http.response.status_code"] = 204
        except (EngineRejected, EngineUnavailable) as error:
            draft.attributes |= describe(task)
            self._refused(draft, error, self.hiding(task))
            raise
        finally:
            otel.detach(token)
            draft.end = self._now()
            self._sink.put(draft, place.sampled)

    def _refused(self, draft: Draft, error: EngineRejected | EngineUnavailable, hide: Hide) -> None:
        draft.end = self._now()
        if isinstance(error, EngineRejected | ForeignAnswer):
            draft.attributes["http.response.status_code"] = error.status
        draft.fail(type(error).__name__, hide(str(error)), draft.end)

    def settled(self, task: Task, move: Move) -> None:
        place = place_of(task.id, task.trace)
        if place is None:
            return
        if move.event in RESULTS:
            self._end(task, place, move.event)
        elif move.event in {Event.DELIVERED_RETRY, Event.FAILURE_TAKEN} and not place.sampled:
            self._keep(task, place)

    def claim_expired(self, task: Task) -> None:
        place = place_of(task.id, task.trace)
        if place is None:
            return
        now = self._now()
        began = now if task.claimed_at is None else nanos(task.claimed_at)
        draft = self._processing(place, task, task.claim_id or "", began)
        draft.end = now
        draft.attributes |= {**describe(task), "task.result": "lost", "task.replica": task.replica or ""}
        draft.fail("ClaimLost", f"replica {task.replica} sent no heartbeat", now)
        self._sink.put(draft, place.sampled)
        if not place.sampled:
            self._keep(task, place)

    def lost(self, task: Task, event: Event) -> None:
        place = place_of(task.id, task.trace)
        if place is not None:
            self._end(task, place, event)

    def _end(self, task: Task, place: Place, event: Event) -> None:
        """Write the task's own span, from its creation to now; what came before stands under it."""
        result = RESULTS.get(event, event.value)
        if result != "failed" and not place.sampled and not self._sink.shows(place.trace_id):
            self._sink.forget(place.trace_id)
            return
        attributes: Attributes = {
            **describe(task),
            "task.result": result,
            "task.attempts": task.attempts,
        }
        if task.process_definition_key is not None:
            attributes["process.definition.key"] = task.process_definition_key
        began = nanos(task.created_at)
        draft = _draft(place, place.span_id, f"task {task.topic}", SpanKind.INTERNAL, began, attributes)
        draft.parent, draft.end = place.parent, self._now()
        if task.source is Source.POLLED:
            draft.links = (span_of_fetch(task.worker_id),)
        for attempt in task.history:
            told: Attributes = {"attempt": attempt.number, "ended": attempt.ended, "replica": attempt.replica}
            if attempt.error is not None:
                told["error.type"] = mask_text(attempt.error)
            draft.events.append(("attempt", nanos(attempt.ended_at), told))
        if result == "failed":
            message = task.outcome.message if isinstance(task.outcome, Failure) else ""
            kind = task.outcome.name if isinstance(task.outcome, Failure) else "Undeliverable"
            draft.fail(kind, self.hiding(task)(message), draft.end)
            if not place.sampled:
                self._keep(task, place)
        self._sink.put(draft, place.sampled)
        if not place.sampled:
            self._sink.forget(place.trace_id)

    def _fresh(self) -> str:
        return f"{self._chance.getrandbits(64) or 1:016x}"

    def _now(self) -> int:
        return nanos(self._clock.now())


def _draft(  # noqa: PLR0917 - a draft's own fields
    place: Place, span: str, name: str, kind: SpanKind, start: int, attributes: Attributes
) -> Draft:
    return Draft(place.trace_id, span, place.span_id, name, kind, start, attributes)


class _Fetch:
    """A fetch whose span is written with its tasks."""

    __slots__ = ("_draft", "_tracer", "_worker_id")

    def __init__(self, tracer: OtelTracer, worker_id: str, draft: Draft) -> None:
        self._tracer = tracer
        self._worker_id = worker_id
        self._draft = draft

    def fetched(self, tasks: Sequence[EngineTask]) -> None:
        if tasks:
            self._tracer.keep_fetch(self._worker_id, self._draft, len(tasks))


class _Publish:
    """A publish whose messages get spans where that went badly."""

    __slots__ = ("_began", "_tasks", "_topic", "_tracer")

    def __init__(self, tracer: OtelTracer, topic: str, tasks: Sequence[Task], began: int) -> None:
        self._tracer = tracer
        self._topic = topic
        self._tasks = tasks
        self._began = began

    def confirmed(self, errors: Sequence[BaseException | None]) -> None:
        self._tracer.end_publish(self._topic, self._tasks, self._began, errors)


class _Attempt:
    """The run of a handler whose span is written."""

    __slots__ = ("_draft", "_place", "_task", "_tracer", "context")

    def __init__(self, tracer: OtelTracer, task: Task, place: Place, draft: Draft) -> None:
        self._tracer = tracer
        self._task = task
        self._place = place
        self._draft = draft
        hide = tracer.hiding(task)
        self.context: contextvars.Context | None = scope_with(AttemptSpan(draft, place.sampled, hide), hide)

    def ended(self, outcome: Outcome | None, why: str | None = None) -> None:
        if outcome is not None or why != TAKEN_OVER:
            self._tracer.end_attempt(self._task, self._place, self._draft, outcome, why or "")
