"""Others on the same engine: the Python client's own worker, a process split into roles, retries when they are due."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from tests.e2e.gateways import ROOT, Lab
from tests.e2e.test_main_job import COUNT, FATES, text

STOCK = """
import sys
from camunda.external_task.external_task_worker import ExternalTaskWorker

config = {"maxTasks": 1, "lockDuration": 10000, "asyncResponseTimeout": 1000, "sleepSeconds": 0}
worker = ExternalTaskWorker("stock", base_url=sys.argv[1], config=config)
worker.subscribe([sys.argv[2]], lambda task: task.complete({"by": "stock"}))
"""


async def test_the_clients_own_worker_works_beside_us(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = lab.topic("count"), lab.topic("stock")
    lab.write_topic("count", COUNT.format(topic=ours))
    our_key, their_key = await lab.deploy("ours", ours), await lab.deploy("theirs", theirs)
    await lab.gateway()
    script = tmp_path / "stock.py"
    script.write_text(STOCK)
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        lab.engine_url,
        theirs,
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.gather(lab.start_many(our_key, 100), lab.start_many(their_key, 20))
        await asyncio.gather(lab.until_finished(our_key, 100), lab.until_finished(their_key, 20))
    finally:
        worker.kill()
        await worker.wait()
    path = "/history/external-task-log?processDefinitionKey={}&successLog=true"
    workers = {row["workerId"].split("-")[0] for row in await lab.ask("GET", path.format(our_key))}
    assert workers == {"bridge"}
    assert {row["workerId"] for row in await lab.ask("GET", path.format(their_key))} == {"stock"}
    assert len(set(await lab.successes(our_key))) == 100


async def test_roles_in_processes_of_their_own(lab: Lab) -> None:
    topic = lab.topic("count")
    lab.write_topic("count", COUNT.format(topic=topic))
    key = await lab.deploy("count", topic)
    intake = await lab.gateway("serve", "--roles", "web,intake")
    await lab.start_many(key, 20)
    # Nobody consumes yet, so nothing is locked: it stays with the engine.
    locked = await lab.ask("GET", f"/external-task/count?topicName={topic}&locked=true")
    assert locked["count"] == 0
    workers = [await lab.gateway("worker") for _ in range(2)]
    await lab.until_finished(key, 20)
    assert [await process.stop() for process in (*workers, intake)] == [0, 0, 0]


async def test_a_process_with_another_exchange_is_named_where_it_starts(lab: Lab) -> None:
    topic = lab.topic("count")
    lab.write_topic("count", COUNT.format(topic=topic))
    await lab.gateway("serve", "--roles", "web,intake")
    second = await lab.gateway("worker", RABBITMQ_EXCHANGE=lab.topic("other"))
    line = await second.until("misconfigured", code="rabbitmq.other_exchange")
    assert lab.topic("other") in line["error"]
    assert "RABBITMQ_EXCHANGE" in line["hint"]


async def test_a_retry_is_taken_up_when_it_is_due(lab: Lab) -> None:
    topic = lab.topic("fates")
    lab.write_topic("fates", FATES.format(topic=topic))
    key = await lab.deploy("fates", topic)
    await lab.gateway(POLL_WAIT="10", RETRY_DELAY="2", RETRY_DELAY_MAX="2")
    began = time.monotonic()
    await lab.start(key, {"fate": text("at second")})
    await lab.until_finished(key, 1)
    # Far below the 30 s after which the engine itself would tell a waiting poll of it.
    assert time.monotonic() - began < 15


async def test_the_end_releases_what_never_started(lab: Lab) -> None:
    topic = lab.topic("fates")
    lab.write_topic("fates", FATES.format(topic=topic).replace("timeout=0.5", "timeout=60, concurrency=1"))
    key = await lab.deploy("fates", topic)
    gateway = await lab.gateway(SHUTDOWN_GRACE="0.5")
    stuck = await lab.start(key, {"fate": text("late")})
    task = (await lab.task_of(stuck))["id"]
    await gateway.until("handler_started", task_id=task)
    await lab.start(key, {"fate": text("well")})
    assert await gateway.stop() == 0
    left = await lab.ask("GET", f"/external-task?topicName={topic}")
    assert [(row["workerId"], row["retries"]) for row in left] == [(None, None), (None, None)]
    assert await gateway.until("task_released", task_id=task)
