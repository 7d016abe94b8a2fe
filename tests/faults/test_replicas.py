"""Two replicas that are killed and started again at random, while five hundred tasks go through them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from bridge.task import State
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
