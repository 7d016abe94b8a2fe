"""One trace a task, from the fetch to the engine's answer, read back from a real Jaeger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from bridge.domain.trace_context import place_of, trace_id
from tests.e2e.gateways import Lab
from tests.e2e.jaeger import Jaeger
from tests.ports import free_port

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

WORK = """
import asyncio
from opentelemetry import trace
from pydantic import BaseModel
from bridge.topic import topic, Context

TRACER = trace.get_tracer("shop")

class Input(BaseModel):
    fate: str = "well"

@topic("{topic}", retries=2)
async def work(given: Input, context: Context) -> dict[str, int]:
    trace.get_current_span().set_attribute("order.lines", 3)
    with TRACER.start_as_current_span("charge"):
        if given.fate == "second" and context.attempt == 1:
            raise ValueError("the till is closed, password=hunter2hunter2")
        if given.fate == "never":
            raise LookupError("nobody is there")
        if given.fate == "killed" and context.attempt == 1:
            context.log.info("halfway")
            await asyncio.Event().wait()
    return {{"attempt": context.attempt}}
"""

THREAD = """
from opentelemetry import trace
from pydantic import BaseModel
from bridge.topic import topic

class Input(BaseModel):
    pass

@topic("{topic}")
def work(given: Input) -> None:
    with trace.get_tracer("shop").start_as_current_span("in a thread"):
        pass
"""


@pytest.fixture
async def jaeger(lab: Lab, jaeger_env: Mapping[str, str]) -> AsyncIterator[Jaeger]:
    """Have the lab's gateways write traces, under a name of their own."""
    lab.env |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger_env["OTEL_EXPORTER_OTLP_ENDPOINT"],
        "OTEL_SERVICE_NAME": lab.name,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    async with aiohttp.ClientSession() as session:
        yield Jaeger(jaeger_env["JAEGER_QUERY_URL"], lab.name, session)


async def deployed(lab: Lab, code: str = WORK) -> tuple[str, str]:
    """Deploy a process with a topic of its own; return both names."""
    topic = lab.topic("work")
    lab.write_topic("work", code.format(topic=topic))
    return await lab.deploy("work", topic), topic


def string(text: str) -> dict[str, object]:
    return {"type": "String", "value": text}


async def test_from_the_fetch_to_the_engines_answer(lab: Lab, jaeger: Jaeger) -> None:
    key, topic = await deployed(lab)
    instance = await lab.start(key, business_key="order 17")
    task = (await lab.task_of(instance))["id"]
    await lab.gateway()
    trace = await jaeger.until(task, f"task {topic}", f"process {topic}", "complete", "charge")
    root, process = trace.one(f"task {topic}"), trace.one(f"process {topic}")
    complete, charge = trace.one("complete"), trace.one("charge")
    assert {span.name for span in trace.spans} - {f"send {topic}"} == {root.name, process.name, "complete", "charge"}
    assert [span.parent for span in (root, process, charge, complete)] == [None, root.id, process.id, root.id]
    assert [span.tags["span.kind"] for span in (process, complete)] == ["consumer", "client"]
    assert root.start <= process.start <= complete.start <= complete.end <= root.end + 1000
    for name, value in {
        "task.id": task,
        "task.topic": topic,
        "task.business_key": "order 17",
        "process.instance.id": instance,
        "process.definition.key": key,
        "task.result": "completed",
        "task.attempts": 1,
    }.items():
        assert root.tags[name] == value, name
    assert process.tags["messaging.system"] == "rabbitmq"
    assert process.tags["messaging.operation.type"] == "process"
    assert (process.tags["task.attempt"], process.tags["order.lines"]) == (1, 3)
    assert complete.tags["http.response.status_code"] == 204
    assert complete.tags["server.port"] == urlsplit(lab.engine_url).port
    assert root.resource["service.instance.id"]
    # The fetch brought others, too, maybe: it is a trace of its own, to which the task's is linked.
    (link,) = root.links
    assert link[0] != trace.id
    fetch = await jaeger.trace(link[0], "fetch")
    assert (fetch.one("fetch").id, fetch.one("fetch").tags["worker.id"]) == (link[1], process.tags["worker.id"])
    assert fetch.one("fetch").tags["messaging.batch.message_count"] == 1


