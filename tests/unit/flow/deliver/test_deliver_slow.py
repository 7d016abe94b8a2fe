"""Outcomes after which the engine is at work for long: sent once, holding up no other, and explained on the page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from bridge.adapters.memory.engine import MemoryEngine
from bridge.domain.errors import CallCut, CallNotMade, EngineRejected, EngineUnavailable, ForeignAnswer
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Completion, State, Task, Variables
from bridge.flow.deliver.deliver import MOST_SLOW, OutcomeDelivery
from bridge.flow.deliver.in_flight import Deadlines
from bridge.ports.engine import TopicPoll
from tests.unit.fakes import LOCK, NOW, SECOND, HandClock, Notes, UnreliableStore

ANSWER = timedelta(milliseconds=20)
MOST = 600 * SECOND
WHY = "the step after this task takes longer than 0.02 s in the engine's transaction: set asyncBefore on it"


class SlowEngine(MemoryEngine):
    """Runs a step after each task of `slow`, in the same transaction, until `commit`; `steps` has their runs."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.slow: set[str] = set()
        self.steps: list[str] = []
        self.locks: list[tuple[str, timedelta]] = []
        self.commit = asyncio.Event()
        self.broken = asyncio.Event()
        self.error: EngineUnavailable = EngineUnavailable("reset")

    async def complete(self, task_id: str, worker_id: str, variables: Variables) -> None:
        if task_id not in self.slow:
            await super().complete(task_id, worker_id, variables)
            return
        read = self._tasks.held(task_id, worker_id)
        self.steps.append(task_id)
        transaction = asyncio.create_task(self._transaction(read, worker_id, variables))
        broken = asyncio.create_task(self.broken.wait())
        await asyncio.wait({transaction, broken}, return_when=asyncio.FIRST_COMPLETED)
        if transaction.done():
            broken.cancel()
            await transaction
            return
        raise self.error

    async def _transaction(self, read: object, worker_id: str, variables: Variables) -> None:
        await self.commit.wait()
        task_id = str(getattr(read, "id", ""))
        if self._tasks.visible().get(task_id) is not read:
            raise EngineRejected("the task was updated by another transaction", status=500, code=1)
        await MemoryEngine.complete(self, task_id, worker_id, variables)

    async def lock(self, task_id: str, worker_id: str, duration: timedelta) -> None:
        self.locks.append((task_id, duration))
        await super().lock(task_id, worker_id, duration)


class Flow:
    """Reports of several processes on one engine and one store."""

    def __init__(self) -> None:
        self.clock, self.notes = HandClock(), Notes()
        self.engine = SlowEngine(self.clock)
        self.store = UnreliableStore()
        self.delivery = self.process()

    def process(self, concurrency: int = 1) -> OutcomeDelivery:
        return OutcomeDelivery(
            self.engine, self.store, self.clock, self.notes,
            first_delay=SECOND, most_delay=60 * SECOND, limit=3, concurrency=concurrency,
            deadlines=Deadlines(ANSWER, MOST),
        )  # fmt: skip

    async def decided(self, *, slow: bool = True, activity: str = "task") -> Task:
        task_id = self.engine.add("orders")
        await self.engine.fetch_and_lock("w1", 1, [TopicPoll("orders", LOCK)], timedelta(0))
        task = Task(
            task_id, "orders", "w1", NOW + LOCK, NOW, NOW, 3, state=State.REPORTING, outcome=Completion(),
            process_definition_key="process", activity_id=activity, next_at=NOW + 30 * SECOND,
        )  # fmt: skip
        await self.store.accept([task])
        if slow:
            self.engine.slow.add(task_id)
        return task

    def now(self, task: Task) -> Task:
        return self.store.tasks[task.id]

    async def outlasting(self, task: Task) -> None:
        """Begin a delivery; return when it has outlasted the deadline, and the task says so."""
        self.delivery.put(task)
        await until(lambda: self.now(task).error is not None)

    async def broken(self, task: Task, error: EngineUnavailable) -> None:
        """Begin a delivery of which the connection breaks while the engine is at work on it."""
        self.engine.error = error
        await self.outlasting(task)
        self.engine.broken.set()
        await self.delivery.drain()
        self.engine.broken.clear()

    async def look(self, task: Task, delivery: OutcomeDelivery | None = None) -> Task:
        """Let a process look after the task as it stands, and return what it stands like then."""
        delivery = delivery or self.delivery
        delivery.put(self.now(task))
        await delivery.drain()
        return self.now(task)


async def until(holds: Callable[[], bool]) -> None:
    """Return once it holds; others have their turn meanwhile."""
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.wait({never}, timeout=0.001)


