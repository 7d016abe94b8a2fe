"""However much is due in one state, nothing in another waits for it, and one document that can't be read for nobody."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.errors import StoreError
from bridge.domain.task import UNREADABLE_LOOK, Completion, State, Task
from bridge.flow.reconcile.reconcile import ReconcilePolicy
from bridge.ports.engine import EngineTask
from tests.unit.fakes import NOW, SECOND, a_task
from tests.unit.flow.reconcile.sweeper import LOST_CLAIMS, STALE, Sweeper
from tests.unit.flow_lab import Lab

MANY = 10_000
BATCH = ReconcilePolicy(STALE, LOST_CLAIMS).batch


async def overdue(flow: Sweeper, state: State) -> list[str]:
    """Return the ids of many tasks in the state that are due longer than all others."""
    ids = [flow.lab.engine.add("orders") for _ in range(MANY)]
    for task_id in ids:
        fields: dict[str, Any] = {"state": state, "next_at": NOW - SECOND, "finished_at": NOW, "reports": 2}
        flow.lab.store.tasks[task_id] = a_task(task_id, **fields)
        if state is State.FAILED:
            await flow.lab.engine.set_retries(task_id, 0)
    return ids


async def incident(flow: Sweeper, **fields: Any) -> Task:
    """Return an incident that is due."""
    task = await flow.due(State.FAILED, finished_at=NOW, **fields)
    await flow.lab.engine.set_retries(task.id, 0)
    return task


@pytest.mark.parametrize("state", [State.FAILED, State.RETRYING])
async def test_ten_thousand_that_are_due_hold_up_no_lost_claim(state: State) -> None:
    flow = Sweeper()
    waiting = await overdue(flow, state)
    lost, outcome = await flow.lost(), await flow.due(State.REPORTING, outcome=Completion())
    await flow.sweep()
    assert flow.published == [lost.id]
    assert [flow.lab.state(task) for task in (lost, outcome)] == [State.QUEUED, State.COMPLETED]
    asked = flow.lab.engine.of("get_many")
    assert len(asked) == BATCH, "only a batch of the others was looked at"
    assert flow.lab.engine.of("get") == [], "none was asked about alone"
    assert set(asked) < set(waiting)


async def ended(flow: Sweeper, state: State) -> Task:
    """Return a task that is due, and gone from the engine."""
    task = await flow.due(state, finished_at=NOW, reports=2)
    flow.lab.engine.cancel(task.id)
    return task


@pytest.mark.parametrize("state", [State.FAILED, State.RETRYING])
async def test_a_sweep_does_not_wait_for_what_the_engine_says_of_tasks_that_are_gone(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after many instances were cancelled at once: of each the engine is asked by itself."""
    flow = Sweeper(check_wait=timedelta(0), batch=3)
    gone = [await ended(flow, state) for _ in range(6)]
    asked, answers, get = 0, asyncio.Event(), flow.lab.engine.get

    async def slow(task_id: str) -> EngineTask:
        nonlocal asked
        asked += 1
        await answers.wait()
        return await get(task_id)

    monkeypatch.setattr(flow.lab.engine, "get", slow)
    assert await flow.reconciler.run_once() == 3
    lost = await flow.lost()
    assert await flow.reconciler.run_once() == 1, "no second check of the state begins"
    await asyncio.gather(*flow.reconciler._publishing.values())
    assert (flow.published, asked) == ([lost.id], 3)
    answers.set()
    await flow.sweep()
    assert await flow.sweep() == 3
    assert {flow.lab.state(task) for task in gone} == {State.CANCELLED}


async def test_a_check_that_goes_on_ends_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Sweeper(check_wait=timedelta(0))
    await ended(flow, State.FAILED)
    stuck = asyncio.Event()

    async def hang(_task_id: str) -> EngineTask:
        stuck.set()
        return await asyncio.Future()

    monkeypatch.setattr(flow.lab.engine, "get", hang)
    await flow.reconciler.run_once()
    await stuck.wait()
    async with asyncio.timeout(5):
        await flow.reconciler.stop()


