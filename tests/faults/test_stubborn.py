"""Handlers that never end, ignore their cancellation or block the loop: the process ends in its time all the same."""

from __future__ import annotations

import asyncio

import pytest

from bridge.domain.task import State
from tests.faults.lab import FaultLab, FaultyGateway
from tests.faults.proxy import Proxy

WITHIN = 40
"""Seconds: the grace, the overtime, and what a slow machine takes."""

HANGS = {
    "a coroutine that ignores its cancellation": """
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
""",
    "a thread of asyncio's own pool": """
    import threading
    await asyncio.to_thread(threading.Event().wait)
""",
}
PLAIN = """
import os, threading
from pydantic import BaseModel
from bridge.topic import Context, topic

class Input(BaseModel):
    hangs: bool = False

@topic("{topic}", timeout=1, concurrency=1, retries=0)
def work(given: Input, context: Context) -> None:
    file = os.open({runs!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{{context.task_id}} {{context.idempotency_key}} {{context.attempt}}\\n".encode())
    os.close(file)
    if given.hangs:
        threading.Event().wait()
"""


async def end_well(gateway: FaultyGateway) -> None:
    """End it; where its exit code is not 0, tell whether the end took too long, or what failed."""
    async with asyncio.timeout(WITHIN):
        code = await gateway.stop()
    assert (code, gateway.events("shutdown_overdue"), gateway.events("process_failed")) == (0, [], [])
    assert gateway.events("stopped")


@pytest.mark.parametrize("how", HANGS)
async def test_a_coroutine_that_does_not_end_does_not_hold_the_process(faults: FaultLab, how: str) -> None:
    key = await faults.counted(body=HANGS[how])
    gateway = await faults.faulty(SHUTDOWN_GRACE="1")
    (task_id,) = await faults.begin(key)
    await gateway.until("handler_started", task_id=task_id)
    await end_well(gateway)
    assert gateway.events("exit_forced")
    kept = await faults.kept(task_id)
    assert (kept.state, kept.retries) == (State.RETRYING, 3), "given back, without a retry burnt"
    assert await faults.count(f"topicName={faults.topic('work')}&locked=true") == 0


async def test_a_function_that_hangs_holds_neither_the_process_nor_the_tasks_after_it(faults: FaultLab) -> None:
    topic = faults.topic("work")
    faults.write_topic("work", PLAIN.format(topic=topic, runs=str(faults.folder / "runs")))
    key = await faults.deploy("work", topic)
    gateway = await faults.faulty(SHUTDOWN_GRACE="1")
    await faults.start_with(key, hangs={"type": "Boolean", "value": True})
    stuck = await gateway.until("thread_stuck")
    assert (stuck["stuck"], stuck["slots"]) == (1, 1)
    others = await faults.begin(key, 3)
    await end_well(gateway)
    assert not gateway.events("exit_forced"), "its thread is a daemon"
    assert len(faults.runs()) == 1
    again = await faults.faulty()
    await faults.until_finished(key, 3)
    assert not again.events("thread_stuck")
    assert sorted(run.task_id for run in faults.runs()[1:]) == sorted(others)


async def test_a_coroutine_that_blocks_the_loop_does_not_hold_the_process(faults: FaultLab) -> None:
    key = await faults.counted(body="    import time\n    time.sleep(3600)\n")
    gateway = await faults.faulty(SHUTDOWN_GRACE="1")
    await faults.begin(key)
    blocked = await gateway.until("event_loop_blocked")
    assert blocked["topic"] == faults.topic("work")
    assert blocked["where"].startswith("work.py:")
    async with asyncio.timeout(WITHIN):
        assert await gateway.stop() == 1
    assert gateway.events("shutdown_overdue")


async def test_a_thread_and_a_coroutine_that_do_not_end_are_left_within_the_grace(faults: FaultLab) -> None:
    """Both hold a message of RabbitMQ's when the process is told to end; both messages are there for the next."""
    plain, swallows = faults.topic("plain"), HANGS["a coroutine that ignores its cancellation"]
    faults.write_topic(
        "plain", PLAIN.format(topic=plain, runs=str(faults.folder / "runs")).replace("timeout=1", "timeout=60")
    )
    keys = [await faults.counted(body=swallows), await faults.deploy("plain", plain)]
    gateway = await faults.faulty(SHUTDOWN_GRACE="1")
    (swallowing,) = await faults.begin(keys[0])
    hanging = await faults.first_task_of(await faults.start_with(keys[1], hangs={"type": "Boolean", "value": True}))
    for task_id in (swallowing, hanging):
        await gateway.until("handler_started", task_id=task_id)
    await end_well(gateway)
    assert gateway.events("cancellation_ignored", task_id=swallowing)
    assert gateway.events("thread_stuck", task_id=hanging)
    assert not gateway.events("shutdown_step_failed")
    for task_id in (swallowing, hanging):
        assert (await faults.kept(task_id)).state is State.RETRYING
    again = await faults.faulty(SHUTDOWN_GRACE="1")
    for task_id in (swallowing, hanging):
        await again.until("handler_started", task_id=task_id)
    await end_well(again)
    assert sorted(run.task_id for run in faults.runs()) == sorted([swallowing, hanging] * 2)


async def test_an_engine_that_does_not_answer_an_unlock_does_not_hold_the_end(faults: FaultLab) -> None:
    key = await faults.counted(gated=True)
    async with Proxy(faults.engine_url) as proxy:
        gateway = await faults.faulty(SHUTDOWN_GRACE="1", CAMUNDA_URL=proxy.url)
        (task_id,) = await faults.begin(key)
        await gateway.until("handler_started", task_id=task_id)
        held = proxy.hold_answer("/unlock")
        try:
            await end_well(gateway)
            assert held.struck.is_set()
        finally:
            held.release()
    assert gateway.events("task_released", task_id=task_id)
    assert (await faults.kept(task_id)).state is State.RETRYING