async def test_a_slow_step_runs_once_and_the_page_says_why_the_task_waits() -> None:
    flow = Flow()
    task = await flow.decided()
    await flow.outlasting(task)
    waiting = flow.now(task)
    assert (waiting.state, waiting.error) == (State.REPORTING, WHY)
    assert waiting.in_flight_until == NOW + MOST
    flow.engine.commit.set()
    await flow.delivery.drain()
    done = flow.now(task)
    assert (done.state, done.error, done.in_flight_until) == (State.COMPLETED, None, None)
    assert flow.engine.steps == [task.id]
    assert len(flow.engine.reports) == 1


async def test_it_is_told_once_for_each_activity_and_counted_each_time() -> None:
    flow = Flow()
    for activity in ("charge", "charge", "ship"):
        await flow.outlasting(await flow.decided(activity=activity))
    assert [line.values["activity"] for line in flow.notes.of("next_step_slow")] == ["charge", "ship"]
    assert {line.values["why"] for line in flow.notes.of("next_step_slow")} == {WHY}
    assert len(flow.notes.of("delivery_slow")) == 3
    flow.engine.commit.set()
    await flow.delivery.drain()


async def test_other_outcomes_do_not_wait_for_slow_ones_and_those_are_no_backlog() -> None:
    flow = Flow()  # one at a time
    slow = [await flow.decided() for _ in range(MOST_SLOW + 9)]
    await flow.outlasting(slow[0])
    for task in slow[1:]:
        flow.delivery.put(task)
    other = await flow.decided(slow=False, activity="quick")
    flow.delivery.put(other)
    await until(lambda: flow.now(other).state is State.COMPLETED)
    assert len(flow.engine.steps) == MOST_SLOW
    assert not flow.delivery.backlogged
    flow.engine.commit.set()
    await flow.delivery.drain()
    assert {flow.now(task).state for task in slow} == {State.COMPLETED}
    assert sorted(flow.engine.steps) == sorted(task.id for task in slow)


async def test_the_lock_of_an_activity_that_is_known_as_slow_outlasts_the_step() -> None:
    flow = Flow()
    first = await flow.decided()
    await flow.outlasting(first)
    flow.clock.advance(100 * SECOND)
    flow.engine.commit.set()
    await flow.delivery.drain()
    assert flow.engine.locks == []
    await flow.look(await flow.decided())
    ((_, lock),) = flow.engine.locks
    assert lock == 200 * SECOND


# while the engine is at work on it


async def test_no_other_process_sends_it_meanwhile() -> None:
    flow = Flow()
    task = await flow.decided()
    await flow.outlasting(task)
    other = flow.process()
    for _ in range(3):
        flow.clock.advance(60 * SECOND)
        seen = await flow.look(task, other)
        assert (seen.state, seen.error) == (State.REPORTING, WHY)
        assert seen.next_at is not None
    flow.engine.commit.set()
    await flow.delivery.drain()
    assert flow.now(task).state is State.COMPLETED
    assert flow.engine.steps == [task.id]


async def test_under_a_new_lease_it_is_sent_only_when_the_engine_has_refused_the_first() -> None:
    flow = Flow()
    task = await flow.decided()
    await flow.outlasting(task)
    flow.clock.advance(LOCK + SECOND)  # the lock ends during the transaction, and the engine offers the task again
    (lease,) = await flow.engine.fetch_and_lock("w2", 1, [TopicPoll("orders", LOCK)], timedelta(0))
    assert lease.id == task.id
    (again,) = await flow.store.accept([task.changed(worker_id="w2", lease_until=flow.clock.now() + LOCK)])
    assert again is not None
    assert (again.state, again.epoch) == (State.REPORTING, 2)
    other = flow.process()
    other.put(again)
    await other.drain()
    assert flow.engine.steps == [task.id]
    flow.engine.commit.set()
    await flow.delivery.drain()
    free = flow.now(task)
    assert (free.state, free.in_flight_until, free.next_at) == (State.REPORTING, None, flow.clock.now())
    assert (await flow.look(task, other)).state is State.COMPLETED
    assert len(flow.engine.reports) == 1


# when the connection breaks


@pytest.mark.parametrize("error", [EngineUnavailable("reset"), CallCut("HTTP 504"), ForeignAnswer("504", status=504)])
async def test_what_the_engine_may_be_at_work_on_is_not_sent_again_but_asked_for(error: EngineUnavailable) -> None:
    flow = Flow()
    task = await flow.decided()
    await flow.broken(task, error)
    for _ in range(5):
        flow.clock.advance(60 * SECOND)
        assert (await flow.look(task)).state is State.REPORTING
    flow.engine.commit.set()
    await until(lambda: bool(flow.engine.reports))
    assert (await flow.look(task, flow.process())).state is State.COMPLETED
    assert flow.engine.steps == [task.id]