async def test_what_the_store_refuses_of_a_check_fails_the_sweep_after_it() -> None:
    flow = Sweeper(check_wait=timedelta(0))
    await ended(flow, State.FAILED)
    flow.lab.store.fail_next("get_many", StoreError("the document is full"))
    await flow.reconciler.run_once()
    await flow.reconciler.settle()
    lost = await flow.lost()
    with pytest.raises(StoreError, match="full"):
        await flow.reconciler.run_once()
    await flow.reconciler.settle()
    assert flow.published == [lost.id]


async def test_a_submission_that_can_not_be_read_whole_is_set_aside() -> None:
    flow = Sweeper(batch=1)
    spoilt = await flow.due(State.RECEIVED, verified=False, next_at=NOW - SECOND)
    flow.lab.store.spoiled[spoilt.id] = {"variables": {"a": 1}}
    waiting = await flow.due(State.RECEIVED)
    await flow.sweep()
    await flow.sweep()
    assert (flow.published, flow.lab.store.aside) == ([waiting.id], {spoilt.id})


async def test_a_full_batch_is_followed_by_another_look_at_once() -> None:
    flow = Sweeper(batch=10)
    for _ in range(25):
        await incident(flow)
    looks: list[int] = []
    while flow.reconciler.is_behind or not looks:
        looks.append(await flow.sweep())
    assert looks == [10, 10, 5]


async def test_what_is_due_and_comes_without_payload_ends_by_its_own_outcome() -> None:
    flow = Sweeper()
    task = await incident(flow, outcome=Completion())
    await flow.lab.engine.complete(task.id, task.worker_id, {})
    (seen,) = (await flow.lab.store.due(State.FAILED, flow.lab.clock.now(), 10)).tasks
    assert seen.outcome is None
    await flow.sweep()
    assert flow.lab.state(task) is State.COMPLETED


async def test_a_list_without_a_task_is_no_proof_that_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Sweeper()
    task = await incident(flow)

    async def nothing(_ids: object) -> list[object]:
        return []

    monkeypatch.setattr(flow.lab.engine, "get_many", nothing)
    await flow.sweep()
    assert flow.lab.engine.of("get") == [task.id]
    assert flow.lab.state(task) is State.FAILED


@pytest.mark.parametrize(
    "spoiled",
    [{"state": "paused"}, {"worker_id": 7}, {"lease_until": "soon"}, {"retries": None}],
    ids=["an unknown state", "another type", "no moment", "a missing field"],
)
async def test_what_can_not_be_read_is_set_aside_and_hides_nothing(spoiled: dict[str, object]) -> None:
    flow = Sweeper(batch=1)
    spoilt = await flow.due(State.RECEIVED, next_at=NOW - SECOND)
    flow.lab.store.spoiled[spoilt.id] = spoiled
    waiting = await flow.due(State.RECEIVED)
    await flow.sweep()
    await flow.sweep()
    assert flow.published == [waiting.id]
    later = flow.lab.clock.now() + UNREADABLE_LOOK
    assert flow.lab.store.tasks[spoilt.id] == spoilt.changed(next_at=later), "nothing else is written to it"
    assert flow.lab.store.aside == {spoilt.id}


async def test_a_version_that_can_read_it_goes_on_with_it() -> None:
    flow = Sweeper()
    task = await flow.due(State.RECEIVED)
    flow.lab.store.spoiled[task.id] = {"state": "paused"}
    await flow.sweep()
    assert flow.published == []
    flow.lab.store.spoiled.clear()
    flow.lab.clock.advance(UNREADABLE_LOOK)
    await flow.sweep()
    assert (flow.published, flow.lab.store.aside) == ([task.id], set())


async def test_a_message_whose_task_can_not_be_read_is_acknowledged_and_the_task_waits() -> None:
    lab = Lab()
    task, other = await lab.task(), await lab.task()
    lab.store.spoiled[task.id] = {"priority": "high"}
    acknowledgers = [await lab.deliver(each) for each in (task, other)]
    assert [acknowledger.given for acknowledger in acknowledgers] == [["ack"], ["ack"]]
    await lab.delivery.drain()
    assert lab.work.runs == [other.id]
    kept = lab.store.tasks[task.id]
    assert (kept.state, kept.attempts, kept.lost_claims, kept.claim_id) == (State.RECEIVED, 0, 0, None)
