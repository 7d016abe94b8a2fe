"""Something answers in the engine's place, now and then: no task is ended by it, and each is completed once."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import product

import aiohttp

from sandbox.proxies.engine import Choose, EngineProxy, Kind, at_random
from tests.e2e.gateways import TIME_LIMIT
from tests.faults.lab import FaultLab, FaultyGateway
from tests.pause import pause

SEED = 20_241
TASKS = 200


async def incidents(lab: FaultLab, key: str) -> int:
    """Count the incidents that a process ever had."""
    return int((await lab.ask("GET", f"/history/incident/count?processDefinitionKey={key}"))["count"])


async def test_two_of_a_hundred_answers_are_spoiled_and_every_task_is_completed_once(faults: FaultLab) -> None:
    key = await faults.counted()
    tasks = await faults.begin(key, TASKS)
    async with EngineProxy(faults.engine_url, at_random(0.02, SEED)) as proxy:
        await faults.faulty(CAMUNDA_URL=proxy.url)
        await faults.until_finished(key, TASKS)
        await faults.assert_each_once(key, tasks)
        assert await incidents(faults, key) == 0
        assert len(proxy.spoiled) >= 3, (len(proxy.spoiled), proxy.passed)
        assert {run.task_id for run in faults.runs()} == set(tasks)
        await faults.gateways[0].stop()


async def test_every_kind_of_spoiled_answer_to_a_completion(faults: FaultLab) -> None:
    wanted = list(product(Kind, (True, False)))
    key = await faults.counted()
    tasks = await faults.begin(key, 2 * len(wanted))
    async with EngineProxy(faults.engine_url, in_turn(wanted)) as proxy:
        gateway = await faults.faulty(CAMUNDA_URL=proxy.url, LOCK_DURATION="60")
        await until_warned(gateway)
        await faults.until_finished(key, len(tasks))
        await faults.assert_each_once(key, tasks)
        assert Counter((each.kind, each.is_passed_on) for each in proxy.spoiled) == Counter(wanted)
        assert await incidents(faults, key) == 0
        assert len(faults.runs()) == len(tasks), "no handler runs for an answer"
        told = {line["status"] for line in gateway.events("foreign_answer", operation="complete")}
        assert told == {200, 302, 401, 403, 404, 429, 500, 502, 504}
        assert len(gateway.events("foreign_answer")) == len(told), "each once"
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/metrics") as answer:
            text = await answer.text()
        assert 'gateway_foreign_answers_total{operation="complete",status="404"} 4.0' in text
        await gateway.stop()


async def until_warned(gateway: FaultyGateway) -> None:
    """Return once the gateway's health says what answers in the engine's place, though the engine answers as well."""
    async with asyncio.timeout(TIME_LIMIT):
        while True:
            _, health = await gateway.ask("GET", "/health")
            if any("the engine's address answers" in text for text in health["components"]["engine"]["warnings"]):
                return
            await pause()


def in_turn(wanted: list[tuple[Kind, bool]]) -> Choose:
    """Spoil every other answer to a completion, each in its own way: in a row they would be an outage."""
    left = [choice for each in wanted for choice in (each, None)]

    def choose(operation: str) -> tuple[Kind, bool] | None:
        return left.pop(0) if operation == "complete" and left else None

    return choose
