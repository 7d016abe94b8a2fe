"""What traces and metrics cost: the CPU time of the hooks of one task, with the exporter's thread, in microseconds.

Run it as `python -m bench.telemetry`; with OTEL_EXPORTER_OTLP_ENDPOINT set the spans are really sent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from bridge.adapters.telemetry.metered import MeteredTracer
from bridge.adapters.telemetry.metrics import Metrics
from bridge.adapters.telemetry.start import start_traces
from bridge.adapters.telemetry.telemetry import Identity, Telemetry
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Completion, State, Task, TypedValue
from bridge.ports.engine import EngineTask
from bridge.ports.tracer import NoTracer, Tracer

TASKS = 20_000
BATCH = 50


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def _task(number: int, tracer: Tracer, now: datetime) -> Task:
    name = f"7d1f0f2a-{number:012d}"
    variables = {"name": TypedValue("String", "somebody"), "amount": TypedValue("Integer", 12)}
    return Task(
        id=name, topic="bench", worker_id=f"bridge-host-{number // BATCH}", lease_until=now + timedelta(seconds=60),
        created_at=now, updated_at=now, retries=3, variables=variables, business_key=f"order {number}",
        process_instance_id=name, process_definition_key="bench", trace=tracer.begin(name, variables),
    )  # fmt: skip


def _batch(tracer: Tracer, start: int) -> None:
    now = datetime.now(UTC)
    with tracer.fetch(f"bridge-host-{start // BATCH}", ["bench"]) as fetching:
        fetching.fetched([EngineTask(str(number), "bench", "w", now, None) for number in range(BATCH)])
    tasks = [_task(number, tracer, now) for number in range(start, start + BATCH)]
    with tracer.publish("bench", tasks) as publishing:
        publishing.confirmed([None] * len(tasks))
    for task in tasks:
        running = task.changed(state=State.RUNNING, attempts=1, claim_id=task.id, claimed_at=now)
        attempt = tracer.attempt(running, task.id)
        outcome = Completion({})
        attempt.ended(outcome)
        done = running.changed(state=State.REPORTING, outcome=outcome)
        with tracer.delivery(done):
            pass
        tracer.settled(done, Move(task.id, Event.DELIVERED_COMPLETION, 1))


def _measure(tracer: Tracer, pace: Callable[[], None]) -> float:
    began = time.process_time()
    for start in range(0, TASKS, BATCH):
        _batch(tracer, start)
        pace()
    return (time.process_time() - began) / TASKS * 1e6


async def _cost(name: str, environment: Mapping[str, str] | None, sampling: float) -> None:
    """Measure with traces as the environment says; with metrics alone where there is none."""
    dropped: list[int] = []
    who = Identity("1", "bench", "http://localhost:8080/engine-rest", "bench", {})
    telemetry = Telemetry()
    tracer: Tracer = MeteredTracer(NoTracer(), Metrics(), _Clock())
    if environment is not None:
        telemetry = start_traces(environment, sampling, who, _Clock(), lambda _why, spans: dropped.append(spans))
        tracer = telemetry.tracer
    # At the pace of a busy gateway, so that the exporter keeps up as it does there.
    cost = _measure(tracer, lambda: time.sleep(0.02 if telemetry.on and sampling == 1 else 0))
    began = time.process_time()
    await telemetry.end()
    cost += (time.process_time() - began) / TASKS * 1e6
    print(f"{name:34} {cost:7.1f} µs a task, {sum(dropped)} spans dropped")


async def _main() -> None:
    base = _measure(NoTracer(), lambda: None)
    print(f"{'the benchmark itself, tracing off':34} {base:7.1f} µs a task")
    await _cost("metrics only", None, 1)
    environment = {"OTEL_TRACES_EXPORTER": "otlp", **os.environ}
    for sampling in (1.0, 0.01):
        await _cost(f"traces at {sampling:.0%}", environment, sampling)


if __name__ == "__main__":
    asyncio.run(_main())
