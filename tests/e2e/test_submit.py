"""Tasks handed in over HTTP, on the real engine."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.e2e.gateways import GatewayProcess, Lab

ECHO = """
from pydantic import BaseModel
from bridge.topic import topic

class Input(BaseModel):
    name: str

@topic("{topic}")
async def echo(given: Input) -> dict[str, str]:
    return {{"said": given.name}}
"""


async def hand_in(gateway: GatewayProcess, task: dict[str, Any], worker: str, **variables: Any) -> tuple[int, Any]:
    body = {"task_id": task["id"], "worker_id": worker, "topic": task["topicName"], "variables": variables}
    return await gateway.ask("POST", "/tasks/submit", body)


async def web_only(lab: Lab) -> tuple[GatewayProcess, str]:
    """Start a gateway that works but doesn't fetch, so that only what is handed in runs; return it with a process."""
    topic = lab.topic("echo")
    lab.write_topic("echo", ECHO.format(topic=topic))
    key = await lab.deploy("echo", topic)
    return await lab.gateway("serve", "--roles", "web,work"), key


async def test_a_free_task_is_locked_and_worked(lab: Lab) -> None:
    gateway, key = await web_only(lab)
    instance = await lab.start(key, {"name": {"type": "String", "value": "engine"}})
    task = await lab.task_of(instance)
    status, answer = await hand_in(gateway, task, "courier", name="caller")
    assert (status, answer["task_id"]) == (202, task["id"])
    await lab.until_finished(key, 1)
    assert (await lab.variables(instance))["said"]["value"] == "caller"
    await gateway.until("outcome_settled", task_id=task["id"], how="delivered_completion")
    status, found = await gateway.ask("GET", f"/tasks/{task['id']}/status")
    assert found["status"] == "completed"
    assert found["result"] == {"said": "caller"}
    assert (found["source"], found["worker_id"], found["process_instance_id"]) == ("pushed", "courier", instance)
    # The same again gets the same answer, another body doesn't.
    status, again = await hand_in(gateway, task, "courier", name="caller")
    assert (status, again) == (202, {"task_id": task["id"], "status": "completed"})
    status, problem = await hand_in(gateway, task, "courier", name="other")
    assert (status, problem["status"]) == (409, 409)


async def test_typed_variables_and_the_engines_own(lab: Lab) -> None:
    gateway, key = await web_only(lab)
    typed, own = [await lab.start(key, {"name": {"type": "String", "value": "engine"}}) for _ in range(2)]
    assert (await hand_in(gateway, await lab.task_of(typed), "w", name={"type": "String", "value": "typed"}))[0] == 202
    assert (await hand_in(gateway, await lab.task_of(own), "w"))[0] == 202
    await lab.until_finished(key, 2)
    said = [(await lab.variables(instance))["said"]["value"] for instance in (typed, own)]
    assert said == ["typed", "engine"]


async def test_fifty_at_once_are_one(lab: Lab) -> None:
    gateway, key = await web_only(lab)
    task = await lab.task_of(await lab.start(key))
    answers = await asyncio.gather(*(hand_in(gateway, task, "w", name="x") for _ in range(50)))
    assert {status for status, _ in answers} == {202}
    await lab.until_finished(key, 1)
    assert await lab.successes(key) == [task["id"]]


async def test_what_can_not_be_handed_in_is_told_why(lab: Lab) -> None:
    gateway, key = await web_only(lab)
    task = await lab.task_of(await lab.start(key))
    unknown = {**task, "id": "00000000-0000-0000-0000-000000000000"}
    assert (await hand_in(gateway, unknown, "w", name="x"))[0] == 404
    assert (await hand_in(gateway, {**task, "topicName": "nobody"}, "w", name="x"))[0] == 422
    await lab.ask("POST", f"/external-task/{task['id']}/lock", {"workerId": "holder", "lockDuration": 60_000})
    status, problem = await hand_in(gateway, task, "w", name="x")
    assert status == 409
    assert "holder" in problem["detail"]
    assert (await hand_in(gateway, task, "holder", name="x"))[0] == 202
    await lab.until_finished(key, 1)


async def test_handed_in_while_the_engine_is_away_and_checked_before_it_runs(lab: Lab) -> None:
    topic = lab.topic("echo")
    lab.write_topic("echo", ECHO.format(topic=topic))
    key = await lab.deploy("echo", topic)
    instance = await lab.start(key)
    task = await lab.task_of(instance)
    away = await lab.gateway(
        "serve", "--roles", "web", CAMUNDA_URL="http://127.0.0.1:9/engine-rest", PUBLISH_TIMEOUT="0.5"
    )
    assert (await hand_in(away, task, "courier", name="late"))[0] == 202
    unknown = {**task, "id": "00000000-0000-0000-0000-000000000000"}
    assert (await hand_in(away, unknown, "courier", name="late"))[0] == 202
    _, found = await away.ask("GET", f"/tasks/{task['id']}/status")
    assert (found["status"], found["process_instance_id"]) == ("received", None)
    assert await away.stop() == 0
    back = await lab.gateway(PUBLISH_TIMEOUT="0.5")
    await lab.until_finished(key, 1)
    assert (await lab.variables(instance))["said"]["value"] == "late"
    await back.until("submission_refused", task_id=unknown["id"])
    _, found = await back.ask("GET", f"/tasks/{unknown['id']}/status")
    assert found["status"] == "cancelled"
