"""A gateway is killed at each step of a task's way; another one brings the task to its one end."""

from __future__ import annotations

import pytest

from bridge.domain.task import State
from tests.faults.lab import FaultLab

# The point, what the store may have at that moment (None: nothing), and the attempts whose handler may have begun: a
# message that is out may have been claimed, too, by the time its publisher dies.
POINTS: list[tuple[str, set[State | None], list[list[int]]]] = [
    ("engine.fetch_and_lock:after", {None}, [[1]]),
    ("store.accept:before", {None}, [[1]]),
    ("store.accept:after", {State.RECEIVED}, [[1]]),
    ("publisher.publish:before", {State.RECEIVED}, [[1]]),
    ("publisher.publish:after", {State.RECEIVED, State.RUNNING}, [[1], [2], [1, 2]]),
    ("store.claim:before", {State.RECEIVED, State.QUEUED}, [[1]]),
    ("store.claim:after", {State.RUNNING}, [[2]]),
    ("store.move.decide:before", {State.RUNNING}, [[1, 2]]),
    ("store.move.decide:after", {State.REPORTING}, [[1]]),
    ("engine.complete:before", {State.REPORTING}, [[1]]),
    ("engine.complete:after", {State.REPORTING}, [[1]]),
    ("store.move.delivered_completion:after", {State.COMPLETED}, [[1]]),
]


@pytest.mark.parametrize(("point", "states", "attempts"), POINTS)
async def test_killed_there_it_still_ends_once(
    faults: FaultLab, point: str, states: set[State | None], attempts: list[list[int]]
) -> None:
    key = await faults.counted()
    (task_id,) = await faults.begin(key)
    dead = await faults.faulty(CRASH_AT=point)
    await dead.struck(point)
    left = await faults.store.get(task_id)
    assert (None if left is None else left.state) in states
    survivor = await faults.faulty(CLAIM_DURATION="6")
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert [run.attempt for run in faults.runs()] in attempts
    assert {run.key for run in faults.runs()} == {task_id}
    assert await survivor.stop() == 0


@pytest.mark.parametrize("point", ["engine.fail:after", "store.move.delivered_retry:before"])
async def test_killed_after_the_engine_took_a_failure_it_is_not_sent_again(faults: FaultLab, point: str) -> None:
    """The engine's next lease shows that it has the failure: the handler runs, instead of failing twice for one run."""
    body = """
    if context.attempt == 1:
        from bridge.topic import Retry
        raise Retry("once more", after=0)
"""
    key = await faults.counted(body=body)
    (task_id,) = await faults.begin(key)
    dead = await faults.faulty(CRASH_AT=point)
    await dead.struck(point)
    left = await faults.store.get(task_id)
    assert left is not None
    assert left.state is State.REPORTING
    survivor = await faults.faulty(SWEEP_EVERY="30")
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert [run.attempt for run in faults.runs()] == [1, 2]
    log = await faults.ask("GET", f"/history/external-task-log?externalTaskId={task_id}&failureLog=true")
    assert len(log) == 1
    assert survivor.events("failure_taken", kept=True)
    assert await survivor.stop() == 0
