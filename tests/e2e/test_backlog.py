"""The engine's backlog as Prometheus reads it, from gateways on real servers: what KEDA scales workers by."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import aiohttp

from tests.e2e.gateways import TIME_LIMIT, GatewayProcess, Lab
from tests.pause import pause

TOPIC = """
from bridge.topic import topic
from pydantic import BaseModel

class Input(BaseModel):
    number: int

@topic("{topic}")
async def work(given: Input) -> None:
    return None
"""
LINE = re.compile(r'^gateway_engine_open_tasks\{topic="([^"]+)"\} (\S+)$', re.MULTILINE)


async def backlog(gateway: GatewayProcess) -> dict[str, float]:
    """Return the open tasks by topic that a process tells of; nothing where another one does."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/metrics") as answer:
        return {topic: float(count) for topic, count in LINE.findall(await answer.text())}


async def until(gateways: list[GatewayProcess], holds: Callable[[list[dict[str, float]]], bool]) -> None:
    async with asyncio.timeout(TIME_LIMIT):
        while not holds([await backlog(gateway) for gateway in gateways]):
            await pause()


async def test_workers_can_be_started_and_ended_by_the_engines_backlog(lab: Lab) -> None:
    ours, others = lab.topic("ours"), lab.topic("of-another")
    lab.write_topic("work", TOPIC.format(topic=ours))
    key = await lab.deploy("ours", ours)
    await lab.start_many(key, 3)
    await lab.start_many(await lab.deploy("others", others), 2)
    gateways = [await lab.gateway("serve", "--roles", "web,intake") for _ in range(2)]

    def one_tells(count: float) -> Callable[[list[dict[str, float]]], bool]:
        def holds(found: list[dict[str, float]]) -> bool:
            telling = [each for each in found if each]
            return len(telling) == 1 and (telling[0].get(ours), telling[0].get(others)) == (count, 2)

        return holds

    await until(gateways, one_tells(3))
    assert await lab.finished(key) == 0, "there is no worker yet, and nothing is fetched for one"
    await lab.gateway("worker")
    await lab.until_finished(key, 3)
    await until(gateways, one_tells(0))


async def test_another_gateway_tells_of_the_backlog_where_the_first_one_is_killed(lab: Lab) -> None:
    ours = lab.topic("ours")
    lab.write_topic("work", TOPIC.format(topic=ours))
    first = await lab.gateway("serve", "--roles", "web,intake")
    await until([first], lambda found: found[0].get(ours) == 0)
    second = await lab.gateway("serve", "--roles", "web,intake")
    assert await backlog(second) == {}
    await first.kill()
    await until([second], lambda found: found[0].get(ours) == 0)
