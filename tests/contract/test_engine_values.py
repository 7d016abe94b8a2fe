"""What the engine stores of values: asked of the engine in memory and of a running Camunda alike."""

from __future__ import annotations

import pytest

from bridge.adapters.camunda.engine import CamundaEngine
from bridge.adapters.camunda.string_column import StringColumn
from bridge.domain.task import TypedValue
from bridge.domain.variables import decode, encode
from tests.conftest import engine_login, engine_session
from tests.contract.engine_calls import fetch
from tests.contract.engines import CamundaLab, EngineLab

LONG = "é" * 3000 + "x" * 2000


@pytest.mark.parametrize("call", ["complete", "raise_bpmn_error", "set_variables"])
async def test_text_that_the_column_does_not_hold_is_an_object(engine_lab: EngineLab, topic: str, call: str) -> None:
    engine, variables = engine_lab.engine, {"text": TypedValue("String", LONG), "short": TypedValue("String", "x")}
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    instance = task.process_instance_id or ""
    match call:
        case "complete":
            await engine.complete(task.id, "w1", variables)
        case "raise_bpmn_error":
            await engine.raise_bpmn_error(task.id, "w1", code="refused", message="", variables=variables)
        case _:
            await engine.set_variables(instance, variables)
    stored = await engine_lab.stored(instance)
    assert (stored["text"].type, stored["short"].type) == ("Object", "String")
    assert decode({"text": stored["text"]})["text"] == LONG


async def test_local_and_transient_results_do_not_stay(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic)
    (task,) = await fetch(engine_lab, topic)
    results = {
        "kept": TypedValue("Long", 1),
        "local": TypedValue("Long", 2, local=True),
        "passing": TypedValue("String", "x" * 9000, {"transient": True}),
    }
    await engine_lab.engine.complete(task.id, "w1", results)
    stored = await engine_lab.stored(task.process_instance_id or "")
    assert {name for name in results if name in stored} == {"kept"}
    assert stored["kept"].type == "Long"


async def test_moments_at_the_end_of_the_calendar_come_back(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic, {"until": TypedValue("Date", "9999-12-31T23:59:59.000-0300")})
    (task,) = await fetch(engine_lab, topic)
    assert decode(task.variables)["until"].year == 9999
    await engine_lab.engine.complete(task.id, "w1", encode(decode({"until": task.variables["until"]})))


async def test_base64_in_lines_is_taken(engine_lab: EngineLab, topic: str) -> None:
    await engine_lab.start(topic, {"raw": TypedValue("Bytes", "QUJD\r\nREVG\r\n")})
    (task,) = await fetch(engine_lab, topic)
    assert decode(task.variables)["raw"] == b"ABCDEF"


@pytest.mark.engine
async def test_a_column_that_holds_less_than_was_set_is_noticed(servers: dict[str, str], topic: str) -> None:
    """The real engine's column holds 4000: it refuses what a setting of 10,000 lets through, and takes it as Object."""
    lowered: list[int] = []
    strings = StringColumn(10_000, lowered.append)
    engine = CamundaEngine(servers["CAMUNDA_URL"], credentials=engine_login(), strings=strings)
    await engine.open()
    try:
        await engine.version()
        await _complete_with_long_text(servers, engine, topic)
        await _complete_with_long_text(servers, engine, topic)
    finally:
        await engine.close()
    assert lowered == [4000]


async def _complete_with_long_text(servers: dict[str, str], engine: CamundaEngine, topic: str) -> None:
    async with engine_session() as session:
        lab = CamundaLab(servers["CAMUNDA_URL"], session, engine_login())
        await lab.engine.open()
        try:
            await lab.start(topic)
            (task,) = await fetch(lab, topic)
            await engine.complete(task.id, "w1", {"text": TypedValue("String", LONG)})
            stored = await lab.stored(task.process_instance_id or "")
            assert decode({"text": stored["text"]})["text"] == LONG
        finally:
            await lab.close()