async def test_a_plain_handlers_spans_nest_though_it_runs_in_a_thread(lab: Lab, jaeger: Jaeger) -> None:
    key, topic = await deployed(lab, THREAD)
    task = (await lab.task_of(await lab.start(key)))["id"]
    await lab.gateway()
    trace = await jaeger.until(task, f"task {topic}", f"process {topic}", "in a thread")
    assert trace.one("in a thread").parent == trace.one(f"process {topic}").id


async def test_each_attempt_is_a_span_with_what_it_failed_by(lab: Lab, jaeger: Jaeger) -> None:
    key, topic = await deployed(lab)
    task = (await lab.task_of(await lab.start(key, {"fate": string("second")})))["id"]
    await lab.gateway()
    twice = [f"process {topic}", "charge"] * 2
    trace = await jaeger.until(task, f"task {topic}", "complete", "fail", "wait for the next attempt", *twice)
    first, second = trace.all(f"process {topic}")
    assert (first.tags["task.result"], second.tags["task.result"]) == ("failed", "completed")
    assert first.tags["error"] is True
    assert first.tags["error.type"] == "ValueError"
    (event,) = first.events
    assert (event["event"], event["exception.type"]) == ("exception", "ValueError")
    assert event["exception.message"] == "ValueError: the till is closed, password=***"
    assert "raise ValueError" in event["exception.stacktrace"]
    assert (trace.id, first.id) in second.links
    wait = trace.one("wait for the next attempt")
    assert first.end <= wait.start + 1000
    assert wait.end <= second.start + 1000
    root = trace.one(f"task {topic}")
    assert [span.parent for span in (wait, trace.one("fail"), trace.one("complete"))] == [root.id] * 3
    assert [event["ended"] for event in root.events if event["event"] == "attempt"] == ["failed"]
    assert "hunter2" not in trace.text


async def test_a_processs_trace_is_continued(lab: Lab, jaeger: Jaeger) -> None:
    key, topic = await deployed(lab)
    instances = [await lab.start(key, {"traceparent": string(PARENT)}) for _ in range(2)]
    tasks = [(await lab.task_of(instance))["id"] for instance in instances]
    await lab.gateway()
    for task in tasks:
        await jaeger.until(task, f"task {topic}", "complete")
    trace = await jaeger.trace(trace_id(PARENT) or "", *[f"task {topic}"] * 2)
    ours = [span for span in trace.all(f"task {topic}") if span.tags["task.id"] in tasks]
    # Two tasks of one trace have spans of their own, under the one that the process told of.
    assert [span.parent for span in ours] == ["b7ad6b7169203331"] * 2
    assert len({span.id for span in ours}) == 2


async def test_a_submission_continues_its_callers_trace(lab: Lab, jaeger: Jaeger) -> None:
    key, topic = await deployed(lab)
    gateway = await lab.gateway("serve", "--roles", "web,work")
    task = await lab.task_of(await lab.start(key))
    body = {"task_id": task["id"], "worker_id": "courier", "topic": topic, "variables": {}}
    parent = f"00-{lab.name:0>32}-00f067aa0ba902b7-01"
    headers = {"traceparent": parent}
    async with aiohttp.ClientSession() as session:
        for _ in range(2):  # the same again is another call, and the same task
            async with session.post(f"{gateway.url}/tasks/submit", json=body, headers=headers) as answer:
                assert answer.status == 202
    calls = ["POST /tasks/submit"] * 2
    trace = await jaeger.until(task["id"], *calls, f"task {topic}", f"process {topic}", "complete")
    assert trace.id.rjust(32, "0") == lab.name.rjust(32, "0")
    told = trace.all("POST /tasks/submit")
    assert [(call.parent, call.tags["span.kind"]) for call in told] == [("00f067aa0ba902b7", "server")] * 2
    assert trace.one(f"task {topic}").parent in {call.id for call in told}
    assert trace.one(f"process {topic}").tags["worker.id"] == "courier"


async def test_over_replicas_and_a_killed_process_it_is_one_trace(lab: Lab, jaeger: Jaeger) -> None:
    key, topic = await deployed(lab)
    quick = {"CLAIM_DURATION": "2", "LOCK_DURATION": "10"}
    await lab.gateway("serve", "--roles", "web,intake", **quick)
    worker = await lab.gateway("worker", **quick)
    task = (await lab.task_of(await lab.start(key, {"fate": string("killed")})))["id"]
    await worker.until("halfway", task_id=task)
    await worker.kill()
    await lab.gateway("worker", **quick)
    twice = [f"process {topic}"] * 2
    trace = await jaeger.until(task, f"task {topic}", "complete", *twice)
    lost, done = trace.all(f"process {topic}")
    assert (lost.tags["task.result"], lost.tags["error.type"]) == ("lost", "ClaimLost")
    assert done.tags["task.result"] == "completed"
    root = trace.one(f"task {topic}")
    assert [lost.parent, done.parent] == [root.id] * 2
    assert len({span.resource["service.instance.id"] for span in trace.spans}) == 2


