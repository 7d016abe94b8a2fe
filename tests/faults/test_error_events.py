"""What the model's errorEventDefinition makes of a completion, on a real engine, with the demo's own model."""

from __future__ import annotations

from pathlib import Path

import aiohttp

import sandbox.demo
from bridge.domain.task import State
from bridge.domain.variables import decode
from tests.faults.lab import FaultLab

MODEL = Path(sandbox.demo.__file__).parent / "processes" / "mural.bpmn"
FORBIDDEN = {"proibido": {"type": "String", "value": "no"}}
TOPIC = """
from pydantic import BaseModel
from bridge.topic import topic

class Input(BaseModel):
    name: str

@topic("{topic}")
async def work(given: Input) -> dict[str, str]:
    return {{"greeting": given.name}}
"""


async def test_a_completion_that_the_model_turns_into_a_bpmn_error_is_told_as_what_it_was(faults: FaultLab) -> None:
    topic = faults.topic("work")
    faults.write_topic("work", TOPIC.format(topic=topic))
    model = MODEL.read_text().replace("{", "{{").replace("}", "}}")
    model = model.replace('"mural"', '"{key}"').replace('"say_hello"', '"{topic}"')
    key = await faults.deploy_text("mural", model, topic)
    gateway = await faults.faulty()

    async def written(name: str) -> str:
        return await faults.start_with(key, name={"type": "String", "value": name}, **FORBIDDEN)

    instances = [await written("no"), await written("yes"), await written("no")]
    await faults.until_finished(key, 3)
    refused, taken, again = [
        await faults.until_kept(await faults.first_task_of(instance), State.COMPLETED) for instance in instances
    ]
    for task in (refused, again):
        assert "errorEventDefinition turned this completion into a BPMN error" in (task.error or "")
        assert decode(task.result or {}) == {"greeting": "no"}
        await gateway.until("outcome_settled", task_id=task.id, how="ended_by_us", thrown=True)
    assert taken.error is None
    assert [await faults.ended_at(instance) for instance in instances] == ["recusado", "publicado", "recusado"]
    assert (await faults.variables(instances[0]))["greeting"]["value"] == "no", "the engine wrote the result before"
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    assert f'gateway_tasks_total{{result="bpmn_error",topic="{topic}"}} 2.0' in lines
    assert f'gateway_tasks_total{{result="completed",topic="{topic}"}} 1.0' in lines
    (reads,) = [line for line in lines if line.startswith("gateway_engine_call_seconds_count") and "read_model" in line]
    assert reads.endswith(" 1.0"), "the model is read once"
