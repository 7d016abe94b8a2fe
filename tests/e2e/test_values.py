"""Values keep what they mean: days in the engine's zone, results in their scope, topics of any name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.registry import Registry
from gateway.checks.finding import Finding
from gateway.doctor import diagnose
from gateway.settings import read_settings
from sandbox import Part, Sandbox
from tests.conftest import base_port, engine_kind
from tests.e2e.gateways import Lab

ZONE = "America/Sao_Paulo"
NEVER = "9999-12-31T23:59:59.000-0300"

DUE = """
from datetime import date, datetime, timedelta
from typing import Any
from pydantic import BaseModel
from bridge.topic import topic

class Due(BaseModel):
    day: date
    until: datetime
    count: int

@topic("{topic}", variables="*")
async def due(given: Due) -> dict[str, Any]:
    return {{"next_day": given.day + timedelta(days=1), "day": given.day, "until": given.until, "count": 7}}
"""

SHARE = """
from pydantic import BaseModel
from bridge.topic import LocalResult, topic

class Part(BaseModel):
    number: int

class Share(LocalResult):
    total: int

@topic("{topic}")
async def share(part: Part) -> Share:
    return Share(total=100 * part.number)
"""

GREETING = """
from pydantic import BaseModel
from bridge.topic import topic

class Input(BaseModel):
    name: str

@topic("{topic}")
async def greet(given: Input) -> dict[str, str]:
    return {{"said": given.name}}
"""

# The engine has no output mapping at a multi-instance itself, so the subprocess is what there is many of.
SHARES = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:camunda="http://camunda.org/schema/1.0/bpmn"
             id="definitions" targetNamespace="tests">
  <process id="{key}" isExecutable="true" camunda:historyTimeToLive="P1D">
    <startEvent id="start"/>
    <sequenceFlow id="f1" sourceRef="start" targetRef="each"/>
    <subProcess id="each">
      <multiInstanceLoopCharacteristics><loopCardinality>10</loopCardinality></multiInstanceLoopCharacteristics>
      <startEvent id="begin"/>
      <sequenceFlow id="e1" sourceRef="begin" targetRef="work"/>
      <serviceTask id="work" camunda:type="external" camunda:topic="{topic}">
        <extensionElements>
          <camunda:inputOutput>
            <camunda:inputParameter name="number">${{loopCounter}}</camunda:inputParameter>
            <camunda:outputParameter name="share">${{total}}</camunda:outputParameter>
          </camunda:inputOutput>
        </extensionElements>
      </serviceTask>
      <sequenceFlow id="e2" sourceRef="work" targetRef="collect"/>
      <serviceTask id="collect" camunda:expression="${{execution.setVariable('share_'.concat(loopCounter), share)}}"/>
      <sequenceFlow id="e3" sourceRef="collect" targetRef="end"/>
      <endEvent id="end"/>
    </subProcess>
    <sequenceFlow id="f2" sourceRef="each" targetRef="done"/>
    <endEvent id="done"/>
  </process>
</definitions>
"""


@pytest.fixture(scope="module")
def engine_in_sao_paulo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    sandbox = Sandbox(
        tmp_path_factory.mktemp("sao_paulo"), base_port=base_port(300), timezone=ZONE, engine=engine_kind()
    )
    try:
        sandbox.up((Part.ENGINE,))
        yield sandbox.env()["CAMUNDA_URL"]
    finally:
        sandbox.down()


@pytest.fixture
async def there(servers: dict[str, str], engine_in_sao_paulo: str, tmp_path: Path) -> AsyncIterator[Lab]:
    """A lab whose engine runs in São Paulo."""
    async with aiohttp.ClientSession() as session:
        lab = Lab({**servers, "CAMUNDA_URL": engine_in_sao_paulo}, tmp_path, session)
        try:
            yield lab
        finally:
            await lab.close()


@pytest.mark.own_engine
async def test_a_day_is_the_same_day_in_sao_paulo_and_no_date_is_an_incident(there: Lab) -> None:
    topic = there.topic("due")
    there.write_topic("due", DUE.format(topic=topic))
    key = await there.deploy("due", topic)
    await there.gateway(ENGINE_TIMEZONE=ZONE)
    dates = {"day": "2026-01-09T00:00:00.000-0300", "until": NEVER, "unwanted": NEVER}
    variables = {name: {"type": "Date", "value": text} for name, text in dates.items()}
    instance = await there.start(key, {**variables, "count": {"type": "Long", "value": 5}})
    await there.until_finished(key, 1)
    stored = {name: (row["type"], row["value"]) for name, row in (await there.variables(instance)).items()}
    assert stored == {
        "day": ("Date", "2026-01-09T00:00:00.000-0300"),
        "next_day": ("Date", "2026-01-10T00:00:00.000-0300"),
        "until": ("Date", NEVER),
        "unwanted": ("Date", NEVER),
        "count": ("Long", 7),
    }


async def test_the_doctor_reads_the_zone_from_what_the_engine_writes(there: Lab) -> None:
    await there.deploy("due", there.topic("due"))

    async def finding(zone: str) -> Finding:
        settings = {name.lower(): value for name, value in there.env.items() if name.isupper()}
        found = await diagnose(read_settings(**{**settings, "engine_timezone": zone}), Registry({}))
        return next(one for one in found if one.part == "time zone")

    wrong, right = await finding("UTC"), await finding(ZONE)
    assert (wrong.ok, right.ok) == (False, True), (wrong, right)
    assert "-03:00" in wrong.says
    assert ZONE in wrong.change


async def test_no_parallel_instance_overwrites_anothers_result(lab: Lab) -> None:
    topic = lab.topic("share")
    lab.write_topic("share", SHARE.format(topic=topic))
    key = await lab.deploy("shares", topic, SHARES)
    await lab.gateway()
    instance = await lab.start(key)
    await lab.until_finished(key, 1)
    stored: dict[str, Any] = {name: row["value"] for name, row in (await lab.variables(instance)).items()}
    assert {name: stored[name] for name in stored if name.startswith("share_")} == {
        f"share_{number}": 100 * number for number in range(10)
    }


@pytest.mark.parametrize("name", ["Ação/de cobrança nº 1", "é" * 200])
async def test_a_topic_of_any_name_is_worked(lab: Lab, name: str) -> None:
    topic = lab.topic(name)
    lab.write_topic("greet", GREETING.format(topic=topic))
    key = await lab.deploy("greet", topic)
    gateway = await lab.gateway()
    instance = await lab.start(key, {"name": {"type": "String", "value": "Ana"}})
    await lab.until_finished(key, 1)
    assert (await lab.variables(instance))["said"]["value"] == "Ana"
    _, found = await gateway.ask("GET", "/tasks/statistics")
    assert found["by_topic"] == {topic: 1}
