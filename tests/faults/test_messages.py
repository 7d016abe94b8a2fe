"""Messages that come twice, too early, not at all, too often or broken; handlers that kill their process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractQueue

from bridge.domain.task import State
from tests.e2e.gateways import TIME_LIMIT
from tests.faults.lab import FaultLab, FaultyGateway
from tests.faults.proxy import Proxy
from tests.pause import pause

BROKER_LIMIT = 50
"""The queues' delivery limit, as the gateway declares it."""


@asynccontextmanager
async def channel_to(faults: FaultLab) -> AsyncIterator[AbstractChannel]:
    """A connection of the test's own; what it holds unacknowledged goes back when it ends."""
    connection = await aio_pika.connect(faults.env["RABBITMQ_URL"])
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def queue_of(channel: AbstractChannel, faults: FaultLab, topic: str) -> AbstractQueue:
    return await channel.get_queue(f"{faults.env['RABBITMQ_EXCHANGE']}.{topic}", ensure=False)


async def depth(faults: FaultLab, name: str) -> int:
    """Return how many messages are ready in a queue of this test's."""
    async with channel_to(faults) as channel:
        queue = await channel.declare_queue(f"{faults.env['RABBITMQ_EXCHANGE']}.{name}", passive=True)
        return queue.declaration_result.message_count or 0


async def until_depth(faults: FaultLab, name: str, count: int) -> None:
    async with asyncio.timeout(60):
        while await depth(faults, name) != count:
            await pause()


async def publish(faults: FaultLab, topic: str, *bodies: bytes) -> None:
    async with channel_to(faults) as channel:
        exchange = await channel.get_exchange(faults.env["RABBITMQ_EXCHANGE"], ensure=False)
        for body in bodies:
            await exchange.publish(aio_pika.Message(body), routing_key=topic)


async def a_worker(faults: FaultLab, broker: str) -> FaultyGateway:
    """Start a worker that serves its probes, and nothing else of HTTP."""
    worker = await faults.faulty("worker", METRICS_PORT="0", RABBITMQ_URL=broker)
    worker.url = f"http://127.0.0.1:{(await worker.until('listening'))['port']}"
    return worker


async def until_ready(worker: FaultyGateway, status: int) -> list[str]:
    """Return the reasons not to be ready once it answers with this status; each look is a request."""
    async with asyncio.timeout(TIME_LIMIT):
        while True:
            now, body = await worker.ask("GET", "/health/ready")
            if now == status:
                return list(body["reasons"])
            await pause()


async def test_a_worker_whose_queue_is_gone_is_not_ready_and_says_why_until_it_has_one_again(faults: FaultLab) -> None:
    """A queue that was deleted it makes anew within a second; but one that is not its own it can't consume."""
    topic = faults.topic("work")
    key = await faults.counted()
    worker = await a_worker(faults, faults.env["RABBITMQ_URL"])
    assert await until_ready(worker, 200) == []
    async with channel_to(faults) as channel:
        name = f"{faults.env['RABBITMQ_EXCHANGE']}.{topic}"
        await channel.queue_delete(name)
        strange = await channel.declare_queue(name, durable=True)
        (reason,) = await until_ready(worker, 503)
        assert reason.startswith(
            f"no consumer is attached to topic {topic}: RabbitMQ has the queue {name} with another "
        )
        await strange.delete()
    assert await until_ready(worker, 200) == []
    await faults.faulty("serve", "--roles", "intake")
    (task_id,) = await faults.begin(key)
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])


async def test_a_worker_that_is_cut_off_from_the_broker_is_not_ready_and_says_why(faults: FaultLab) -> None:
    await faults.counted()
    async with Proxy(faults.env["RABBITMQ_URL"]) as proxy:
        worker = await a_worker(faults, proxy.url)
        assert await until_ready(worker, 200) == []
        proxy.refuse()
        assert proxy.cut_all() > 0
        assert await until_ready(worker, 503) == [f"no consumer is attached to topic {faults.topic('work')}"]
        proxy.refuse(False)
        assert await until_ready(worker, 200) == []
        assert await worker.stop() == 0


async def test_published_five_times_it_runs_once(faults: FaultLab) -> None:
    key = await faults.counted(gated=True)
    gateway = await faults.faulty()
    (task_id,) = await faults.begin(key)
    await faults.gate.until(1)
    await publish(faults, faults.topic("work"), *[orjson.dumps({"id": task_id, "epoch": 1})] * 4)
    await gateway.until_count("duplicate_message", 4, task_id=task_id)
    await faults.gate.open()
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert len(faults.runs()) == 1
    await until_depth(faults, faults.topic("work"), 0)


