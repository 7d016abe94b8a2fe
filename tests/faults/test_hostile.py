"""A hostile engine row and a hostile publisher cost nobody but themselves: every honest task is completed once."""

from __future__ import annotations

import asyncio
import re
from functools import partial

import aiohttp

from tests.contract.hostile_engine import SPOILED
from tests.contract.hostile_publisher import HOSTILE, publish_hostile
from tests.e2e.gateways import TIME_LIMIT
from tests.faults.lab import FaultLab, FaultyGateway
from tests.faults.spoiling import RowSpoiler
from tests.faults.test_messages import channel_to, depth
from tests.pause import pause


async def counted(gateway: FaultyGateway, metric: str) -> int:
    """Return a counter of the gateway's: it has each, where the log tells a flood only now and then."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/metrics") as answer:
        text = await answer.text()
    found = re.search(rf"^{re.escape(metric)} ([0-9.]+)$", text, re.MULTILINE)
    return int(float(found[1])) if found else 0


async def test_a_spoiled_row_of_each_fetch_costs_that_row_alone(faults: FaultLab) -> None:
    """The locks of those that name a task are let go at once, and the others lapse."""
    key = await faults.counted()
    proxy = RowSpoiler(faults.engine_url, SPOILED)
    async with proxy:
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url, LOCK_DURATION="15")
        tasks: list[str] = []
        async with asyncio.timeout(TIME_LIMIT):
            while not proxy.is_done:
                tasks += await faults.begin(key, 10)
        await faults.until_finished(key, len(tasks))
        await faults.assert_each_once(key, tasks)
        assert len(faults.runs()) == len(tasks)
        assert [spoil for spoil, _ in proxy.done] == list(SPOILED)
        assert {task_id for _, task_id in proxy.done} <= set(tasks)
        assert await counted(gateway, 'gateway_unreadable_rows_total{operation="fetch"}') == len(SPOILED)
        assert gateway.events("row_unreadable", operation="fetch")
        assert gateway.events("foreign_answer") == gateway.events("loop_failed") == gateway.events("fetch_error") == []
        await gateway.stop()


async def test_a_hostile_publisher_costs_nobody_but_themselves(faults: FaultLab) -> None:
    key = await faults.counted(concurrency=1)
    topic = faults.topic("work")
    gateway = await faults.faulty()
    exchange = faults.env["RABBITMQ_EXCHANGE"]
    async with channel_to(faults) as channel:
        send = partial(publish_hostile, exchange, channel=channel)
        for message in HOSTILE:
            await send(message, routing_key=topic)
            await send(message, routing_key=topic, to_the_dead=True)
        tasks = await faults.begin(key, 20)
        for message in HOSTILE:
            await send(message, routing_key=topic)
    await faults.until_finished(key, 20)
    await faults.assert_each_once(key, tasks)
    assert len(faults.runs()) == 20
    metric = f'gateway_events_total{{event="message_undecodable",topic="{topic}"}}'
    unreadable = sum(not message.is_readable for message in HOSTILE)
    async with asyncio.timeout(TIME_LIMIT):
        while await depth(faults, "dead"):
            await pause()
        while await counted(gateway, metric) < 2 * unreadable:
            await pause()
    assert (await gateway.ask("GET", "/health"))[1]["components"]["rabbitmq"]["status"] == "healthy"
    assert gateway.events("queue_failed") == gateway.events("loop_failed") == []
    await gateway.stop()