async def test_a_task_that_comes_back_after_its_incident_stands_under_its_first_life(lab: Lab, jaeger: Jaeger) -> None:
    key, topic = await deployed(lab)
    instance = await lab.start(key, {"fate": string("never")})
    task = (await lab.task_of(instance))["id"]
    gateway = await lab.gateway()
    await gateway.until("outcome_settled", task_id=task, how="delivered_incident")
    failed = (await jaeger.until(task, f"task {topic}")).one(f"task {topic}")
    assert (failed.tags["task.result"], failed.tags["error.type"]) == ("failed", "LookupError")
    await lab.ask("PUT", f"/process-instance/{instance}/variables/fate", string("well"))
    assert (await gateway.ask("POST", f"/tasks/{task}/retry"))[0] == 202
    await lab.until_finished(key, 1)
    trace = await jaeger.until(task, "complete", *[f"task {topic}"] * 2)
    (again,) = [span for span in trace.all(f"task {topic}") if span.id != failed.id]
    assert (again.parent, again.tags["task.result"]) == (failed.id, "completed")
    assert trace.one("complete").parent == again.id


async def test_a_task_that_is_not_sampled_is_kept_when_it_fails(lab: Lab, jaeger: Jaeger) -> None:
    key, topic = await deployed(lab)
    well = (await lab.task_of(await lab.start(key)))["id"]
    failing = (await lab.task_of(await lab.start(key, {"fate": string("second")})))["id"]
    gateway = await lab.gateway(TRACE_SAMPLING="0")
    await gateway.until("outcome_settled", task_id=well, how="delivered_completion")
    twice = [f"process {topic}", "charge"] * 2
    trace = await jaeger.until(failing, f"task {topic}", "fail", "complete", "wait for the next attempt", *twice)
    assert [span.tags["task.result"] for span in trace.all(f"process {topic}")] == ["failed", "completed"]
    assert len(trace.all("charge")) == 2
    root = trace.one(f"task {topic}")
    assert all(trace.parent_of(span) is not None for span in trace.spans if span.id != root.id)
    assert await gateway.stop() == 0  # all is sent by then
    assert await jaeger.traces(task_id=well) == []


async def test_over_http_too(lab: Lab, jaeger: Jaeger, jaeger_env: Mapping[str, str]) -> None:
    key, topic = await deployed(lab)
    task = (await lab.task_of(await lab.start(key)))["id"]
    grpc = urlsplit(jaeger_env["OTEL_EXPORTER_OTLP_ENDPOINT"])
    endpoint = f"http://{grpc.hostname}:{(grpc.port or 0) + 1}"
    await lab.gateway(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
    await jaeger.until(task, f"task {topic}", f"process {topic}", "complete")


async def test_a_collector_that_is_away_costs_spans_and_nothing_else(lab: Lab) -> None:
    key, _ = await deployed(lab)
    endpoint = f"http://127.0.0.1:{free_port()}"
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BSP_MAX_QUEUE_SIZE": "16"}
    gateway = await lab.gateway(**away, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="16", OTEL_EXPORTER_OTLP_TIMEOUT="1")
    await lab.start_many(key, 30)
    await lab.until_finished(key, 30)
    metrics = ""
    async with aiohttp.ClientSession() as session:
        while 'gateway_spans_dropped_total{why="queue"}' not in metrics:
            async with session.get(f"{gateway.url}/metrics") as answer:
                metrics = await answer.text()
    assert await gateway.stop() == 0
    assert not [line for line in gateway.lines if "opentelemetry" in str(line.get("logger"))]


def test_the_place_of_a_task_is_known_before_its_span_is_written(tmp_path: Path) -> None:
    place = place_of("task", PARENT)
    assert place is not None
    assert (place.trace_id, place.parent, place.sampled) == (trace_id(PARENT), "b7ad6b7169203331", True)
    other = place_of("other", PARENT)
    assert other is not None
    assert other.span_id != place.span_id