async def test_a_message_that_overtakes_the_queued_write_is_worked(faults: FaultLab) -> None:
    """It is written of a message that another process claims; of one's own there is nothing to write."""
    key = await faults.counted()
    worker = await faults.faulty("worker")
    intake = await faults.faulty("serve", "--roles", "web,intake", CRASH_AT="store.confirm:before:delay=5")
    (task_id,) = await faults.begin(key)
    await worker.until("outcome_settled", task_id=task_id)
    # Nobody waits for that write, so it may begin when the message is worked already; held up, it ends after all else.
    assert not intake.events("crash_point_passed")
    await intake.until("crash_point_passed", point="store.confirm:before")
    assert intake.place("crash_point") < intake.place("crash_point_passed")
    assert worker.place("handler_started") < worker.place("outcome_settled")
    assert await faults.finished(key) == 1
    assert await intake.stop() == 0
    await faults.assert_each_once(key, [task_id])
    assert (await faults.kept(task_id)).state is State.COMPLETED
    assert len(faults.runs()) == 1


async def test_without_a_binding_it_stays_received_and_is_told(faults: FaultLab) -> None:
    topic = faults.topic("work")
    key = await faults.counted()
    gateway = await faults.faulty()
    async with channel_to(faults) as channel:
        queue = await queue_of(channel, faults, topic)
        await queue.unbind(faults.env["RABBITMQ_EXCHANGE"], routing_key=topic)
        (task_id,) = await faults.begin(key)
        told = await gateway.until("publish_failed", topic=topic)
        assert "no queue is bound" in told["error"]
        assert (await faults.kept(task_id)).state is State.RECEIVED
        _, statistics = await gateway.ask("GET", "/tasks/statistics")
        assert statistics["by_status"]["received"] == 1
        await queue.bind(faults.env["RABBITMQ_EXCHANGE"], routing_key=topic)
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert len(faults.runs()) == 1


async def test_delivered_too_often_it_is_worked_all_the_same(faults: FaultLab) -> None:
    """A lost consumer counts as a delivery, as a restart of the broker does: beyond the limit it is a dead letter."""
    key = await faults.counted()
    topic = faults.topic("work")
    intake = await faults.faulty("serve", "--roles", "web,intake")
    worker = await faults.faulty("worker", CRASH_AT="store.claim:before")
    (task_id,) = await faults.begin(key)
    await worker.struck("store.claim:before")
    counts: list[int] = []
    async with asyncio.timeout(60):
        while await depth(faults, "dead") == 0:
            async with channel_to(faults) as channel:
                queue = await queue_of(channel, faults, topic)
                if (message := await queue.get(fail=False)) is not None:
                    counts.append(int(str(message.headers.get("x-delivery-count", 0))))
    assert len(counts) >= BROKER_LIMIT - 1
    assert max(counts) >= 25
    assert (await faults.kept(task_id)).state in {State.RECEIVED, State.QUEUED}
    await faults.faulty("worker")
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])
    assert len(faults.runs()) == 1
    assert await intake.stop() == 0


async def test_a_message_that_is_none_of_ours_is_put_aside(faults: FaultLab) -> None:
    key = await faults.counted(concurrency=1)
    topic = faults.topic("work")
    gateway = await faults.faulty()
    await publish(faults, topic, b"\xff poison", b"[]", b'{"id": ""}')
    await gateway.until_count("message_undecodable", 3, topic=topic)
    assert (await depth(faults, topic), await depth(faults, "dead")) == (0, 0)
    letters = (await gateway.ask("GET", "/dead-letters"))[1]["dead_letters"]
    assert {(letter["topic"], letter["body"]) for letter in letters} == {
        (topic, "\ufffd poison"), (topic, "[]"), (topic, '{"id": ""}')
    }  # fmt: skip
    (task_id,) = await faults.begin(key)
    await faults.until_finished(key, 1)
    await faults.assert_each_once(key, [task_id])


async def test_a_handler_that_kills_its_process_ends_as_an_incident(faults: FaultLab) -> None:
    key = await faults.counted(body="    os._exit(3)")
    gateway = await faults.faulty("serve", "--roles", "web,intake", LOST_CLAIM_LIMIT="2")
    instance = await faults.start(key)
    task_id = (await faults.task_of(instance))["id"]
    for _ in range(2):
        worker = await faults.faulty("worker", LOST_CLAIM_LIMIT="2")
        assert await worker.died() == 3
    incident = await faults.until_incident(instance)
    assert "2 processes ended while they ran the handler" in incident["incidentMessage"]
    failed = await faults.until_kept(task_id, State.FAILED)
    assert [attempt.ended for attempt in failed.history] == ["lost", "lost"]
    assert len(gateway.events("claim_expired", task_id=task_id)) == 2
    assert [run.attempt for run in faults.runs()] == [1, 2]
    # A worker that comes later is not killed by it: the task is nobody's until an operator says so.
    worker = await faults.faulty("worker")
    assert await worker.stop() == 0
    assert len(faults.runs()) == 2
