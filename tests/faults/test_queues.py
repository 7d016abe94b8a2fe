"""A queue that is out of order hurts the tasks of its own topic alone, and is named wherever an operator looks."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from typing import Any

import aio_pika

from tests.e2e.gateways import ROOT, TIME_LIMIT
from tests.faults.lab import FaultLab
from tests.pause import pause


async def doctor(faults: FaultLab) -> tuple[int, str]:
    """Run `gateway doctor`; return how it ended, and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "doctor",
        cwd=faults.folder,
        env={**os.environ, **faults.env, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), TIME_LIMIT)
    return process.returncode or 0, said.decode()


async def test_a_queue_with_other_arguments_stops_one_topic_of_three(faults: FaultLab) -> None:
    keys = {name: await faults.deploy(name, faults.write_counted(name=name)) for name in ("one", "two", "sick")}
    queue = f"{faults.env['RABBITMQ_EXCHANGE']}.{faults.topic('sick')}"
    connection = await aio_pika.connect(faults.env["RABBITMQ_URL"])
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})
        gateway = await faults.faulty()
        tasks = [task for key in keys.values() for task in await faults.begin(key, 5)]
        await faults.until_finished(keys["one"], 5)
        await faults.until_finished(keys["two"], 5)
        assert await faults.finished(keys["sick"]) == 0

        fault = await gateway.until("queue_failed", topic=faults.topic("sick"))
        assert queue in fault["error"]
        status, health = await gateway.ask("GET", "/health")
        assert status == 503
        assert queue in str(health["components"]["rabbitmq"])
        status, ready = await gateway.ask("GET", "/health/ready")
        assert any(faults.topic("sick") in reason and queue in reason for reason in ready["reasons"])
        code, said = await doctor(faults)
        assert code == 1
        assert f"the queue {queue} with another " in said
        assert f"{faults.topic('one')}: 0 ready, 1 consumers" in said

        await channel.queue_delete(queue)
        await faults.until_finished(keys["sick"], 5)
    assert Counter(run.task_id for run in faults.runs()) == dict.fromkeys(tasks, 1)


async def test_a_topic_whose_messages_rabbitmq_refuses_holds_up_no_other_and_is_named(faults: FaultLab) -> None:
    """A second queue is bound to the topic, and is full."""
    keys = {name: await faults.deploy(name, faults.write_counted(name=name)) for name in ("well", "sick")}
    gateway = await faults.faulty()
    queue = f"{faults.env['RABBITMQ_EXCHANGE']}.{faults.topic('sick')}"
    connection = await aio_pika.connect(faults.env["RABBITMQ_URL"])
    async with connection:
        channel = await connection.channel()
        arguments: dict[str, Any] = {"x-max-length": 1, "x-overflow": "reject-publish"}
        full = await channel.declare_queue(faults.topic("full"), exclusive=True, arguments=arguments)
        await full.bind(faults.env["RABBITMQ_EXCHANGE"], faults.topic("sick"))
        await channel.default_exchange.publish(aio_pika.Message(b""), full.name)
        tasks = [task for key in keys.values() for task in await faults.begin(key, 5)]
        await faults.until_finished(keys["well"], 5)
        refused = await gateway.until("publish_failed", topic=faults.topic("sick"))
        assert queue in refused["error"]
        status, health = await gateway.ask("GET", "/health")
        assert status == 503
        assert queue in str(health["components"]["rabbitmq"])
        await full.delete(if_empty=False)
        await faults.until_finished(keys["sick"], 5)
        async with asyncio.timeout(TIME_LIMIT):
            while (await gateway.ask("GET", "/health"))[0] != 200:
                await pause()
    assert {run.task_id for run in faults.runs()} == set(tasks)