async def test_when_the_larger_deadline_has_passed_it_is_sent_again_with_its_lock_proven() -> None:
    flow = Flow()
    task = await flow.decided()
    await flow.broken(task, EngineUnavailable("reset"))
    flow.engine.slow.clear()  # the transaction was rolled back
    flow.clock.advance(MOST - SECOND)
    assert (await flow.look(task)).state is State.REPORTING
    flow.clock.advance(SECOND)
    done = await flow.look(task, flow.process())
    assert (done.state, done.in_flight_until) == (State.COMPLETED, None)
    assert [task_id for task_id, _ in flow.engine.locks] == [task.id]


async def test_a_task_that_another_worker_took_meanwhile_is_not_sent() -> None:
    flow = Flow()
    task = await flow.decided()
    await flow.broken(task, EngineUnavailable("reset"))
    await flow.engine.unlock(task.id)
    await flow.engine.lock(task.id, "thief", LOCK)
    assert (await flow.look(task)).state is State.SUPERSEDED
    assert flow.engine.steps == [task.id]


@pytest.mark.parametrize(
    "error",
    [
        EngineUnavailable("reset"),
        CallNotMade("refused"),
        ForeignAnswer("401", status=401),
        ForeignAnswer("504", status=504),
    ],
)
async def test_what_fails_at_once_is_sent_again_after_its_delay(error: EngineUnavailable) -> None:
    flow = Flow()
    task = await flow.decided(slow=False)
    flow.engine.fail_next("complete", error)
    deferred = await flow.look(task)
    assert (deferred.state, deferred.in_flight_until) == (State.REPORTING, None)
    assert (await flow.look(task)).state is State.COMPLETED


async def test_a_call_that_was_not_made_keeps_no_slow_activity_from_being_told() -> None:
    flow = Flow()
    await flow.outlasting(await flow.decided())
    flow.engine.commit.set()
    await flow.delivery.drain()
    task = await flow.decided(slow=False)
    flow.engine.fail_next("complete", CallNotMade("the engine did not answer lately"))
    assert (await flow.look(task)).in_flight_until is None
    assert (await flow.look(task)).state is State.COMPLETED


async def test_an_engine_that_answers_nothing_is_not_taken_for_a_slow_step() -> None:
    flow = Flow()
    task = await flow.decided()
    flow.engine.fail_next("version", EngineUnavailable("no answer"))
    await flow.outlasting(task)
    waiting = flow.now(task)
    assert "the engine has not answered" in (waiting.error or "")
    assert waiting.in_flight_until == NOW + 2 * ANSWER
    assert flow.notes.of("next_step_slow") == []
    flow.engine.broken.set()
    await flow.delivery.drain()
    flow.engine.slow.clear()
    flow.clock.advance(SECOND)
    assert (await flow.look(task)).state is State.COMPLETED


# the end of the process


async def test_the_end_leaves_what_is_not_answered_in_time_to_others() -> None:
    flow = Flow()
    task = await flow.decided()
    await flow.outlasting(task)
    await flow.delivery.drain(timedelta(0))
    assert flow.delivery.pending == 0
    assert [line.values["tasks"] for line in flow.notes.of("outcomes_left")] == [1]
    left = flow.now(task)
    assert (left.state, left.in_flight_until) == (State.REPORTING, NOW + MOST)
    assert (await flow.look(task, flow.process())).state is State.REPORTING
    assert flow.engine.steps == [task.id]


async def test_the_end_writes_of_a_delivery_that_had_only_begun() -> None:
    flow = Flow()
    task = await flow.decided()
    flow.delivery.put(task)
    await until(lambda: flow.engine.steps == [task.id])
    await flow.delivery.drain(timedelta(0))
    assert flow.now(task).in_flight_until == NOW + 2 * ANSWER


# the store


async def test_a_store_that_is_away_meanwhile_loses_nothing() -> None:
    flow = Flow()
    task = await flow.decided()
    flow.store.away = {"move"}
    flow.delivery.put(task)
    await until(lambda: bool(flow.notes.of("delivery_not_recorded")))
    assert flow.store.refused
    flow.store.away = set()
    flow.engine.commit.set()
    await flow.delivery.drain()
    assert flow.now(task).state is State.COMPLETED


async def test_what_waited_long_for_its_turn_is_read_again_before_it_is_sent() -> None:
    flow = Flow()
    first, second = await flow.decided(activity="a"), await flow.decided(slow=False)
    flow.engine.fail_next("version", EngineUnavailable("no answer"))
    flow.delivery.put(first)
    flow.delivery.put(second)
    await flow.store.move([Move(second.id, Event.GONE, 1, changes={"updated_at": NOW, "finished_at": NOW})])
    flow.clock.advance(20 * SECOND)
    flow.engine.commit.set()
    await flow.delivery.drain()
    assert flow.now(second).state is State.CANCELLED
    assert second.id not in {report.task_id for report in flow.engine.reports}
