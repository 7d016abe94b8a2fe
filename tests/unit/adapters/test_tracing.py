"""What the tracer writes of each step, and where it places it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from bridge.adapters.telemetry.tracing import TAKEN_OVER, OtelTracer, Surroundings
from bridge.domain.errors import EngineRejected, EngineUnavailable, ForeignAnswer, TaskConflict
from bridge.domain.lifecycle import Event, Move
from bridge.domain.submission import Submission
from bridge.domain.task import Attempt, BpmnFault, Completion, Failure, Outcome, State, Task, TypedValue
from bridge.domain.trace_context import kept, place_of, span_of_attempt, span_of_fetch, trace_of, traced
from bridge.ports.engine import EngineTask
from tests.unit.adapters.test_trace_export import Sent
from tests.unit.fakes import HandClock

SECOND = timedelta(seconds=1)


class Bench:
    """A tracer on a clock that moves by hand; `seen` is what it wrote."""

    def __init__(self, *, sampled: bool = True) -> None:
        self.clock = HandClock()
        self.sent = Sent()
        around = Surroundings("r1", "https://engine/engine-rest", "gate", {"orders": ["pin"]}, lambda _id: sampled)
        self.tracer = OtelTracer(self.sent.sink, self.clock, around)

    def task(self, **changes: Any) -> Task:
        now = self.clock.now()
        task = Task("t1", "orders", "w1", now + 60 * SECOND, now, now, 3, trace=self.tracer.begin("t1", {}), attempts=1)
        return task.changed(**changes)

    @property
    def seen(self) -> Sequence[ReadableSpan]:
        self.sent.sink.flush()
        return self.sent.collector.spans

    def one(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.seen if span.name == name]
        return found


def ids(span: ReadableSpan) -> tuple[str, str, str | None]:
    context = span.get_span_context()
    assert context is not None
    parent = None if span.parent is None else api.format_span_id(span.parent.span_id)
    return api.format_trace_id(context.trace_id), api.format_span_id(context.span_id), parent


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def test_a_tasks_span_lies_from_its_creation_to_its_end() -> None:
    bench = Bench()
    task = bench.task(outcome=Completion(), process_definition_key="checkout")
    bench.clock.advance(5 * SECOND)
    bench.tracer.settled(task, Move("t1", Event.DELIVERED_COMPLETION, 1))
    root = bench.one("task orders")
    place = place_of("t1", task.trace)
    assert place is not None
    assert ids(root) == (place.trace_id, place.span_id, None)
    assert (root.end_time or 0) - (root.start_time or 0) == 5_000_000_000
    assert attributes(root)["process.definition.key"] == "checkout"
    assert root.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("event", [Event.DEFER, Event.DELIVERED_RETRY, Event.FAILURE_TAKEN])
def test_what_does_not_end_a_task_writes_no_span_of_it(event: Event) -> None:
    bench = Bench()
    bench.tracer.settled(bench.task(), Move("t1", event, 1))
    assert bench.seen == []


@pytest.mark.parametrize(
    ("event", "result"), [(Event.GONE, "cancelled"), (Event.SUPERSEDE, "superseded"), (Event.EXHAUSTED, "failed")]
)
def test_a_task_that_is_lost_ends(event: Event, result: str) -> None:
    bench = Bench()
    bench.tracer.lost(bench.task(), event)
    assert attributes(bench.one("task orders"))["task.result"] == result


def test_a_message_that_the_broker_refuses_has_a_span() -> None:
    bench = Bench()
    tasks = [bench.task(), bench.task(trace=None, id="t2"), bench.task(id="t3")]
    with bench.tracer.publish("orders", tasks) as publishing:
        publishing.confirmed([None, None, EngineUnavailable("password=hunter2")])
    refused = bench.one("send orders")
    place = place_of("t3", tasks[2].trace)
    assert place is not None
    assert (ids(refused)[0], ids(refused)[2]) == (place.trace_id, place.span_id)
    assert refused.status.description == "EngineUnavailable: password=***"
    assert attributes(refused)["messaging.rabbitmq.destination.routing_key"] == "orders"


@pytest.mark.parametrize(("took", "spans"), [(timedelta(milliseconds=99), 0), (timedelta(milliseconds=100), 1)])
def test_a_message_that_is_confirmed_late_has_a_span(took: timedelta, spans: int) -> None:
    bench = Bench()
    with bench.tracer.publish("orders", [bench.task()]) as publishing:
        bench.clock.advance(took)
        publishing.confirmed([None])
    assert [(span.end_time or 0) - (span.start_time or 0) for span in bench.seen] == [100_000_000] * spans


def test_a_fetch_is_a_trace_of_its_own_and_shown_with_its_tasks() -> None:
    bench = Bench()
    with bench.tracer.fetch("w0", ["orders"]) as fetching:
        fetching.fetched([])
    with bench.tracer.fetch("w1", ["orders"]) as fetching:
        assert bench.tracer.headers()["traceparent"].split("-")[1] == span_of_fetch("w1")[0]
        fetching.fetched([EngineTask("t1", "orders", "w1", None, None)])
    assert bench.seen == []
    with bench.tracer.publish("orders", [bench.task(), bench.task(id="t2")]) as publishing:
        publishing.confirmed([None, None])
    bench.tracer.settled(bench.task(outcome=Completion()), Move("t1", Event.DELIVERED_COMPLETION, 1))
    fetch, root = bench.one("fetch"), bench.one("task orders")
    assert ids(fetch)[:2] == span_of_fetch("w1")
    (link,) = root.links
    assert (api.format_trace_id(link.context.trace_id), api.format_span_id(link.context.span_id)) == ids(fetch)[:2]
    assert bench.tracer.headers() == {}


def test_a_fetch_that_fails_is_shown() -> None:
    bench = Bench(sampled=False)
    with pytest.raises(EngineRejected), bench.tracer.fetch("w1", ["orders"]):
        raise EngineRejected("fetch: HTTP 500", status=500)
    assert attributes(bench.one("fetch"))["http.response.status_code"] == 500


def test_an_attempt_stands_under_its_task() -> None:
    bench = Bench()
    task = bench.task()
    place = place_of("t1", task.trace)
    assert place is not None
    bench.tracer.attempt(task, "c1").ended(Completion())
    (span,) = bench.seen
    assert ids(span) == (place.trace_id, span_of_attempt(place.trace_id, "t1", "c1"), place.span_id)


@pytest.mark.parametrize(
    ("outcome", "result", "error"),
    [
        (Completion(), "completed", None),
        (BpmnFault("REFUSED"), "bpmn_error", None),
        (Failure("ValueError", "pin=1234 of canary bird", "stack of canary bird", 2), "failed", "ValueError"),
    ],
)
def test_an_attempt_says_how_it_ended(outcome: Outcome, result: str, error: str | None) -> None:
    bench = Bench()
    task = bench.task(variables={"name": TypedValue("String", "canary bird")})
    bench.tracer.attempt(task, "c1").ended(outcome)
    span = bench.one("process orders")
    assert attributes(span)["task.result"] == result
    assert attributes(span).get("error.type") == error
    assert "canary" not in span.to_json()
    assert "1234" not in str(span.status.description)


@pytest.mark.parametrize(
    ("outcome", "found"),
    [(Completion(), False), (BpmnFault("REFUSED"), False), (Failure("ValueError", "no", "", 0), True), (None, True)],
)
def test_a_failed_attempt_is_found_by_what_its_task_is_searched_by(outcome: Outcome | None, found: bool) -> None:
    bench = Bench()
    task = bench.task(business_key="order 17", process_instance_id="p1", epoch=2)
    bench.tracer.attempt(task, "c1").ended(outcome, "the process stops")
    searched = {"task.business_key": "order 17", "process.instance.id": "p1", "task.epoch": 2}
    told = attributes(bench.one("process orders"))
    assert {name: told.get(name) for name in searched} == (searched if found else dict.fromkeys(searched))
    assert (told["task.id"], told["task.topic"]) == ("t1", "orders")


def test_a_refused_delivery_is_found_by_what_its_task_is_searched_by() -> None:
    bench = Bench()
    task = bench.task(business_key="order 17", process_instance_id="p1", outcome=Completion())
    with pytest.raises(EngineUnavailable), bench.tracer.delivery(task):
        raise EngineUnavailable("away")
    told = attributes(bench.one("complete"))
    assert (told["task.topic"], told["task.business_key"], told["process.instance.id"]) == ("orders", "order 17", "p1")
    assert "task.epoch" not in told, "the first lease is not told"


def test_a_claim_that_was_taken_over_is_told_by_its_taker_alone() -> None:
    bench = Bench()
    task = bench.task(claim_id="c1", claimed_at=bench.clock.now(), replica="gone")
    zombie = bench.tracer.attempt(task, "c1")
    bench.clock.advance(20 * SECOND)
    bench.tracer.claim_expired(task)
    zombie.ended(None, TAKEN_OVER)
    span = bench.one("process orders")
    assert ids(span)[1] == span_of_attempt(ids(span)[0], "t1", "c1")
    assert (span.end_time or 0) - (span.start_time or 0) == 20_000_000_000
    assert attributes(span)["task.replica"] == "gone"


def test_attempts_of_one_trace_are_told_apart_though_they_were_claimed_together() -> None:
    bench = Bench()
    trace = bench.task().trace
    for name in ("t1", "t2"):
        bench.tracer.attempt(bench.task(id=name, trace=trace), "c1").ended(Completion())
    one, other = (ids(span) for span in bench.seen)
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_an_attempt_that_is_cut_off_says_why() -> None:
    bench = Bench()
    bench.tracer.attempt(bench.task(), "c1").ended(None, "worker w2 holds the task now")
    assert bench.one("process orders").status.description == "Abandoned: worker w2 holds the task now"


async def test_the_attempt_is_current_where_the_handler_runs() -> None:
    bench = Bench()
    attempt = bench.tracer.attempt(bench.task(), "c1")

    async def handler() -> str:
        return bench.tracer.headers()["traceparent"]

    found = await asyncio.create_task(handler(), context=attempt.context)
    attempt.ended(Completion())
    span = bench.one("process orders")
    assert found == f"00-{ids(span)[0]}-{ids(span)[1]}-01"
    assert bench.tracer.headers() == {}


def test_a_second_attempt_shows_its_wait_and_the_first() -> None:
    bench = Bench()
    now = bench.clock.now()
    first = Attempt(1, "c1", "r1", now, now + SECOND, "failed", "ValueError")
    bench.clock.advance(3600 * SECOND)
    task = bench.task(history=(first,), attempts=2)
    bench.tracer.attempt(task, "c2").ended(Completion())
    wait, process = bench.one("wait for the next attempt"), bench.one("process orders")
    assert (wait.end_time or 0) - (wait.start_time or 0) == 3599 * 1_000_000_000
    (link,) = process.links
    assert api.format_span_id(link.context.span_id) == span_of_attempt(ids(process)[0], "t1", "c1")
    bench.tracer.settled(task, Move("t1", Event.DELIVERED_COMPLETION, 1))
    (event,) = bench.one("task orders").events
    assert dict(event.attributes or {}) == {
        "attempt": 1,
        "ended": "failed",
        "replica": "r1",
        "error.type": "ValueError",
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EngineRejected("no", status=500), 500),
        (ForeignAnswer("a login", status=401), 401),
        (EngineUnavailable("away"), None),
        (None, 204),
    ],
)
def test_a_delivery_says_what_the_engine_answered(error: Exception | None, status: int | None) -> None:
    bench = Bench()
    sent: list[Mapping[str, str]] = []
    task = bench.task(outcome=Completion(), reports=2)
    with nullcontext() if error is None else pytest.raises(type(error)), bench.tracer.delivery(task):
        sent.append(bench.tracer.headers())
        if error is not None:
            raise error
    span = bench.one("complete")
    assert attributes(span).get("http.response.status_code") == status
    assert (attributes(span)["server.port"], attributes(span)["http.request.resend_count"]) == (443, 2)
    assert sent == [{"traceparent": f"00-{ids(span)[0]}-{ids(span)[1]}-01"}]


def test_a_refused_submission_is_a_span_that_says_so() -> None:
    bench = Bench()
    with pytest.raises(TaskConflict), bench.tracer.submission(Submission("t1", "w", "orders")):
        raise TaskConflict("locked by another")
    assert bench.one("POST /tasks/submit").status.description == "TaskConflict: locked by another"


@pytest.mark.parametrize("form", ["header", "variable", "typed"])
def test_a_submission_continues_its_callers_trace(form: str) -> None:
    bench = Bench()
    caller = f"00-{'a' * 32}-{'b' * 16}-01"
    forms: dict[str, dict[str, Any]] = {
        "header": {},
        "variable": {"traceparent": caller},
        "typed": {"traceparent": {"value": caller, "type": "String"}},
    }
    variables = forms[form]
    given = Submission("t1", "w", "orders", variables, caller if form == "header" else None)
    with bench.tracer.submission(given) as submission:
        task = bench.task(trace=bench.tracer.begin("t1", {}, submission.trace))
    call = bench.one("POST /tasks/submit")
    assert (ids(call)[0], ids(call)[2]) == ("a" * 32, "b" * 16)
    place = place_of("t1", task.trace)
    assert place is not None
    assert (place.trace_id, place.parent) == ("a" * 32, ids(call)[1])


def test_what_is_not_sampled_is_shown_when_it_fails() -> None:
    bench = Bench(sampled=False)
    well, bad = bench.task(outcome=Completion()), bench.task(id="t2", trace=bench.tracer.begin("t2", {}))
    bench.tracer.attempt(well, "c1").ended(Completion())
    bench.tracer.settled(well, Move("t1", Event.DELIVERED_COMPLETION, 1))
    bench.tracer.attempt(bad, "c2").ended(Failure("ValueError", "no", "", 0))
    failed = bad.changed(state=State.REPORTING, outcome=Failure("ValueError", "no", "", 0))
    bench.tracer.settled(failed, Move("t2", Event.DELIVERED_INCIDENT, 1))
    assert sorted(span.name for span in bench.seen) == ["process orders", "task orders"]
    assert {attributes(span)["task.id"] for span in bench.seen} == {"t2"}


def test_what_a_move_means_for_the_trace() -> None:
    trace = trace_of({}, "t1", samples=lambda _id: False)
    task = Bench().task().changed(trace=trace)
    place = place_of("t1", trace)
    assert place is not None
    for event in (Event.DELIVERED_RETRY, Event.FAILURE_TAKEN, Event.LOSE_CLAIM, Event.GIVE_UP):
        assert traced(task, Move("t1", event, 1)).changes == {"trace": kept(trace)}
    for event in (Event.DELIVERED_INCIDENT, Event.UNDELIVERABLE, Event.SUPERSEDE, Event.EXHAUSTED):
        flags = "00" if event is Event.SUPERSEDE else "01"
        again = traced(task, Move("t1", event, 1)).changes["trace"]
        assert again == f"00-{place.trace_id}-{place.span_id}-{flags}"
        life = place_of("t1", again)
        assert life is not None
        assert (life.parent, life.span_id != place.span_id) == (place.span_id, True)
    for event in (Event.DELIVERED_COMPLETION, Event.DEFER, Event.GONE):
        move = Move("t1", event, 1)
        assert traced(task, move) is move
    move = Move("t1", Event.DELIVERED_INCIDENT, 1)
    assert traced(task.changed(trace=None), move) is move
    recorded = task.changed(trace=kept(trace))
    assert traced(recorded, Move("t1", Event.DELIVERED_RETRY, 1)).changes == {}
