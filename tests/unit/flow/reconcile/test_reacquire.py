"""A submitted task that its topic's fetch leaves out: its next run comes from the gateway all the same."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from bridge.adapters.memory.faults import Operation
from bridge.domain.errors import EngineRejected, EngineUnavailable
from bridge.domain.task import Source, State, Task
from bridge.topic import topic
from tests.unit.fakes import LOCK, NOW, SECOND, a_task
from tests.unit.operations.retry_rig import A, B, Killed, RetryRig


class Sum(BaseModel):
    amount: int


@topic("abroad", tenant_ids=["br"])
async def abroad(given: Sum) -> None:
    """Do nothing; tasks without a tenant are never fetched."""


LOOKS = [2 * SECOND, 4 * SECOND]
"""When a retry that nobody fetches is looked at again; at the third look the engine is asked."""


async def a_retry(rig: RetryRig, **fields: object) -> Task:
    """Return a task whose handler failed, as the engine has it: due, and with two retries."""
    task_id = rig.engine.add("abroad", A)
    await rig.engine.lock(task_id, "w1", LOCK)
    await rig.engine.fail(task_id, "w1", message="no", details="", retries=2, retry_timeout=0 * SECOND)
    found = await rig.engine.get(task_id)
    task = a_task(
        task_id, "abroad", state=State.RETRYING, retries=2, next_at=NOW, given=B, source=Source.PUSHED, attempts=1,
        execution_id=found.execution_id, process_instance_id=found.process_instance_id,
    ).changed(**fields)  # fmt: skip
    await rig.store.accept([task])
    return task


async def looked_for(rig: RetryRig, task: Task) -> None:
    """Look at a due retry until the engine is asked about it; the poll has its chance each time."""
    await rig.sweep()
    await rig.round()
    for wait in LOOKS:
        assert rig.now(task).state is State.RETRYING
        await rig.sweep(wait)
        await rig.round()


async def test_it_is_locked_by_its_id_and_runs_under_a_new_lease() -> None:
    rig = RetryRig(abroad)
    task = await a_retry(rig)
    await looked_for(rig, task)
    again = rig.now(task)
    assert (again.state, again.epoch, again.retries, again.inputs) == (State.QUEUED, 2, 1, B)
    assert (again.variables, again.source, again.given) == (A, Source.PUSHED, B)
    assert again.worker_id.startswith("bridge-r2-")
    assert (await rig.engine.get(task.id)).worker_id == again.worker_id
    assert again.lease_until == rig.clock.now() + LOCK - SECOND
    assert await rig.run_all() == [task.id]
    assert len(rig.notes.of("retry_reacquired")) == 1


async def test_an_operators_retry_of_it_runs_too() -> None:
    rig = RetryRig(abroad)
    task = await a_retry(rig, state=State.FAILED, retries=0)
    await rig.engine.set_retries(task.id, 0)
    await rig.operate.retry(task.id, variables=B)
    await looked_for(rig, task)
    assert (rig.now(task).state, rig.now(task).variables) == (State.QUEUED, B)
    assert await rig.run_all() == [task.id]


@pytest.mark.parametrize("why", ["fetched", "paused", "suspended", "locked", "not worked here"])
async def test_it_is_left_where_it_is_not_ours_to_take(why: str) -> None:
    rig = RetryRig(abroad)
    task = await a_retry(rig)
    match why:
        case "fetched":
            rig.store.tasks[task.id] = task.changed(source=Source.POLLED)
        case "paused":
            rig.paused.add("abroad")
        case "suspended":
            rig.engine.suspend(task.id)
        case "locked":  # as an operator does who wants it tried later
            await rig.engine.lock(task.id, "w1", LOCK)
        case _:
            rig.store.tasks[task.id] = task.changed(topic="elsewhere")
    await looked_for(rig, task)
    kept = rig.now(task)
    assert (kept.state, kept.epoch, kept.worker_id) == (State.RETRYING, 1, "w1")
    assert kept.next_at is not None


@pytest.mark.parametrize("call", ["lock", "read_variables"])
@pytest.mark.parametrize("error", [EngineUnavailable("cut"), EngineRejected("no", status=500)])
async def test_what_the_engine_does_not_do_is_tried_again(call: Operation, error: Exception) -> None:
    rig = RetryRig(abroad)
    task = await a_retry(rig)
    rig.engine.fail_next(call, error)
    await looked_for(rig, task)
    assert len(rig.notes.of("retry_not_reacquired")) == 1
    assert rig.now(task).state is State.RETRYING
    await rig.sweep(LOCK)
    assert rig.now(task).state is State.QUEUED
    assert await rig.run_all() == [task.id]


@pytest.mark.parametrize(("call", "after"), [("lock", False), ("lock", True), ("read_variables", False)])
async def test_a_process_killed_in_between_leaves_it_for_the_next_look(call: Operation, after: bool) -> None:
    rig = RetryRig(abroad)
    task = await a_retry(rig)
    for wait in [0 * SECOND, *LOOKS[:-1]]:
        await rig.sweep(wait)
    rig.engine.fail_next(call, Killed(), after=after)
    with pytest.raises(Killed):
        await rig.sweep(LOOKS[-1])
    assert rig.now(task).state is State.RETRYING
    for _ in range(3):
        await rig.sweep(LOCK)
    assert rig.now(task).state is State.QUEUED
    assert await rig.run_all() == [task.id]


async def test_another_that_was_faster_keeps_it() -> None:
    rig = RetryRig(abroad)
    task = await a_retry(rig)
    lock = rig.engine.lock

    async def lock_late(task_id: str, worker_id: str, duration: object) -> None:
        await lock(task_id, "thief", LOCK)
        await lock(task_id, worker_id, LOCK)

    rig.engine.lock = lock_late  # type: ignore[method-assign]
    await looked_for(rig, task)
    assert (rig.now(task).state, rig.now(task).epoch) == (State.RETRYING, 1)
    assert (await rig.engine.get(task.id)).worker_id == "thief"
