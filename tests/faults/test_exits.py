"""What ends a process in plain asyncio ends one task here: `SystemExit` in a task that a handler starts itself."""

from __future__ import annotations

from tests.faults.lab import FaultLab

LEAVES = """
    async def leave() -> None:
        raise SystemExit(3)

    if not given.number:
        await asyncio.create_task(leave())
    asyncio.create_task(leave())
    await asyncio.sleep(0)
"""


async def test_an_exit_in_a_task_that_a_handler_starts_is_that_tasks_failure(faults: FaultLab) -> None:
    """One instance's handler awaits the task and fails; the other's doesn't, and completes. The process lives on."""
    key = await faults.counted(body=LEAVES)
    gateway = await faults.faulty(RETRY_DELAY="0.2", RETRY_DELAY_MAX="0.2")
    instance = await faults.start_with(key)
    incident = await faults.until_incident(instance)
    assert incident["incidentMessage"] == "SystemExit: 3"
    assert len(faults.runs()) == 4, "a run and three retries"
    # One after the other: of two in the same turn the loop tells of the last.
    await faults.start_with(key, number={"type": "Integer", "value": 1})
    await faults.until_finished(key, 1)
    await gateway.until_count("exit_ignored", 5)
    assert gateway.process.returncode is None
    assert await gateway.stop() == 0
    assert len(gateway.events("exit_ignored")) == len(faults.runs()) == 5
