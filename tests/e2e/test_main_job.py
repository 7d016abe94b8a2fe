"""From a process instance to its end, by real servers and a gateway in a process of its own."""

from __future__ import annotations

from collections import Counter

from tests.e2e.gateways import Lab

COUNT = """
from pydantic import BaseModel
from bridge.topic import topic

class Input(BaseModel):
    number: int

@topic("{topic}")
async def count(given: Input) -> dict[str, int]:
    return {{"next": given.number + 1}}
"""

FATES = """
from pydantic import BaseModel
from bridge.topic import BpmnError, Context, Fail, Retry, topic

class Input(BaseModel):
    fate: str

@topic("{topic}", timeout=0.5, retries=1)
async def decide(given: Input, context: Context) -> dict[str, object]:
    match given.fate:
        case "well":
            return {{"attempt": context.attempt, "key": context.idempotency_key, "business": context.business_key}}
        case "at second":
            if context.attempt == 1:
                raise ValueError("not yet")
            return {{"attempt": context.attempt, "key": context.idempotency_key}}
        case "asks for time":
            if context.attempt == 1:
                raise Retry("later", after=0.1)
            return {{"attempt": context.attempt}}
        case "refused":
            raise BpmnError("REFUSED", "no", {{"why": "because"}})
        case "late":
            import asyncio
            await asyncio.Event().wait()
        case "hopeless":
            raise Fail("there is no way")
    raise RuntimeError("never")
"""


def text(value: str) -> dict[str, object]:
    return {"type": "String", "value": value}


async def test_a_topic_is_one_file(lab: Lab) -> None:
    topic = lab.topic("count")
    lab.write_topic("count", COUNT.format(topic=topic))
    key = await lab.deploy("count", topic)
    await lab.gateway()
    instance = await lab.start(key, {"number": {"type": "Integer", "value": 41}})
    await lab.until_finished(key, 1)
    found = (await lab.variables(instance))["next"]
    assert (found["type"], found["value"]) == ("Integer", 42)
    # Another file and a restart are all that another topic needs.
    second = lab.topic("again")
    lab.write_topic("again", COUNT.format(topic=second))
    other = await lab.deploy("again", second)
    assert await lab.gateways[0].stop() == 0
    await lab.gateway()
    await lab.start(other, {"number": {"type": "Integer", "value": 1}})
    await lab.until_finished(other, 1)


async def test_every_fate_of_a_task(lab: Lab) -> None:
    topic = lab.topic("fates")
    lab.write_topic("fates", FATES.format(topic=topic))
    key = await lab.deploy("fates", topic)
    gateway = await lab.gateway()
    fates = ("well", "at second", "asks for time", "refused", "late", "hopeless")
    instances = {fate: await lab.start(key, {"fate": text(fate)}, f"key of {fate}") for fate in fates}
    tasks = {fate: (await lab.task_of(instances[fate]))["id"] for fate in ("late", "hopeless")}
    await lab.until_finished(key, 4)
    ended = {fate: await lab.ended_at(instances[fate]) for fate in fates[:4]}
    assert ended == {"well": "done", "at second": "done", "asks for time": "done", "refused": "refusal"}
    well = await lab.variables(instances["well"])
    assert (well["attempt"]["value"], well["business"]["value"]) == (1, "key of well")
    second = await lab.variables(instances["at second"])
    assert second["attempt"]["value"] == 2
    assert (await lab.variables(instances["refused"]))["why"]["value"] == "because"

    late = await lab.until_incident(instances["late"])
    assert "HandlerTimeout" in late["incidentMessage"]
    hopeless = await lab.until_incident(instances["hopeless"])
    assert "there is no way" in hopeless["incidentMessage"]
    await gateway.until("outcome_settled", task_id=tasks["late"], how="delivered_incident")
    await gateway.until("outcome_settled", task_id=tasks["hopeless"], how="delivered_incident")
    for fate, attempts in (("late", 2), ("hopeless", 1)):
        status, task = await gateway.ask("GET", f"/tasks/{tasks[fate]}/status")
        assert status == 200
        assert (task["status"], task["attempts"], task["source"]) == ("failed", attempts, "polled")


async def test_bad_input_is_an_incident_that_an_operator_retries(lab: Lab) -> None:
    topic = lab.topic("count")
    lab.write_topic("count", COUNT.format(topic=topic))
    key = await lab.deploy("count", topic)
    gateway = await lab.gateway()
    instance = await lab.start(key, {"number": text("many")})
    incident = await lab.until_incident(instance)
    assert "InvalidInput: number" in incident["incidentMessage"]
    task = (await lab.task_of(instance))["id"]
    await gateway.until("outcome_settled", task_id=task, how="delivered_incident")
    await lab.ask("PUT", f"/process-instance/{instance}/variables/number", {"type": "Integer", "value": 1})
    status, answer = await gateway.ask("POST", f"/tasks/{task}/retry")
    assert (status, answer["task_id"]) == (202, task)
    await lab.until_finished(key, 1)
    await gateway.until("outcome_settled", task_id=task, how="delivered_completion")
    status, problem = await gateway.ask("POST", f"/tasks/{task}/retry")
    assert status == 409
    assert "completed" in problem["detail"]


async def test_two_thousand_drain_though_the_gateway_is_killed_in_the_middle(lab: Lab) -> None:
    topic = lab.topic("count")
    lab.write_topic("count", COUNT.format(topic=topic))
    key = await lab.deploy("count", topic)
    gateway = await lab.gateway(CLAIM_DURATION="2", LOCK_DURATION="10", STALE_AFTER="5", REPORT_WITHIN="2")
    await lab.start_many(key, 1000)
    await lab.until_finished(key, 300)
    await gateway.kill()
    assert await lab.finished(key) < 1000
    await lab.start_many(key, 1000)
    again = await lab.gateway(CLAIM_DURATION="2", LOCK_DURATION="10", STALE_AFTER="5", REPORT_WITHIN="2")
    await lab.until_finished(key, 2000, time_limit=600)
    successes = Counter(await lab.successes(key))
    assert len(successes) == 2000
    assert set(successes.values()) == {1}
    _, statistics = await again.ask("GET", "/tasks/statistics")
    assert statistics["total"] == 2000
    assert await again.stop() == 0
