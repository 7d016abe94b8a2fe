"""Replicas that are killed: two at random while hundreds of tasks go through them, and all but a worker."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from bridge.domain.task import State
from tests.faults.lab import FaultLab

TASKS = 500
KILLS = 5
SEED = 20260102


async def test_two_replicas_killed_at_random(faults: FaultLab) -> None:
    chance = random.Random(SEED)
    key = await faults.counted(concurrency=8)
    replicas = [await faults.faulty() for _ in range(2)]
    starting = asyncio.create_task(faults.begin(key, TASKS))
    marks = sorted(chance.sample(range(20, TASKS - 100), KILLS))
    for mark in marks:
        await faults.until_finished(key, mark)
        unlucky = chance.randrange(2)
        await replicas[unlucky].kill()
        replicas[unlucky] = await faults.faulty()
    tasks = await starting
    await faults.until_finished(key, TASKS)
    assert await faults.finished(key) == TASKS
    assert Counter(await faults.successes(key)) == Counter(tasks)
    assert await faults.until_all_kept(State.COMPLETED)
    assert (await faults.store.statistics()).by_state == {State.COMPLETED: TASKS}
    runs = Counter(run.task_id for run in faults.runs())
    # At least once; and what ran again is no more than what was in hand when a replica was killed.
    assert set(runs) == set(tasks)
    assert sum(runs.values()) - TASKS <= KILLS * 8
    assert [await replica.stop() for replica in replicas] == [0, 0]


async def test_a_worker_alone_delivers_what_a_dead_intake_and_a_dead_worker_left(faults: FaultLab) -> None:
    key = await faults.counted(gated=True)
    point = "store.move.decide:after"
    dead = await faults.faulty("worker", CRASH_AT=point)
    intake = await faults.faulty("serve", "--roles", "intake")
    (task_id,) = await faults.begin(key)
    (visit,) = await faults.gate.until(1)
    await intake.kill()
    await visit.let_go()
    await dead.struck(point)
    assert (await faults.kept(task_id)).state is State.REPORTING
    heir = await faults.faulty("worker")
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert len(faults.runs()) == 1
    assert await heir.stop() == 0
