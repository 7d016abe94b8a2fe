"""The leanest client in Python: pooled connections, fetching in batches beside completing, nothing kept."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aiohttp
import uvloop

WORKER = "bench-pooled"


async def _call(session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> Any:
    async with session.post(os.environ["BENCH_ENGINE"] + path, json=body) as answer:
        answer.raise_for_status()
        return await answer.json() if answer.status == 200 else None


async def _complete(session: aiohttp.ClientSession, tasks: asyncio.Queue[str]) -> None:
    while True:
        await _call(session, f"/external-task/{await tasks.get()}/complete", {"workerId": WORKER})


async def main() -> None:
    """Work the topic until the process is ended."""
    batch, connections = int(os.environ["BENCH_BATCH"]), int(os.environ["BENCH_CONNECTIONS"])
    topics = [{"topicName": os.environ["BENCH_TOPIC"], "lockDuration": 60_000}]
    body = {"workerId": WORKER, "maxTasks": batch, "asyncResponseTimeout": 10_000, "topics": topics}
    tasks: asyncio.Queue[str] = asyncio.Queue(2 * batch)
    connector = aiohttp.TCPConnector(limit=connections + 1)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_complete(session, tasks))
        while True:
            for task in await _call(session, "/external-task/fetchAndLock", body):
                await tasks.put(task["id"])


if __name__ == "__main__":
    uvloop.run(main())
