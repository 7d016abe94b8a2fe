"""SIGTERM at each step of a task's way: the process ends well, and what it has not begun is free at once."""

from __future__ import annotations

import pytest

from tests.faults.lab import FaultLab

POINTS = [
    "engine.fetch_and_lock:before",
    "engine.fetch_and_lock:after",
    "store.accept:before",
    "store.accept:after",
    "publisher.publish:before",
    "publisher.publish:after",
    "store.claim:before",
    "store.claim:after",
    "store.move.decide:before",
    "store.move.decide:after",
    "engine.complete:before",
    "engine.complete:after",
]
BEGUN = POINTS[POINTS.index("store.claim:after") :]


@pytest.mark.parametrize("point", POINTS)
async def test_told_to_end_there_it_ends_well(faults: FaultLab, point: str) -> None:
    key = await faults.counted()
    (task_id,) = await faults.begin(key)
    ending = await faults.faulty(CRASH_AT=f"{point}:term")
    await ending.until("crash_point", point=point, deed="SIGTERM")
    assert await ending.died() == 0
    assert ending.events("stopped")
    assert not ending.events("shutdown_step_failed")
    # Nothing is left locked: what has begun is done, the rest waits for whoever fetches next.
    assert await faults.count(f"topicName={faults.topic('work')}&locked=true") == 0
    if point in BEGUN:
        assert await faults.finished(key) == 1
    else:
        await faults.faulty()
        await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert len(faults.runs()) == 1


async def test_told_to_end_before_it_wrote_down_what_is_with_the_broker_it_ends_well(faults: FaultLab) -> None:
    """Of a message whose task it claims itself it writes nothing down: here another process claims it."""
    key = await faults.counted()
    worker = await faults.faulty("worker")
    (task_id,) = await faults.begin(key)
    ending = await faults.faulty("serve", "--roles", "web,intake", CRASH_AT="store.confirm:before:term")
    await ending.until("crash_point", point="store.confirm:before", deed="SIGTERM")
    assert await ending.died() == 0
    assert ending.events("stopped")
    assert not ending.events("shutdown_step_failed")
    await worker.until("outcome_settled", task_id=task_id)
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert len(faults.runs()) == 1
    assert await faults.count(f"topicName={faults.topic('work')}&locked=true") == 0
