"""A load generator of its own process: hands tasks to a gateway over many kept connections, and times each answer.

Reads one JSON object from stdin ({"url", "topic", "worker_id", "connections", "ids"}) and writes one to stdout.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
import uvloop


async def _hand_in(
    session: aiohttp.ClientSession, order: Mapping[str, Any], ids: Iterator[str], times: list[float], seen: Counter[str]
) -> None:
    for task_id in ids:
        body = {
            "task_id": task_id,
            "topic": order["topic"],
            "worker_id": order["worker_id"],
            "variables": {"number": 1},
        }
        began = time.perf_counter()
        async with session.post(order["url"] + "/tasks/submit", json=body) as answer:
            await answer.read()
            seen[str(answer.status)] += 1
        times.append(time.perf_counter() - began)


async def run(order: Mapping[str, Any]) -> dict[str, Any]:
    """Hand in all tasks, each connection the next one as soon as its last was answered."""
    times: list[float] = []
    seen: Counter[str] = Counter()
    ids = iter(order["ids"])
    connector = aiohttp.TCPConnector(limit=order["connections"])
    async with aiohttp.ClientSession(connector=connector) as session:
        began = time.perf_counter()
        connections = (_hand_in(session, order, ids, times, seen) for _ in range(order["connections"]))
        await asyncio.gather(*connections)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "times": times, "statuses": seen}


if __name__ == "__main__":
    json.dump(uvloop.run(run(json.load(sys.stdin))), sys.stdout)
