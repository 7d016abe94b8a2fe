"""A task sees what its activity sees: input mappings, multi-instance elements and local files, on the real engine."""

from __future__ import annotations

import asyncio
import json
import re
from html import unescape
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from tests.e2e.gateways import TIME_LIMIT, GatewayProcess, Lab
from tests.e2e.test_bulk import ADMIN, Operator, operator
from tests.e2e.test_submit import hand_in
from tests.pause import pause

MODEL = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="definitions" targetNamespace="tests">
  <process id="{{key}}" isExecutable="true" camunda:historyTimeToLive="P1D" camunda:versionTag="stable">
    <startEvent id="start"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="work"/>
    <serviceTask id="work" camunda:type="external" camunda:topic="{{topic}}" camunda:taskPriority="7">
      <extensionElements>
        <camunda:properties><camunda:property name="owner" value="sales"/></camunda:properties>
        <camunda:inputOutput>
          <camunda:inputParameter name="{name}">{expression}</camunda:inputParameter>
        </camunda:inputOutput>
      </extensionElements>
      {loop}
    </serviceTask>
    <sequenceFlow id="f2" sourceRef="work" targetRef="done"/>
    <endEvent id="done"/>
  </process>
</definitions>
"""
MAPPED = MODEL.format(name="amount", expression="${{total}}", loop="")
PAGES = MODEL.format(
    name="page",
    expression="${{execution.getVariableTyped('page'.concat(loopCounter))}}",
    loop="<multiInstanceLoopCharacteristics><loopCardinality>3</loopCardinality></multiInstanceLoopCharacteristics>",
)

PAY = """
from pydantic import BaseModel
from bridge.topic import Fail, topic

class Input(BaseModel):
    amount: int

@topic("{topic}")
async def pay(given: Input) -> dict[str, int]:
    if given.amount < 0:
        raise Fail(f"an amount of {{given.amount}} can't be paid")
    return {{"paid": given.amount}}
"""
READ = """
from pydantic import BaseModel, Field
from bridge.topic import Context, File, topic

class Input(BaseModel):
    page: File
    number: int = Field(alias="loopCounter")

@topic("{topic}")
async def read(given: Input, context: Context) -> dict[str, str]:
    content = await context.read_file("page")
    return {{f"read{{given.number}}": f"{{given.page.name}}: {{content.decode()}}"}}
"""
TELL = """
from pydantic import BaseModel
from bridge.topic import Context, topic

class Input(BaseModel):
    amount: int

@topic("{topic}", process_variables={{"country": "BR"}}, process_definition_version_tag="stable",
       business_key="A-17", without_tenant_id=True, include_extension_properties=True)
async def tell(given: Input, context: Context) -> dict[str, object]:
    return {{
        "activity": context.activity_id, "key": context.process_definition_key, "owner": context.properties["owner"],
        "definition": context.process_definition_id, "priority": context.priority, "left": context.retries_left,
        "execution": context.execution_id, "made": context.created_at,
    }}
"""


def number(value: int) -> dict[str, object]:
    return {"type": "Integer", "value": value}


async def edit(visitor: Operator, task_id: str, **changes: Any) -> str:
    """Save changed variables by the page; return what it says then."""
    path = f"/dashboard/tasks/{task_id}/edit"
    html = await visitor.get(path)
    form = re.search(rf'<form[^>]*action="{path}".*?</form>', html, re.DOTALL)
    assert form is not None, html
    hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0])
    fields = {name: unescape(value) for name, value in hidden}
    found = re.search(r"<textarea[^>]*>(.*?)</textarea>", form[0], re.DOTALL)
    assert found is not None, html
    text = json.dumps({**json.loads(unescape(found[1])), **changes})
    _, answer = await visitor.post(path, {**fields, "variables": text, "reason": "mended"})
    return answer


async def failed_payment(lab: Lab) -> tuple[GatewayProcess, str, str, str]:
    """Have a task fail by the value of its input mapping; return the gateway, process, instance and the task's id."""
    topic = lab.topic("pay")
    lab.write_topic("pay", PAY.format(topic=topic))
    key = await lab.deploy("pay", topic, MAPPED)
    gateway = await lab.gateway("serve", **ADMIN)
    instance = await lab.start(key, {"total": number(-1), "secret_note": {"type": "String", "value": "not read"}})
    await lab.until_incident(instance)
    task_id = (await lab.task_of(instance))["id"]
    await until(gateway, task_id, "failed", 1)
    return gateway, key, instance, task_id


async def until(gateway: GatewayProcess, task_id: str, status: str, attempts: int) -> None:
    async with asyncio.timeout(TIME_LIMIT):
        while True:
            _, found = await gateway.ask("GET", f"/tasks/{task_id}/status")
            if (found["status"], found["attempts"]) == (status, attempts):
                return
            await pause()


