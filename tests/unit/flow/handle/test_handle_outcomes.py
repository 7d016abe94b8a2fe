"""What becomes of a decision: stored, doubled, refused, too large, or late at the end of the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from bridge.domain.errors import StoreError, TaskTooLarge, VariableError
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Completion, Failure, State, Task
from bridge.ports.store import ClaimRequest
from bridge.topic import Topic, topic
from tests.unit.fakes import NOW, SECOND
from tests.unit.flow_lab import Acknowledger, Lab, LabStore, Order, Work


async def test_a_finished_outcome_is_stored_at_the_end_though_the_store_was_away_for_a_moment() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("move")
    lab.handle.stop()
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.store.struck == ["move"]
    await lab.delivery.drain()
    assert lab.state(task) is State.COMPLETED
    assert len(lab.engine.of("complete")) == 1


async def test_a_decision_whose_answer_was_lost_is_recognised_and_reported_once() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("move", after=True)
    assert (await lab.deliver(task)).given == ["ack"]
    await lab.delivery.drain()
    assert lab.store.struck == ["move"]
    assert lab.order.count("decide") == 1
    assert lab.engine.of("complete") == [task.id]
    assert (lab.state(task), len(lab.now(task).history)) == (State.COMPLETED, 1)


async def test_a_decision_whose_answer_was_lost_is_not_delivered_again_where_another_did_that() -> None:
    lab = Lab()
    lab.work.result = ValueError("no")
    task = await lab.task()

    def deliver() -> None:
        moved = lab.store._apply(Move(task.id, Event.DELIVERED_RETRY, 1))
        assert moved is not None

    lab.store.before["get"] = deliver
    lab.store.fail_next("move", after=True)
    assert (await lab.deliver(task)).given == ["ack"]
    await lab.delivery.drain()
    assert lab.store.struck == ["move"]
    assert lab.engine.of("fail") == [], "the retries may have been set anew since"
    assert lab.state(task) is State.RETRYING
    assert lab.notes.of("outcome_discarded") == []


async def test_a_task_that_was_given_up_meanwhile_is_not_taken_for_decided() -> None:
    """Its claim id stays on it: two results would reach the engine, and not the stored one."""
    lab = Lab()
    task = await lab.task()
    lost = Failure("ClaimLost", "lost", "", 0)

    def give_up() -> None:
        (claim,) = lab.claims
        attempt = lab.handle._attempt(claim, lost)
        lab.store._apply(
            Move(
                task.id,
                Event.GIVE_UP,
                1,
                claim.claim_id,
                {"outcome": lost},
                attempt=type(attempt)(1, claim.claim_id, "r1", NOW, NOW, "lost"),
            )
        )

    lab.store.fail_next("move")
    lab.store.before["move"] = lambda: lab.store.before.update(move=give_up)
    assert (await lab.deliver(task)).given == ["ack"]
    await lab.delivery.drain()
    assert lab.store.struck == ["move"]
    assert (lab.state(task), lab.now(task).outcome) == (State.REPORTING, lost)
    assert lab.engine.of("complete") == []
    assert len(lab.notes.of("outcome_discarded")) == 1


async def test_an_outcome_that_the_fence_refuses_is_discarded() -> None:
    lab = Lab(Work(held=True))
    task = await lab.task()
    running, claim = await lab.begin(task)
    await lab.store.move([Move(task.id, Event.LOSE_CLAIM, 1, claim.claim_id)])
    lab.work.go.set()
    assert (await running).given == ["ack"]
    await lab.delivery.drain()
    assert len(lab.notes.of("outcome_discarded")) == 1
    assert (lab.state(task), lab.now(task).outcome, lab.engine.of("complete")) == (State.RECEIVED, None, [])


@pytest.mark.parametrize(
    "error",
    [TaskTooLarge("20 MB"), VariableError("an odd string"), StoreError("refused"), TypeError("no kind of value")],
)
async def test_a_result_that_can_not_be_stored_becomes_an_incident(error: Exception) -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("move", error)
    assert (await lab.deliver(task)).given == ["ack"]
    await lab.delivery.drain()
    assert lab.store.struck == ["move"]
    assert lab.state(task) is State.FAILED
    assert [attempt.error for attempt in lab.now(task).history] == [type(error).__name__]
    assert str(error) in (lab.now(task).error or "")
    assert [incident.id for incident in lab.engine.incidents()] == [task.id]


class Narrow(LabStore):
    """Refuses a batch as a whole where one member is too large."""

    batches: list[int]

    async def move(self, moves: Sequence[Move]) -> Sequence[bool]:
        if any("big" in getattr(move.changes.get("outcome"), "variables", {}) for move in moves):
            self.batches.append(len(moves))
            raise TaskTooLarge("20 MB")
        return await super().move(moves)


async def test_a_result_that_is_too_large_does_not_fail_its_neighbours() -> None:
    small, large = Work(held=True), Work(held=True)
    large.result = {"big": True}
    lab = Lab(topics=[small.topic("orders"), large.topic("mail")])
    lab.store = Narrow(lab.order)
    lab.store.batches = []
    lab.delivery = lab.new_delivery()
    lab.claims, lab.handle = lab.replica("r1")
    tasks = await lab.task("orders"), await lab.task("mail")
    running = [asyncio.create_task(lab.deliver(task)) for task in tasks]
    await asyncio.gather(small.begun.wait(), large.begun.wait())
    small.go.set()
    large.go.set()
    await asyncio.gather(*running)
    await lab.delivery.drain()
    assert lab.store.batches == [2, 1], "both in one batch, then the large one alone"
    assert [lab.state(task) for task in tasks] == [State.COMPLETED, State.FAILED]


class Partly(LabStore):
    """Writes a batch, and then fails as if one of its members had been refused; `partly` names the call."""

    partly: str

    async def move(self, moves: Sequence[Move]) -> Sequence[bool]:
        made = await super().move(moves)
        self._refuse("move", len(moves))
        return made

    async def claim(self, claims: Sequence[ClaimRequest]) -> Sequence[Task | None]:
        found = await super().claim(claims)
        self._refuse("claim", len(claims))
        return found

    def _refuse(self, call: str, size: int) -> None:
        if call == self.partly and size > 1:
            self.struck.append(call)
            raise StoreError("MongoDB refused a write")


@pytest.mark.parametrize("call", ["move", "claim"])
async def test_what_was_written_before_its_batch_failed_is_known_and_not_lost(call: str) -> None:
    lab = Lab(Work(held=True))
    lab.store = Partly(lab.order)
    lab.store.partly = call
    lab.delivery = lab.new_delivery()
    lab.claims, lab.handle = lab.replica("r1")
    tasks = [await lab.task() for _ in range(3)]
    running = [asyncio.create_task(lab.deliver(task)) for task in tasks]
    while len(lab.work.runs) < 3:
        lab.work.begun.clear()
        async with asyncio.timeout(10):
            await lab.work.begun.wait()
    lab.work.go.set()
    assert [(await each).given for each in running] == [["ack"]] * 3
    await lab.delivery.drain()
    assert call in lab.store.struck
    assert sorted(lab.work.runs) == sorted(task.id for task in tasks)
    assert [(lab.state(task), lab.now(task).attempts) for task in tasks] == [(State.COMPLETED, 1)] * 3
    assert sorted(lab.engine.of("complete")) == sorted(task.id for task in tasks)
    assert lab.notes.of("outcome_discarded") == lab.notes.of("duplicate_message") == []


async def test_what_the_process_can_not_end_is_given_back_and_no_retry_is_burnt() -> None:
    lab = Lab(Work(held=True))
    task = await lab.task()
    running, _ = await lab.begin(task)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    kept = lab.now(task)
    assert lab.work.cancelled == 1
    assert (kept.state, kept.retries, kept.history, kept.lost_claims) == (State.RETRYING, 3, (), 0)
    assert (kept.claim_id, kept.outcome, kept.next_at) == (None, None, NOW + SECOND)
    assert "ack" not in lab.order
    assert (lab.engine.of("fail"), lab.engine.of("unlock")) == ([], [task.id])
    assert await lab.offered() == [task.id]
    assert len(lab.claims) == 0


async def at_the_end_of_the_grace_time(lab: Lab, task: Task) -> asyncio.Task[Acknowledger]:
    """Return the delivery of a task, cancelled while its decision is being written: until `hangs` is set."""
    writes, lab.store.hangs = asyncio.Event(), asyncio.Event()
    lab.store.before["move"] = writes.set
    running = asyncio.create_task(lab.deliver(task))
    async with asyncio.timeout(10):
        await writes.wait()
    assert lab.state(task) is State.RUNNING, "it is being written"
    running.cancel()
    await asyncio.wait({running}, timeout=0)
    assert not running.done()
    lab.store.hangs.set()
    return running


async def test_a_decision_that_is_being_written_at_the_end_of_the_grace_time_is_awaited() -> None:
    lab = Lab()
    task = await lab.task()
    running = await at_the_end_of_the_grace_time(lab, task)
    assert (await running).given == ["ack"]
    await lab.delivery.drain()
    assert lab.order == ["decide", "ack", "complete", "delivered_completion"]
    assert (lab.state(task), lab.work.runs, lab.engine.of("unlock")) == (State.COMPLETED, [task.id], [])


async def test_an_unclear_decision_at_the_end_of_the_grace_time_is_not_waited_for_any_longer() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("move", after=True)
    running = await at_the_end_of_the_grace_time(lab, task)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert lab.store.struck == ["move"]
    assert (lab.state(task), lab.engine.of("unlock"), lab.notes.of("store_unavailable")) == (State.REPORTING, [], [])


async def test_what_was_taken_over_meanwhile_is_not_unlocked_at_the_end() -> None:
    lab = Lab(Work(held=True))
    task = await lab.task()
    running, _ = await lab.begin(task)
    lab.put(task, claim_id="another's")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (lab.state(task), lab.engine.of("unlock")) == (State.RUNNING, [])


async def test_what_can_not_be_given_back_expires_by_itself() -> None:
    lab = Lab(Work(held=True))
    task = await lab.task()
    running, _ = await lab.begin(task)
    lab.store.fail_next("move")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert lab.store.struck == ["move"]
    assert (lab.state(task), lab.engine.of("unlock")) == (State.RUNNING, [])
    assert [due.id for due in (await lab.store.due(State.RUNNING, NOW + 20 * SECOND, 10)).tasks] == [task.id]


class Threaded:
    """A plain handler, which runs in a thread and can't be cancelled: it waits there for `go`."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun, self.ended, self.go = asyncio.Event(), asyncio.Event(), threading.Event()

    def topic(self) -> Topic[Order, Order]:
        def handler(order: Order) -> Order:
            self.loop.call_soon_threadsafe(self.begun.set)
            assert self.go.wait(10)
            self.loop.call_soon_threadsafe(self.ended.set)
            return order

        return topic("orders")(handler)


async def test_the_late_result_of_a_thread_is_dropped() -> None:
    plain = Threaded()
    lab = Lab(topics=[plain.topic()])
    task = await lab.task()
    running = asyncio.create_task(lab.deliver(task))
    await plain.begun.wait()
    (claim,) = lab.claims
    claim.lose("stolen")
    await lab.notes.until("handler_cancelled")
    before = lab.now(task)
    assert not running.done(), "its message keeps the thread's place"
    assert not plain.ended.is_set()
    plain.go.set()
    assert (await running).given == ["ack"]
    await plain.ended.wait()
    await lab.delivery.drain()
    assert (lab.now(task), before.outcome, lab.engine.of("complete")) == (before, None, [])
    assert [line.values["why"] for line in lab.notes.of("handler_cancelled")] == ["stolen"]
    lab.run.close()


async def test_the_outcome_is_stored_with_its_attempt_and_a_time_by_which_it_is_looked_at() -> None:
    lab = Lab()
    task: Task = await lab.task()
    await lab.deliver(task)
    kept = lab.now(task)
    assert isinstance(kept.outcome, Completion)
    assert (kept.state, kept.next_at, kept.history[0].replica) == (State.REPORTING, NOW + 30 * SECOND, "r1")
    await lab.delivery.drain()
