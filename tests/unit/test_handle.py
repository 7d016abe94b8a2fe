"""From a message to a stored outcome, through each fault: nothing runs twice, and nothing is acknowledged unkept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.errors import BrokerUnavailable, StoreError, StoreRefusing, StoreUnavailable, TaskTooLarge, VariableError
from bridge.lifecycle import Event, Move
from bridge.ports import Claim as Wish
from bridge.task import Completion, Failure, State, Task, TaskKey
from bridge.topic import Topic, topic
from tests.unit.fakes import NOW, SECOND
from tests.unit.flow_lab import Lab, LabStore, Order, Verdict, Work


async def test_a_message_is_acknowledged_after_its_outcome_is_stored_and_that_before_the_engine_hears_of_it() -> None:
    lab = Lab()
    task = await lab.task()
    verdict = await lab.deliver(task)
    await lab.report.drain()
    assert lab.order == ["decide", "ack", "complete", "delivered_completion"]
    assert verdict.given == ["ack"]
    kept = lab.now(task)
    assert (kept.state, kept.attempts, [attempt.ended for attempt in kept.history]) == (
        State.COMPLETED,
        1,
        ["completed"],
    )
    assert len(lab.claims) == 0


async def test_a_duplicate_is_acknowledged_and_the_handler_runs_once() -> None:
    lab = Lab()
    task = await lab.task()
    verdicts = await asyncio.gather(*(lab.deliver(task) for _ in range(5)))
    late = await lab.deliver(task)
    assert [verdict.given for verdict in [*verdicts, late]] == [["ack"]] * 6
    assert lab.work.runs == [task.id]
    assert [(begun.id, begun.epoch) for begun in lab.begun] == [(task.id, 1)]
    assert len(lab.notes.of("message_matches_nothing")) == 5


@pytest.mark.parametrize("state", [state for state in State if state not in {State.RECEIVED, State.QUEUED}])
async def test_a_late_message_is_acknowledged_and_changes_nothing(state: State) -> None:
    lab = Lab()
    task = await lab.task()
    before = lab.put(task, state=state, claim_id="other")
    assert (await lab.deliver(task)).given == ["ack"]
    assert (lab.work.runs, lab.now(task)) == ([], before)


async def test_a_message_about_nothing_is_acknowledged() -> None:
    lab = Lab()
    verdict = Verdict()
    await lab.handle("orders", TaskKey("unknown", 1), verdict)
    assert verdict.given == ["ack"]


async def test_a_message_of_an_earlier_lease_is_acknowledged_and_that_of_the_new_is_worked() -> None:
    lab = Lab()
    old = await lab.task()
    new = await lab.fetched(old.id, "orders", "w1")
    assert new.epoch == 2
    assert (await lab.deliver(old)).given == ["ack"]
    assert lab.work.runs == []
    await lab.deliver(new)
    assert lab.work.runs == [old.id]


async def test_a_claim_whose_answer_was_lost_is_found_again_and_worked() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("claim", after=True)
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.store.struck == ["claim"]
    assert lab.work.runs == [task.id]
    assert (lab.state(task), lab.now(task).attempts) == (State.REPORTING, 1)


async def test_a_claim_whose_answer_was_lost_is_worked_once_though_its_message_came_twice() -> None:
    lab = Lab(Work(held=True))
    task = await lab.task()
    lab.store.fail_next("claim", after=True)
    deliveries = [asyncio.create_task(lab.deliver(task)) for _ in range(2)]
    duplicate, _ = await asyncio.wait(deliveries, return_when=asyncio.FIRST_COMPLETED)
    assert lab.store.struck == ["claim"]
    # It ends while the other's handler runs, or before that: an id in common would have it run, and wait, as well.
    assert [delivery.result().given for delivery in duplicate] == [["ack"]]
    lab.work.go.set()
    await asyncio.gather(*deliveries)
    assert lab.work.runs == [task.id]
    assert len(lab.notes.of("message_matches_nothing")) == 1


async def test_a_claim_whose_answer_was_lost_and_that_expired_since_is_made_anew() -> None:
    lab = Lab()
    task = await lab.task()

    def expire() -> None:
        lab.store._apply(Move(task.id, Event.LOSE_CLAIM, 1, lab.now(task).claim_id))

    lab.store.before["get"] = expire
    lab.store.fail_next("claim", after=True)
    lab.store.fail_next("get")
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.store.struck == ["claim", "get"]
    assert (lab.work.runs, lab.now(task).attempts, lab.now(task).lost_claims) == ([task.id], 2, 1)


async def test_a_message_waits_for_a_store_that_is_away() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("claim")
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.store.struck == ["claim"]
    assert len(lab.notes.of("store_awaited")) == 1
    assert lab.work.runs == [task.id]


async def test_at_the_end_of_the_process_a_message_is_given_back_instead() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("claim")
    lab.handle.stop()
    assert (await lab.deliver(task)).given == ["requeue"]
    assert lab.store.struck == ["claim"]
    assert (lab.work.runs, lab.state(task), len(lab.claims)) == ([], State.RECEIVED, 0)


async def test_a_finished_outcome_is_stored_at_the_end_though_the_store_was_away_for_a_moment() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("move")
    lab.handle.stop()
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.store.struck == ["move"]
    await lab.report.drain()
    assert lab.state(task) is State.COMPLETED
    assert len(lab.engine.of("complete")) == 1


async def test_a_decision_whose_answer_was_lost_is_recognised_and_reported_once() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("move", after=True)
    assert (await lab.deliver(task)).given == ["ack"]
    await lab.report.drain()
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
    await lab.report.drain()
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
    await lab.report.drain()
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
    await lab.report.drain()
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
    await lab.report.drain()
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
    lab.report = lab.reporter()
    lab.claims, lab.handle = lab.replica("r1")
    tasks = await lab.task("orders"), await lab.task("mail")
    running = [asyncio.create_task(lab.deliver(task)) for task in tasks]
    await asyncio.gather(small.begun.wait(), large.begun.wait())
    small.go.set()
    large.go.set()
    await asyncio.gather(*running)
    await lab.report.drain()
    assert lab.store.batches == [2, 1], "both in one batch, then the large one alone"
    assert [lab.state(task) for task in tasks] == [State.COMPLETED, State.FAILED]


class Partly(LabStore):
    """Writes a batch, and then fails as if one of its members had been refused; `partly` names the call."""

    partly: str

    async def move(self, moves: Sequence[Move]) -> Sequence[bool]:
        made = await super().move(moves)
        self._refuse("move", len(moves))
        return made

    async def claim(self, claims: Sequence[Wish]) -> Sequence[Task | None]:
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
    lab.report = lab.reporter()
    lab.claims, lab.handle = lab.replica("r1")
    tasks = [await lab.task() for _ in range(3)]
    running = [asyncio.create_task(lab.deliver(task)) for task in tasks]
    while len(lab.work.runs) < 3:
        lab.work.begun.clear()
        async with asyncio.timeout(10):
            await lab.work.begun.wait()
    lab.work.go.set()
    assert [(await each).given for each in running] == [["ack"]] * 3
    await lab.report.drain()
    assert call in lab.store.struck
    assert sorted(lab.work.runs) == sorted(task.id for task in tasks)
    assert [(lab.state(task), lab.now(task).attempts) for task in tasks] == [(State.COMPLETED, 1)] * 3
    assert sorted(lab.engine.of("complete")) == sorted(task.id for task in tasks)
    assert lab.notes.of("outcome_discarded") == lab.notes.of("message_matches_nothing") == []


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


async def at_the_end_of_the_grace_time(lab: Lab, task: Task) -> asyncio.Task[Verdict]:
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
    await lab.report.drain()
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
    assert (lab.state(task), lab.engine.of("unlock"), lab.notes.of("store_awaited")) == (State.REPORTING, [], [])


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
    assert [due.id for due in await lab.store.due(NOW + 20 * SECOND, 10)] == [task.id]


async def test_a_handler_that_is_cancelled_from_within_has_failed() -> None:
    """Taken for the end of the process it would be given back and run again for ever, at no cost of retries."""
    lab = Lab()
    lab.work.result = asyncio.CancelledError()
    task = await lab.task()
    assert (await lab.deliver(task)).given == ["ack"]
    await lab.report.drain()
    kept = lab.now(task)
    assert (kept.state, [attempt.error for attempt in kept.history]) == (State.RETRYING, ["CancelledError"])
    assert (lab.engine.of("fail"), lab.engine.of("unlock")) == ([task.id], [])


async def test_a_lost_acknowledgement_is_harmless() -> None:
    lab = Lab()
    task = await lab.task()
    lost = await lab.deliver(task, Verdict(error=BrokerUnavailable("the connection is gone")))
    assert (lost.given, lost.lost) == ([], ["ack"])
    assert (await lab.deliver(task)).given == ["ack"]
    assert lab.work.runs == [task.id]


async def test_a_return_that_is_lost_is_harmless() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("claim")
    lab.handle.stop()
    lost = await lab.deliver(task, Verdict(error=BrokerUnavailable("the connection is gone")))
    assert lost.lost == ["requeue"]


async def test_a_store_that_refuses_is_not_hidden_and_the_claim_is_let_go() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("move", StoreError("refused"))
    lab.store.fail_next("move", StoreError("refused too"))
    with pytest.raises(StoreError, match="refused too"):
        await lab.deliver(task)
    assert lab.store.struck == ["move", "move"], "the result, and that it can't be stored"
    assert (lab.state(task), len(lab.claims)) == (State.RUNNING, 0)


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
    await lab.report.drain()
    assert (lab.now(task), before.outcome, lab.engine.of("complete")) == (before, None, [])
    assert [line.values["why"] for line in lab.notes.of("handler_cancelled")] == ["stolen"]
    lab.run.close()


async def test_a_lost_answer_is_no_reason_to_take_an_others_claim_for_ours() -> None:
    lab = Lab()
    task = await lab.task()
    lab.put(task, state=State.RUNNING, claim_id="another's")
    lab.store.fail_next("claim", StoreUnavailable("away"))
    assert (await lab.deliver(task)).given == ["ack"]
    assert (lab.store.struck, lab.work.runs) == (["claim"], [])


async def test_the_outcome_is_stored_with_its_attempt_and_a_time_by_which_it_is_looked_at() -> None:
    lab = Lab()
    task: Task = await lab.task()
    await lab.deliver(task)
    kept = lab.now(task)
    assert isinstance(kept.outcome, Completion)
    assert (kept.state, kept.next_at, kept.history[0].replica) == (State.REPORTING, NOW + 30 * SECOND, "r1")
    await lab.report.drain()


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_message_goes_back_late_where_the_store_refuses_its_claim(at_once: bool) -> None:
    """Given back at once it would come back at once, until the broker gives it up."""
    lab = Lab()
    task = await lab.task()
    after = timedelta(0) if at_once else timedelta(hours=1)
    lab.handle._terms = replace(lab.handle._terms, return_after=after)
    lab.store.fail_next("claim", StoreError("MongoDB refused (claim): no such thing"))
    delivering = asyncio.create_task(lab.deliver(task))
    while not lab.store.struck:
        await asyncio.wait({delivering}, timeout=0)
    if at_once:
        with pytest.raises(StoreError, match="no such thing"):
            await delivering
    else:
        await asyncio.wait({delivering}, timeout=0.01)
        assert not delivering.done()
        delivering.cancel()
        await asyncio.wait({delivering})
    assert (lab.work.runs, lab.state(task)) == ([], State.RECEIVED)


async def test_a_refusal_that_lasts_is_waited_out_as_an_outage_is() -> None:
    lab = Lab()
    task = await lab.task()
    lab.store.fail_next("claim", StoreRefusing("not authorized"))
    verdict = await lab.deliver(task)
    assert (lab.store.struck, verdict.given) == (["claim"], ["ack"])
    assert len(lab.notes.of("store_awaited")) == 1
    assert lab.work.runs == [task.id]
