"""Each step of a task is counted and timed, and its time leads to its trace."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client.exposition import choose_encoder

from bridge.adapters.telemetry.metered import MeteredTracer
from bridge.adapters.telemetry.metrics import TASK_RESULTS, CountingJournal, Metrics
from bridge.domain.errors import BrokerUnavailable
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, Task
from bridge.domain.trace_context import trace_id
from bridge.ports.engine import EngineTask
from bridge.ports.tracer import NoTracer
from tests.unit.fakes import HandClock, Notes

SECOND = timedelta(seconds=1)


class Bench:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.metrics = Metrics()
        self.tracer = MeteredTracer(NoTracer(), self.metrics, self.clock)

    def task(self, outcome: Outcome | None = None, attempts: int = 1) -> Task:
        now = self.clock.now()
        trace = self.tracer.begin("t1", {})
        return Task("t1", "orders", "w", now, now, now, 3, trace=trace, outcome=outcome, attempts=attempts)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"topic": "orders", **labels})


def test_a_completion_that_the_model_turned_into_a_bpmn_error_is_counted_as_one() -> None:
    bench = Bench()
    bench.tracer.settled(bench.task(Completion()), Move("t1", Event.ENDED_BY_US, 1, thrown=True))
    assert bench.value("gateway_tasks_total", result="bpmn_error") == 1
    assert bench.value("gateway_tasks_total", result="completed") is None


@pytest.mark.parametrize(
    ("event", "outcome", "result"),
    [
        (Event.DELIVERED_COMPLETION, Completion(), "completed"),
        (Event.ENDED_BY_US, Completion(), "completed"),
        (Event.DELIVERED_COMPLETION, BpmnFault("NO"), "bpmn_error"),
        (Event.DELIVERED_RETRY, Failure("E", "", "", 1), "retried"),
        (Event.FAILURE_TAKEN, Failure("E", "", "", 1), "retried"),
        (Event.DELIVERED_INCIDENT, Failure("E", "", "", 0), "failed"),
        (Event.UNDELIVERABLE, Completion(), "undeliverable"),
        (Event.GONE, Completion(), "cancelled"),
        (Event.SUPERSEDE, Completion(), "superseded"),
        (Event.END_UNKNOWN, Completion(), "unknown"),
        (Event.ENDED_BY_US, Failure("E", "", "", 1), "bpmn_error"),
    ],
)
def test_a_task_is_counted_by_what_became_of_it(event: Event, outcome: Outcome, result: str) -> None:
    bench = Bench()
    bench.tracer.settled(bench.task(outcome), Move("t1", event, 1))
    assert bench.value("gateway_tasks_total", result=result) == 1
    assert result in TASK_RESULTS


def test_a_delivery_that_is_put_off_is_no_end() -> None:
    bench = Bench()
    bench.tracer.settled(bench.task(Completion()), Move("t1", Event.DEFER, 1))
    assert bench.value("gateway_outcomes_deferred_total") == 1
    assert bench.value("gateway_tasks_total", result="completed") is None


@pytest.mark.parametrize(("event", "how"), [(Event.SUPERSEDE, "stolen"), (Event.GONE, "gone")])
def test_a_lost_lock_says_how(event: Event, how: str) -> None:
    bench = Bench()
    bench.tracer.lost(bench.task(), event)
    assert bench.value("gateway_locks_lost_total", how=how) == 1


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Completion(), "completed"),
        (BpmnFault("NO"), "bpmn_error"),
        (Failure("E", "", "", 0), "failed"),
        (None, "abandoned"),
    ],
)
def test_a_run_is_timed_and_counted(outcome: Outcome | None, result: str) -> None:
    bench = Bench()
    bench.tracer.attempt(bench.task(), "c1").ended(outcome)
    assert bench.value("gateway_attempts_total", result=result) == 1
    assert bench.value("gateway_task_run_seconds_count") == 1


def test_a_task_waits_for_its_first_run_only_once() -> None:
    bench = Bench()
    task = bench.task()
    bench.clock.advance(3 * SECOND)
    bench.tracer.attempt(task, "c1")
    bench.clock.advance(3600 * SECOND)
    bench.tracer.attempt(task.changed(attempts=2), "c2")
    assert bench.value("gateway_task_wait_seconds_sum") == 3
    assert bench.value("gateway_task_wait_seconds_count") == 1


def test_a_claim_that_expired_is_a_lost_run() -> None:
    bench = Bench()
    bench.tracer.claim_expired(bench.task())
    assert bench.value("gateway_attempts_total", result="lost") == 1


def test_messages_are_counted_by_their_confirms() -> None:
    bench = Bench()
    with bench.tracer.publish("orders", [bench.task()] * 3) as publishing:
        publishing.confirmed([None, BrokerUnavailable("no confirm"), None])
    assert bench.value("gateway_published_total", result="confirmed") == 2
    assert bench.value("gateway_published_total", result="unconfirmed") == 1
    assert bench.value("gateway_publish_seconds_count") == 1


def test_what_the_engine_gave_is_counted_by_topic() -> None:
    bench = Bench()
    with bench.tracer.fetch("w", ["orders"]) as fetching:
        fetching.fetched([EngineTask(str(number), "orders", "w", None, None) for number in range(3)])
    assert bench.value("gateway_fetched_total") == 3


def test_a_time_leads_to_its_trace() -> None:
    bench = Bench()
    task = bench.task(Completion())
    bench.tracer.settled(task, Move("t1", Event.DELIVERED_COMPLETION, 1))
    encode, _ = choose_encoder("application/openmetrics-text")
    text = encode(bench.metrics.registry).decode()
    assert f'# {{trace_id="{trace_id(task.trace)}"}}' in text
    other = task.changed(trace=f"{(task.trace or '')[:-2]}00")
    bench.tracer.attempt(other, "c1").ended(Completion())
    lines = encode(bench.metrics.registry).decode().splitlines()
    assert not [line for line in lines if line.startswith("gateway_task_run_seconds") and "trace_id" in line]


def test_counters_begin_at_zero() -> None:
    metrics = Metrics()
    metrics.expect(["orders"])
    for result in TASK_RESULTS:
        assert metrics.registry.get_sample_value("gateway_tasks_total", {"topic": "orders", "result": result}) == 0
    assert metrics.registry.get_sample_value("gateway_spans_dropped_total", {"why": "collector"}) == 0


def test_dead_letters_are_counted_by_what_became_of_them() -> None:
    metrics, journal = Metrics(), Notes()
    counting = CountingJournal(journal, metrics)
    metrics.expect(["orders"])
    counting.write("message_undecodable", topic="orders", reason="no JSON")
    counting.write("dead_letter_revived", task=Bench().task(), reason="expired")
    counting.write("started")
    for what in ("undecodable", "revived"):
        labels = {"topic": "orders", "what": what}
        assert metrics.registry.get_sample_value("gateway_dead_letters_total", labels) == 1
    assert metrics.registry.get_sample_value("gateway_events_total", {"event": "started", "topic": ""}) == 1


def test_topics_that_messages_name_make_no_labels() -> None:
    metrics = Metrics()
    metrics.expect(["orders"])
    counting = CountingJournal(Notes(), metrics)
    for number in range(1000):
        counting.write("dead_letter_kept", topic=f"{'t' * 1000}{number}", reason="forged")
    seen = {
        sample.labels["topic"] for family in metrics.registry.collect() for sample in family.samples
        if "topic" in sample.labels
    }  # fmt: skip
    assert seen == {"", "orders", "other"}
    assert metrics.registry.get_sample_value("gateway_dead_letters_total", {"topic": "other", "what": "kept"}) == 1000
