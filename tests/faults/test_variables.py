"""A task that no document can hold comes in one batch with small ones."""

from __future__ import annotations

import base64

from tests.faults.lab import FaultLab

MIB = 2**20


async def test_one_of_more_than_16_mib_among_small_ones(faults: FaultLab) -> None:
    key = await faults.counted()
    small = {"type": "String", "value": "little"}
    # In two halves: the engine's JSON parser takes no string of more than 20 million characters.
    half = {"type": "Bytes", "value": base64.b64encode(bytes(8 * MIB + 50_000)).decode()}
    before = [await faults.start_with(key, load=small) for _ in range(3)]
    too_big = await faults.start_with(key, load=half, more=half)
    after = [await faults.start_with(key, load=small) for _ in range(3)]
    tasks = [(await faults.task_of(instance))["id"] for instance in (*before, *after)]
    giant = (await faults.task_of(too_big))["id"]
    gateway = await faults.faulty(FETCH_SIZE="100")
    refused = await gateway.until("task_refused", task_id=giant)
    assert "bytes" in refused["error"]
    await faults.until_finished(key, 6)
    await faults.assert_each_once(key, tasks)
    incident = await faults.until_incident(too_big)
    assert "bytes" in incident["incidentMessage"]
    assert await faults.store.get(giant) is None
    assert {run.task_id for run in faults.runs()} == set(tasks)
    # It's the one incident; and once the variable is small an operator's retry in the engine lets the task go on.
    for name in ("load", "more"):
        await faults.ask("PUT", f"/process-instance/{too_big}/variables/{name}", small)
    await faults.ask("PUT", f"/external-task/{giant}/retries", {"retries": 1})
    await faults.ask("POST", f"/external-task/{giant}/unlock")
    await faults.until_finished(key, 7)
    await faults.assert_each_once(key, [*tasks, giant])
