"""A secret planted in variables, settings and errors is found nowhere in traces, logs or metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from uuid import uuid4

import aiohttp

from tests.e2e.gateways import Lab
from tests.e2e.jaeger import Jaeger

TOPIC = """
from opentelemetry import trace
from pydantic import BaseModel
from bridge.topic import topic, BpmnError, Context, Fail

class Input(BaseModel):
    fate: str
    password: str
    plain: str
    order: dict[str, object]

@topic("{topic}", retries=1, secrets=["pin"])
async def leak(given: Input, context: Context) -> dict[str, str]:
    context.log.info("working", password=given.password, pin=given.password, order={{"api_key": given.password}})
    tracer = trace.get_tracer("leaky")
    with tracer.start_as_current_span("own") as span:
        span.set_attribute("card.password", given.password)
        span.set_attribute("note", "value " + given.plain)
        trace.get_current_span().add_event("seen", {{"note": given.plain}})
        if given.fate == "wild":
            raise RuntimeError(f"no luck: password={{given.password}} Bearer {{given.password}}")
        if given.fate == "quoted":
            raise ValueError(f"bad input: {{given.plain!r}} in {{given.order!r}}")
        if given.fate == "hopeless":
            raise Fail(f"https://user:{{given.password}}@shop/ refused")
        if given.fate == "modelled":
            raise BpmnError("REFUSED", given.plain, {{"secret": given.password}})
    return {{"secret": given.password, "echo": given.plain}}
"""


def string(text: str) -> dict[str, object]:
    return {"type": "String", "value": text}


async def test_a_planted_secret_is_nowhere(lab: Lab, jaeger_env: Mapping[str, str]) -> None:
    canary, setting = f"canary{uuid4().hex}", f"birdie{uuid4().hex}"
    topic = lab.topic("leak")
    lab.write_topic("leak", TOPIC.format(topic=topic))
    key = await lab.deploy("leak", topic)
    gateway = await lab.gateway(
        OTEL_EXPORTER_OTLP_ENDPOINT=jaeger_env["OTEL_EXPORTER_OTLP_ENDPOINT"],
        OTEL_SERVICE_NAME=lab.name,
        OTEL_BSP_SCHEDULE_DELAY="100",
        # The engine asks for no password here, and takes any.
        CAMUNDA_USERNAME="gateway",
        CAMUNDA_PASSWORD=setting,
    )
    order = {"type": "Json", "value": json.dumps({"api_key": canary, "lines": [{"note": canary}]})}
    fates = ("well", "wild", "quoted", "hopeless", "modelled")
    tasks = {}
    for fate in fates:
        given = {"fate": string(fate), "password": string(canary), "plain": string(canary), "order": order}
        instance = await lab.start(key, given, f"token={canary}")
        tasks[fate] = instance
    await lab.until_finished(key, 2)
    for fate in ("wild", "quoted", "hopeless"):
        await lab.until_incident(tasks[fate])
        task = (await lab.task_of(tasks[fate]))["id"]
        await gateway.until("outcome_settled", task_id=task, how="delivered_incident")
    async with aiohttp.ClientSession() as session:
        jaeger = Jaeger(jaeger_env["JAEGER_QUERY_URL"], lab.name, session)
        metrics = []
        for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
            async with session.get(f"{gateway.url}/metrics", headers={"Accept": accept}) as answer:
                metrics.append(await answer.text())
        assert await gateway.stop() == 0  # all spans are sent by then
        traces = await jaeger.traces()
    names = [name for trace in traces for name in trace.names]
    assert names.count(f"task {topic}") == len(fates)
    assert names.count(f"process {topic}") == 7  # two of them were tried twice
    assert names.count("own") == 7
    log = json.dumps(gateway.lines)
    assert "working" in log
    assert "handler_failed" in log
    assert f'gateway_tasks_total{{result="failed",topic="{topic}"}} 3.0' in metrics[0]
    assert "# {trace_id=" in metrics[1]
    for secret in (canary, setting):
        assert not [trace.id for trace in traces if secret in trace.text]
        assert secret not in log, [line for line in gateway.lines if secret in json.dumps(line)]
        assert not [text for text in metrics if secret in text]