async def test_an_input_mapping_is_edited_and_the_handler_sees_it(lab: Lab) -> None:
    gateway, key, instance, task_id = await failed_payment(lab)
    async with operator(gateway) as visitor:
        assert "the task is being retried" in await edit(visitor, task_id, amount=42)
        await lab.until_finished(key, 1)
        page = await visitor.get(f"/dashboard/tasks/{task_id}")
    variables = await lab.variables(instance)
    assert (variables["paid"]["value"], variables["total"]["value"]) == (42, -1)
    assert "An edit did not arrive" not in page
    assert "not read" not in page, "what the model doesn't name was fetched"
    assert await lab.successes(key) == [task_id]


async def test_an_edit_that_the_mapping_hides_is_told(lab: Lab) -> None:
    gateway, _, instance, task_id = await failed_payment(lab)
    # As a version kept it that didn't know executions: the edit goes to the process instance, beneath the mapping.
    async with AsyncMongoClient[dict[str, Any]](lab.env["MONGODB_URI"]) as client:
        tasks = client[lab.env["MONGODB_DATABASE"]]["tasks"]
        changed = await tasks.update_one({"_id": task_id}, {"$unset": {"execution_id": ""}})
        assert changed.modified_count == 1
    async with operator(gateway) as visitor:
        await edit(visitor, task_id, amount=42)
        await until(gateway, task_id, "failed", 2)
        page = await visitor.get(f"/dashboard/tasks/{task_id}")
        assert "An edit did not arrive" in page
        assert "Edited variables did not arrive" in page, "the audit has it"
    await gateway.until("edit_missed", task_id=task_id, variables=["amount"])
    of_process = await lab.ask("GET", f"/process-instance/{instance}/variables")
    assert of_process["amount"]["value"] == 42


@pytest.mark.parametrize("how", ["polled", "pushed"])
async def test_each_of_many_instances_reads_its_own_file(lab: Lab, how: str) -> None:
    topic = lab.topic("read")
    lab.write_topic("read", READ.format(topic=topic))
    key = await lab.deploy("read", topic, PAGES)
    gateway = await lab.gateway(*(("serve",) if how == "polled" else ("serve", "--roles", "web,work")))
    files = {
        f"page{index}": {
            "type": "File",
            "value": text,
            "valueInfo": {"filename": f"{index}.txt", "mimeType": "text/plain"},
        }
        for index, text in enumerate(("b25l", "dHdv", "dGhyZWU="))
    }
    instance = await lab.start(key, files)
    tasks = await lab.ask("GET", f"/external-task?processInstanceId={instance}")
    if how == "pushed":
        for task in tasks:
            assert (await hand_in(gateway, task, "courier"))[0] == 202
    await lab.until_finished(key, 1)
    found = await lab.variables(instance)
    assert [found[f"read{index}"]["value"] for index in range(3)] == ["0.txt: one", "1.txt: two", "2.txt: three"]
    assert len(await lab.successes(key)) == 3


async def test_a_submitted_task_without_variables_sees_its_input_mapping(lab: Lab) -> None:
    topic = lab.topic("pay")
    lab.write_topic("pay", PAY.format(topic=topic))
    key = await lab.deploy("pay", topic, MAPPED)
    gateway = await lab.gateway("serve", "--roles", "web,work")
    instance = await lab.start(key, {"total": number(5), "amount": number(-1)})
    assert (await hand_in(gateway, await lab.task_of(instance), "courier"))[0] == 202
    await lab.until_finished(key, 1)
    assert (await lab.variables(instance))["paid"]["value"] == 5


async def test_a_topic_filters_and_a_handler_is_told_of_its_task(lab: Lab) -> None:
    topic = lab.topic("tell")
    lab.write_topic("tell", TELL.format(topic=topic))
    key = await lab.deploy("tell", topic, MAPPED)
    country = {"BR": {"type": "String", "value": "BR"}, "PT": {"type": "String", "value": "PT"}}
    others = [
        await lab.start(key, {"total": number(1), "country": country["PT"]}, "A-17"),
        await lab.start(key, {"total": number(1), "country": country["BR"]}, "A-18"),
    ]
    ours = await lab.start(key, {"total": number(1), "country": country["BR"]}, "A-17")
    task = await lab.task_of(ours)
    await lab.gateway()
    await lab.until_finished(key, 1)
    found = {name: row["value"] for name, row in (await lab.variables(ours)).items()}
    assert (found["activity"], found["key"], found["definition"]) == ("work", key, task["processDefinitionId"])
    assert (found["owner"], found["priority"], found["left"]) == ("sales", 7, 3)
    assert found["execution"] == task["executionId"]
    assert found["made"] is not None
    for other in others:
        assert (await lab.task_of(other))["workerId"] is None
