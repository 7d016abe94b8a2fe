"""Looks at due tasks: by one of several replicas, at incidents, used up retries, and messages long on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from bridge.adapters.memory.broker import MemoryBroker
from bridge.domain.errors import EngineUnavailable
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Completion, Failure, State, TaskKey
from bridge.flow.deliver.sender import INCIDENT_CHECK_AFTER
from bridge.flow.reconcile.reconcile import WITHOUT_POLL, WITHOUT_PUBLISHER
from bridge.ports.broker import Depth
from tests.unit.fakes import SECOND
from tests.unit.flow.reconcile.sweeper import STALE, Sweeper
from tests.unit.flow_lab import CLAIM


async def test_of_two_that_see_an_outcome_due_one_delivers_it() -> None:
    flow = Sweeper()
    other = flow.another()
    task = await flow.due(State.REPORTING, outcome=Completion())
    flow.lab.store.together = asyncio.Barrier(2)
    seen = await asyncio.gather(flow.reconciler.run_once(), other.run_once())
    assert set(seen) == {1}
    await flow.lab.delivery.drain()
    assert flow.lab.state(task) is State.COMPLETED
    assert len(flow.lab.engine.of("complete")) == 1
    assert flow.lab.engine.of("history") == [], "nobody had to look back"


async def test_a_process_without_publisher_delivers_outcomes_and_leaves_what_needs_one() -> None:
    flow = Sweeper(states=WITHOUT_PUBLISHER)
    outcome = await flow.due(State.REPORTING, outcome=Completion())
    left = [await flow.due(state) for state in (State.RECEIVED, State.QUEUED, State.RETRYING)] + [await flow.lost()]
    assert await flow.sweep() == 1
    assert flow.lab.state(outcome) is State.COMPLETED
    assert [flow.lab.now(task) for task in left] == left
    assert (flow.published, flow.nudged) == ([], [])


async def test_a_process_that_fetches_nothing_leaves_retries_to_those_that_do() -> None:
    flow = Sweeper(states=WITHOUT_POLL)
    retry, lost = await flow.due(State.RETRYING), await flow.lost()
    assert await flow.sweep() == 1
    assert (flow.published, flow.nudged) == ([lost.id], [])
    assert flow.lab.now(retry) == retry


@pytest.mark.parametrize("others", [7, 100])
async def test_what_others_are_to_look_after_and_do_not_hides_no_outcome(others: int) -> None:
    flow = Sweeper(states=WITHOUT_PUBLISHER, batch=4)
    for _ in range(others):
        await flow.due(State.RETRYING)
    flow.lab.clock.advance(SECOND)
    outcome = await flow.due(State.REPORTING, outcome=Completion())
    assert await flow.sweep() == 1
    assert flow.lab.state(outcome) is State.COMPLETED


async def test_not_even_what_is_left_for_ever_hides_an_outcome() -> None:
    flow = Sweeper(states=WITHOUT_PUBLISHER, batch=1)
    for _ in range(33):
        await flow.due(State.RETRYING)
    flow.lab.clock.advance(SECOND)
    outcome = await flow.due(State.REPORTING, outcome=Completion())
    assert await flow.sweep() == 1
    assert flow.lab.state(outcome) is State.COMPLETED


async def test_a_claim_that_was_renewed_since_it_was_read_is_not_ended() -> None:
    flow = Sweeper()
    lost = await flow.lost()
    later = flow.lab.clock.now() + CLAIM
    (seen,) = (await flow.lab.store.due(State.RUNNING, flow.lab.clock.now(), 10)).tasks
    await flow.lab.store.move([Move(lost.id, Event.RENEW, 1, "c1", {"next_at": later})])
    await flow.reconciler._expire_claims([seen])
    assert (flow.lab.state(lost), flow.lab.now(lost).lost_claims) == (State.RUNNING, 0)
    assert flow.published == []


async def test_retries_that_somebody_took_away_are_an_incident_that_can_be_retried() -> None:
    flow = Sweeper()
    task = await flow.due(State.RETRYING, reports=2)
    await flow.lab.engine.set_retries(task.id, 0)
    await flow.sweep()
    kept = flow.lab.now(task)
    assert (kept.state, kept.retries, kept.finished_at) == (State.FAILED, 0, flow.lab.clock.now())
    assert kept.next_at is not None


async def test_an_incident_is_looked_at_ever_more_seldom_until_its_process_is_gone() -> None:
    flow = Sweeper()
    task = await flow.due(State.REPORTING, outcome=Failure("Fail", "no", "stack", 0))
    await flow.sweep()
    assert flow.lab.state(task) is State.FAILED
    waits: list[timedelta] = []
    for _ in range(6):
        due = flow.lab.now(task).next_at
        assert due is not None
        waits.append(due - flow.lab.clock.now())
        flow.lab.clock.advance(waits[-1])
        await flow.sweep()
    minutes = [round(wait.total_seconds() / 60) for wait in waits]
    assert minutes == [10, 10, 20, 40, 80, 160]
    assert len(flow.lab.engine.of("get")) == 1, "after the failure was taken"
    assert len(flow.lab.engine.of("get_many")) == 6, "by each look"
    flow.lab.engine.cancel(task.id)
    flow.lab.clock.advance(timedelta(hours=6))
    await flow.sweep()
    assert flow.lab.state(task) is State.CANCELLED


@pytest.mark.parametrize("state", [State.FAILED, State.RETRYING])
async def test_an_outcome_that_was_given_up_and_taken_all_the_same_is_a_completion(state: State) -> None:
    flow = Sweeper()
    fields = {"outcome": Completion(), "reports": 2, "finished_at": flow.lab.clock.now()}
    task = await flow.due(state, **fields)
    await flow.lab.engine.complete(task.id, task.worker_id, {})
    await flow.sweep()
    assert flow.lab.state(task) is State.COMPLETED
    assert len(flow.lab.engine.reports) == 1


async def test_an_engine_that_is_away_leaves_an_incident_standing() -> None:
    flow = Sweeper()
    task = await flow.due(State.FAILED, finished_at=flow.lab.clock.now())
    flow.lab.engine.fail_next("get_many", EngineUnavailable("cut"))
    await flow.sweep()
    assert flow.lab.state(task) is State.FAILED
    assert flow.lab.now(task).next_at == flow.lab.clock.now() + INCIDENT_CHECK_AFTER


async def test_a_message_lost_from_a_queue_that_is_never_empty_is_sent_again_in_the_end() -> None:
    flow = Sweeper()
    task = await flow.due(State.QUEUED)

    async def never_empty(topics: object) -> dict[str, Depth]:
        return {"orders": Depth(ready=100, consumers=1)}

    flow.lab.broker.depths = never_empty  # type: ignore[method-assign]
    for _ in range(5):
        flow.lab.clock.advance(STALE)
        await flow.sweep()
    assert flow.published == [task.id]
    assert flow.lab.state(task) is State.QUEUED
    flow.lab.clock.advance(SECOND)


class Deaf(MemoryBroker):
    """A broker that takes nothing of `orders` until it `hears`."""

    def __init__(self) -> None:
        super().__init__(["orders", "mail"])
        self.hears = asyncio.Event()

    async def publish(self, topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
        if topic == "orders":
            await self.hears.wait()
        return await super().publish(topic, keys)


async def test_a_queue_that_takes_nothing_holds_up_no_other_topics_tasks() -> None:
    broker = Deaf()
    flow = Sweeper(broker=broker)
    first = await flow.due(State.RECEIVED)
    await flow.reconciler.run_once()
    second = await flow.due(State.RECEIVED)
    mail = await flow.due(State.RECEIVED, topic="mail")
    await flow.reconciler.run_once()
    for _ in range(20):
        await asyncio.sleep(0)
    assert flow.lab.state(mail) is State.QUEUED
    assert [flow.lab.state(task) for task in (first, second)] == [State.RECEIVED, State.RECEIVED]
    later = flow.lab.now(second).next_at
    assert later is not None
    assert later > flow.lab.clock.now(), "it has its turn later, and hides nothing meanwhile"
    broker.hears.set()
    await flow.reconciler.settle()
    assert flow.lab.state(first) is State.QUEUED
