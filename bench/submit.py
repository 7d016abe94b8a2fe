"""How many submissions a second a gateway accepts, and how long each waits for its answer."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from bench import usage
from bench.engine import Engine
from bench.errors import BenchError
from bench.gateway import Gateways, Shape
from bench.latency import quantile
from bench.servers import Servers


@dataclass(frozen=True, slots=True)
class Accepted:
    """One run; times in milliseconds. `cpu` is milliseconds a submission by process."""

    roles: str
    tasks: int
    connections: int
    rate: float
    p50: float
    p95: float
    p99: float
    statuses: dict[str, int]
    cpu: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return what is worth keeping."""
        return asdict(self)


async def submissions(engine: Engine, servers: Servers, shape: Shape, tasks: int, connections: int = 50) -> Accepted:
    """Lock tasks in the engine as their submitter, then hand them all in.

    As many go before and are not measured: an engine that was never asked for tasks by their ids is slow at first.
    """
    topic, worker_id = f"submit-{uuid4().hex[:6]}", f"submitter-{uuid4().hex[:6]}"
    deployment = await engine.deploy(topic)
    warm = max(connections, tasks)
    await engine.start_many(topic, tasks + warm)
    ids = await engine.lock_all(topic, worker_id, tasks + warm)
    gateways = Gateways(servers.env, servers.folder, [topic], shape)
    try:
        gateways.start()
        await gateways.until_ready()
        order = {"url": gateways.urls[0], "topic": topic, "worker_id": worker_id, "connections": connections}
        await _load({**order, "ids": ids[:warm]})
        parts = {**servers.pids, "gateway": gateways.pids}
        before = usage.cpu(parts)
        result = await _load({**order, "ids": ids[warm:]})
        after = usage.cpu(parts)
    finally:
        await gateways.stop()
        await engine.delete(deployment)
    times = [1000 * seconds for seconds in result["times"]]
    accepted = int(result["statuses"].get("202", 0))
    if accepted < tasks:
        raise BenchError(f"of {tasks} submissions not all were accepted: {result['statuses']}")
    return Accepted(
        roles=shape.roles,
        tasks=accepted,
        connections=connections,
        rate=accepted / result["seconds"],
        p50=statistics.median(times),
        p95=quantile(times, 0.95),
        p99=quantile(times, 0.99),
        statuses=result["statuses"],
        cpu={name: 1000 * (after[name] - before[name]) / accepted for name in parts},
    )


async def _load(order: dict[str, Any]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate(json.dumps(order).encode())
    if process.returncode:
        raise BenchError(f"the load generator ended with {process.returncode}")
    return dict(json.loads(answer))
