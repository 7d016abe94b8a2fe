"""What the flow tells is counted, by minute and topic; what the store doesn't take is kept for the next time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.errors import EngineRejected, StoreUnavailable
from bridge.domain.statistics import Count, Failures, Overview, Range, Rollup, Step, beginning, overview
from bridge.domain.task import Failure, State, Task, TypedValue
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.flow.handle.handle import Handle, HandleConfig
from bridge.operations import statistics as statistics_module
from bridge.operations.statistics import StatisticsCollector, StatisticsJournal
from bridge.testing import make_context
from bridge.topic import BpmnError, Fail
from tests.unit.fakes import NOW, SECOND, HandClock, Notes, a_task
from tests.unit.flow_lab import CLAIM, RELEASE, Lab, Work

MINUTE = 60 * SECOND


class AwayDashboardStore(MemoryDashboardStore):
    """A dashboard store that takes no statistics while it's `away`."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab.store)
        self.away = False

    async def add(self, rollups: Mapping[Step, Sequence[Rollup]], failures: Sequence[Failures]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        await super().add(rollups, failures)


class Counted(Lab):
    """The lab's flow with a journal that counts."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.dashboard_store = AwayDashboardStore(self)
        self.statistics = StatisticsCollector(self.dashboard_store, self.clock)
        self.counting = StatisticsJournal(self.notes, self.statistics)
        self.delivery = OutcomeDelivery(
            self.engine, self.store, self.clock, self.counting, first_delay=SECOND, most_delay=60 * SECOND, limit=1,
            concurrency=4,
        )  # fmt: skip
        self.counted_handle = Handle(
            store=self.store, lease=self.lease, run=self.run, delivery=self.delivery, claims=self.claims,
            topics=self.topics, context=lambda task: make_context(task_id=task.id, attempt=task.attempts),
            clock=self.clock, journal=self.counting, config=HandleConfig("r1", CLAIM, release_after=RELEASE),
        )  # fmt: skip

    async def worked(self, **fields: Any) -> Task:
        """Have a task wait three seconds and run; return it when its outcome is delivered."""
        task = await self.task(**fields)
        self.clock.advance(3 * SECOND)
        await self.deliver(task, handle=self.counted_handle)
        await self.delivery.drain()
        return self.now(task)

    async def overview(self) -> Overview:
        await self.statistics.flush()
        now = self.clock.now()
        rows = await self.dashboard_store.rollups(Range.HOUR.step, beginning(Range.HOUR, now))
        return overview(rows, Range.HOUR, None, now)


def nonzero(counts: Mapping[Count, int]) -> dict[Count, int]:
    return {what: count for what, count in counts.items() if count}


async def test_a_run_that_completes_is_counted_with_its_times() -> None:
    lab = Counted(Work())
    assert (await lab.worked()).state is State.COMPLETED
    found = await lab.overview()
    assert nonzero(found.counts) == {Count.STARTED: 1, Count.COMPLETED: 1}
    assert found.waiting.p50 == pytest.approx(3, rel=0.1)
    assert found.running.p50 == pytest.approx(0.001)
    assert found.failed_share == 0


@pytest.mark.parametrize(
    ("error", "retries", "expected"),
    [
        (ValueError("no 17"), 2, {Count.FAILED: 1, Count.RETRIED: 1}),
        (Fail("no 17"), 2, {Count.FAILED: 1, Count.INCIDENTS: 1}),
        (BpmnError("refused"), 2, {Count.BPMN_ERRORS: 1, Count.COMPLETED: 1}),
    ],
)
async def test_how_a_run_ends_is_counted(error: Exception, retries: int, expected: dict[Count, int]) -> None:
    work = Work()
    work.result = error
    lab = Counted(work)
    task = await lab.worked(retries=retries)
    assert nonzero((await lab.overview()).counts) == {Count.STARTED: 1, **expected}
    groups = await lab.dashboard_store.failure_groups(NOW - MINUTE, lab.clock.now())
    failed = Count.FAILED in expected
    assert [(group.error, group.fingerprint) for group in groups] == (
        [(type(error).__name__, task.error_fp)] if failed else []
    )
    assert (task.error_type, task.error_fp is not None) == (type(error).__name__ if failed else None, failed)


async def test_failures_of_one_cause_are_one_group_and_a_success_clears_it() -> None:
    work = Work()
    lab = Counted(work)
    prints = set()
    for number in (1, 2):
        work.result = ValueError(f"order {number} is broken")
        task = await lab.worked()
        prints.add(task.error_fp)
    await lab.statistics.flush()
    (group,) = await lab.dashboard_store.failure_groups(NOW - MINUTE, lab.clock.now())
    assert (group.total, group.last_hour, group.sample) == (2, 2, "ValueError: order 2 is broken")
    assert prints == {group.fingerprint}


async def test_a_task_that_succeeds_at_last_has_no_cause_any_more() -> None:
    lab = Counted(Work())
    task = await lab.task()
    lab.put(task, error_type="ValueError", error_fp="f")
    await lab.deliver(lab.now(task), handle=lab.counted_handle)
    await lab.delivery.drain()
    assert (lab.now(task).state, lab.now(task).error_type, lab.now(task).error_fp) == (State.COMPLETED, None, None)


async def test_an_outcome_that_the_engine_refuses_is_a_failure_of_its_own() -> None:
    lab = Counted(Work())
    lab.engine.fail_next("complete", EngineRejected("Unsupported value type", status=400))
    task = await lab.worked()
    assert (task.state, task.error_type) == (State.FAILED, "EngineRejected")
    assert nonzero((await lab.overview()).counts) == {Count.STARTED: 1, Count.INCIDENTS: 1}
    (group,) = await lab.dashboard_store.failure_groups(NOW - MINUTE, lab.clock.now())
    assert (group.fingerprint, group.error) == (task.error_fp, "EngineRejected")


async def test_events_without_a_run_are_counted() -> None:
    lab = Counted(Work())
    lab.counting.write("tasks_received", topics={"orders": 3, "mail": 1})
    lab.counting.write("submission_accepted", task=a_task())
    lab.counting.write("claim_expired", task=a_task())
    given_up = a_task(error_type="ClaimLost", error_fp="f", outcome=Failure("ClaimLost", "m", "", 0))
    lab.counting.write("claim_limit_reached", task=given_up, message="m")
    lab.counting.write("outcome_settled", task=a_task(), how="gone", kept=True)
    lab.counting.write("outcome_settled", task=a_task(), how="supersede", kept=True)
    lab.counting.write("outcome_settled", task=a_task(), how="ended_by_us", kept=False, thrown=True)
    lab.counting.write("outcome_settled", task=a_task(), how="ended_by_us", kept=True, thrown=True)
    lab.counting.write("anything", task=a_task())
    found = await lab.overview()
    assert nonzero(found.by_topic["orders"].counts) == {
        Count.RECEIVED: 4,
        Count.BPMN_ERRORS: 1,
        Count.LOST: 1,
        Count.COMPLETED: 1,
        Count.CANCELLED: 1,
        Count.SUPERSEDED: 1,
    }
    assert nonzero(found.by_topic["mail"].counts) == {Count.RECEIVED: 1}
    assert len(lab.notes.lines) == 9, "and each is written"
    assert await lab.dashboard_store.failure_group("f", NOW) is not None


async def test_what_the_store_does_not_take_is_kept() -> None:
    lab = Counted(Work())
    lab.dashboard_store.away = True
    lab.statistics.count("orders", Count.STARTED)
    lab.statistics.failed(a_task(error_type="E", error_fp="f"), "x" * 900)
    with pytest.raises(StoreUnavailable):
        await lab.statistics.flush()
    lab.clock.advance(MINUTE)
    lab.statistics.count("orders", Count.STARTED)
    lab.statistics.failed(a_task(error_type="E", error_fp="f"), "y")
    with pytest.raises(StoreUnavailable):
        await lab.statistics.flush()
    lab.dashboard_store.away = False
    found = await lab.overview()
    assert found.counts[Count.STARTED] == 2
    assert [point.counts[Count.STARTED] for point in found.points[-2:]] == [1, 1]
    group = await lab.dashboard_store.failure_group("f", NOW + MINUTE)
    assert group is not None
    assert (group.total, group.sample, group.first_seen, group.last_seen) == (2, "y", NOW, NOW + MINUTE)
    await lab.statistics.flush()
    assert (await lab.overview()).counts[Count.STARTED] == 2


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_module, "MOST", 3)
    lab = Counted(Work())
    lab.dashboard_store.away = True
    for _ in range(5):
        lab.statistics.count("orders", Count.STARTED)
        with pytest.raises(StoreUnavailable):
            await lab.statistics.flush()
        lab.clock.advance(MINUTE)
    assert lab.statistics.dropped == 2
    lab.dashboard_store.away = False
    assert (await lab.overview()).counts[Count.STARTED] == 3


@pytest.mark.parametrize("wanted", Range)
async def test_every_range_has_its_steps(wanted: Range) -> None:
    lab = Counted(Work())
    lab.clock.advance(timedelta(days=9, minutes=7))
    lab.statistics.count("orders", Count.COMPLETED, 5)
    await lab.statistics.flush()
    now = lab.clock.now()
    rows = await lab.dashboard_store.rollups(wanted.step, beginning(wanted, now))
    found = overview(rows, wanted, "orders", now)
    assert found.points[-1].at <= now < found.points[-1].at + wanted.step.value
    assert len(found.points) == wanted.span // wanted.step.value
    assert (found.counts[Count.COMPLETED], found.by_topic["orders"].series[-1]) == (5, 5)
    assert found.per_second == pytest.approx(5 / wanted.span.total_seconds())
    assert overview(rows, wanted, "mail", now).counts[Count.COMPLETED] == 0
    assert overview([], wanted, None, now).failed_share is None


async def test_counting_costs_next_to_nothing() -> None:
    """A bound far above what it takes, so that only a mistake of another order is told."""
    lab = Counted(Work())
    task = a_task(attempts=1, claimed_at=NOW + SECOND, variables={"a": TypedValue("Integer", 1)})
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(10_000):
        lab.counting.write("handler_started", task=task)
        lab.counting.write("handler_completed", task=task)
    assert loop.time() - began < 3


def test_a_failure_that_a_new_lease_shows_was_taken_counts_as_a_retry_once() -> None:
    statistics = StatisticsCollector(MemoryDashboardStore(MemoryStore()), HandClock())
    journal = StatisticsJournal(Notes(), statistics)
    for kept in (True, False):
        journal.write("failure_taken", task=a_task(), kept=kept)
    assert nonzero(statistics._now("orders").counts) == {Count.RETRIED: 1}
