"""The engine, the store and the broker go away while tasks are under way, and come back."""

from __future__ import annotations

import asyncio

import pytest

from bridge.domain.task import State
from sandbox import Part, Sandbox
from tests.faults.broker import end_disk_alarm, raise_disk_alarm, set_ack_timeout
from tests.faults.lab import HASTE, FaultLab, FaultyGateway


async def kill(sandbox: Sandbox, part: Part) -> None:
    """SIGKILL a part, and see that it's gone."""
    await asyncio.to_thread(sandbox.kill, part)
    (status,) = [status for status in sandbox.status() if status.part is part]
    assert (status.state, status.answers) == ("stopped", False)


async def start(sandbox: Sandbox, part: Part) -> None:
    assert await asyncio.to_thread(sandbox.start, part) > 0


async def test_the_engine_is_down_and_what_was_decided_goes_first(outage: FaultLab, disturbed: Sandbox) -> None:
    key = await outage.counted(gated=True, concurrency=4)
    tasks = await outage.begin(key, 40)
    gateway = await outage.faulty(LOCK_DURATION="60")
    await outage.gate.until(4)
    await kill(disturbed, Part.ENGINE)
    await outage.gate.open()
    decided = await outage.until_all_kept(State.REPORTING)
    assert 4 <= len(decided) < 40
    await gateway.until("outcome_settled", how="defer")
    ran = len(gateway.events("handler_started"))
    await start(disturbed, Part.ENGINE)
    await outage.until_finished(key, 40)
    await outage.assert_each_once(key, tasks)
    assert len(outage.runs()) == 40
    # Every stored outcome reached the engine before a handler began on anything that was fetched after the outage.
    delivered = [gateway.place("outcome_settled", task_id=task, how="delivered_completion") for task in decided]
    assert max(delivered) < gateway.lines.index(gateway.events("handler_started")[ran])


async def test_the_engine_freezes_and_goes_on(outage: FaultLab, disturbed: Sandbox) -> None:
    key = await outage.counted(gated=True, concurrency=4)
    tasks = await outage.begin(key, 6)
    gateway = await outage.faulty(CAMUNDA_TIMEOUT="1", LOCK_DURATION="60")
    await outage.gate.until(4)
    await asyncio.to_thread(disturbed.pause, Part.ENGINE)
    await outage.gate.open()
    await gateway.until("outcome_unanswered")
    await asyncio.to_thread(disturbed.resume, Part.ENGINE)
    await outage.until_finished(key, 6)
    await outage.assert_each_once(key, tasks)
    assert len(outage.runs()) == 6


async def test_the_store_is_down_and_nothing_new_is_fetched(outage: FaultLab, disturbed: Sandbox) -> None:
    key = await outage.counted(gated=True, concurrency=4)
    tasks = await outage.begin(key, 4)
    gateway = await outage.faulty()
    await outage.gate.until(4)
    await kill(disturbed, Part.STORE)
    await outage.gate.open()
    await gateway.until("store_unavailable")
    await gateway.until("loop_failed", loop="poll")
    before = await outage.count(f"topicName={outage.topic('work')}&locked=true")
    tasks += await outage.begin(key, 5)
    await gateway.until_count("loop_failed", 3, loop="poll")
    assert await outage.count(f"topicName={outage.topic('work')}&locked=true") <= before
    assert await outage.finished(key) == 0
    await start(disturbed, Part.STORE)
    await outage.until_finished(key, 9)
    await outage.assert_each_once(key, tasks)
    # A claim that could not be renewed may have been given to another run, whose outcome alone counts then.
    assert len({run.task_id for run in outage.runs()}) == 9


@pytest.mark.parametrize("frozen", [False, True])
async def test_the_store_is_away_for_two_claims_and_no_handler_runs_twice(
    outage: FaultLab, disturbed: Sandbox, frozen: bool
) -> None:
    """All claims have expired when the store comes back, and whoever looks first may not end another's."""
    key = await outage.counted(gated=True, concurrency=2)
    gateways = [await outage.faulty(), await outage.faulty()]
    tasks = await outage.begin(key, 4)
    await outage.gate.until(4)
    before = [await outage.kept(task_id) for task_id in tasks]
    assert {task.state for task in before} == {State.RUNNING}
    assert len({task.replica for task in before}) == 2
    if frozen:
        await asyncio.to_thread(disturbed.pause, Part.STORE)
    else:
        await kill(disturbed, Part.STORE)
    await until_failing_for(2 * float(HASTE["CLAIM_DURATION"]), gateways)
    if frozen:
        await asyncio.to_thread(disturbed.resume, Part.STORE)
    else:
        await start(disturbed, Part.STORE)
    # Longer than a claim, for whoever is to be proven wrong by it.
    for task in before:
        await outage.until_renewed(task, 5)
    await outage.gate.open()
    await outage.until_finished(key, 4)
    await outage.assert_each_once(key, tasks)
    assert sorted(run.task_id for run in outage.runs()) == sorted(tasks)
    assert [gateway.events("claim_expired") for gateway in gateways] == [[], []]


async def until_failing_for(seconds: float, gateways: list[FaultyGateway]) -> None:
    """Return once no gateway has been able to renew its claims for so long."""
    loop = asyncio.get_running_loop()
    for gateway in gateways:
        count = len(gateway.events("loop_failed", loop="renew"))
        await gateway.until_count("loop_failed", count + 1, loop="renew")
    since = loop.time()
    while loop.time() - since < seconds:
        for gateway in gateways:
            count = len(gateway.events("loop_failed", loop="renew"))
            await gateway.until_count("loop_failed", count + 1, loop="renew")


async def test_the_broker_is_down_and_restarts_with_messages_held(outage: FaultLab, disturbed: Sandbox) -> None:
    """Each restart takes the broker 7 s or more: what 25 of them do is in `test_messages.py`, by lost consumers."""
    key = await outage.counted(gated=True, concurrency=4, timeout=600)
    tasks = await outage.begin(key, 10)
    gateway = await outage.faulty(LOCK_DURATION="10")
    await outage.gate.until(4)
    await kill(disturbed, Part.BROKER)
    await gateway.until("loop_failed", loop="poll")
    await start(disturbed, Part.BROKER)
    # What the handlers hold is delivered again, or published again where the queue was lost, and finds nothing to do:
    # so the next four begin.
    await outage.gate.until(8)
    await kill(disturbed, Part.BROKER)
    await outage.gate.open()
    # Handlers that ran go on, and what they decided reaches the engine without the broker.
    await outage.until_finished(key, 8)
    tasks += await outage.begin(key, 5)
    await start(disturbed, Part.BROKER)
    await outage.until_finished(key, 15)
    await outage.assert_each_once(key, tasks)
    assert sorted(run.task_id for run in outage.runs()) == sorted(tasks)
    # A queue that comes back with a leader is whole, and no outage's unconfirmed messages are a reason to delete it.
    log = await asyncio.to_thread(disturbed.log(Part.BROKER).read_text)
    of_queue = [
        line for line in log.splitlines() if f"{outage.env['RABBITMQ_EXCHANGE']}.{outage.topic('work')}'" in line
    ]
    assert [line for line in of_queue if "candidate -> leader" in line]
    assert not [line for line in of_queue if "terminating with reason 'delete'" in line]


async def test_a_disk_alarm_holds_publishes_up_and_loses_none(outage: FaultLab, disturbed: Sandbox) -> None:
    key = await outage.counted(concurrency=4)
    gateway = await outage.faulty()
    await raise_disk_alarm(disturbed)
    try:
        tasks = await outage.begin(key, 40)
        failed = await gateway.until("publish_failed")
        assert "did not answer in time" in failed["error"]
        await gateway.until_count("publish_failed", 2)
        waiting = await outage.until_all_kept(State.RECEIVED)
        assert 0 < len(waiting) < 40
        assert outage.runs() == []
    finally:
        await end_disk_alarm(disturbed)
    await outage.until_finished(key, 40)
    await outage.assert_each_once(key, tasks)


async def test_a_handler_outlasts_the_brokers_time_limit(outage: FaultLab, disturbed: Sandbox) -> None:
    """RabbitMQ 3.10 knows one time_limit for all queues; from 3.12 on the queues' own `x-consumer-timeout` counts."""
    key = await outage.counted(gated=True)
    await set_ack_timeout(disturbed, 1000, look_every=500)
    try:
        gateway = await outage.faulty()
        (task_id,) = await outage.begin(key)
        await outage.gate.until(1)
        # The broker took the message back and delivered it again, and it found nothing to do.
        await gateway.until("duplicate_message", task_id=task_id)
        assert "timed out" in await asyncio.to_thread(disturbed.log(Part.BROKER).read_text)
        await outage.gate.open()
        await outage.until_finished(key, 1)
        await outage.assert_each_once(key, [task_id])
        assert len(outage.runs()) == 1
    finally:
        await set_ack_timeout(disturbed, 1_800_000, look_every=60_000)
