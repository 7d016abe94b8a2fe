"""Measures the dashboard: `python -m bench.dashboard`. Each page 30 times over 20,000 tasks, and twenty that are idle.

Engine, broker and a gateway with the role `web` are real; the store is the sandbox's in memory, which looks at every
document where MongoDB would use an index, so that lists and counts cost more here. That each has an index is held by
`tests/contract/test_dashboard_indexes.py`.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import aiohttp
import uvloop

from bench import usage
from bench.errors import BenchError
from bench.gateway import ROOT, Gateways, Shape
from bench.servers import Servers, servers
from bench.week import TASKS, TOPICS, seed
from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.adapters.mongo.store import MongoStore
from sandbox.errors import SandboxError

BASE: Final = 27_280
RUNS: Final = 30
LIMIT_MS: Final = 200
"""What a page may take at the 95th percentile."""
OPEN: Final = 20
IDLE_SECONDS: Final = 20.0
IDLE_LIMIT: Final = 5.0
"""How much of a core, in percent, open dashboards may take while nothing happens."""

_DATABASE: Final = "bench_dashboard"
PASSWORD: Final = "for this run only"
PEOPLE: Final = ("first", "second")
"""Two of them: how many streams one person may have open is bounded."""

_PAGES: Final = {
    "overview 1h": "?range=1h",
    "overview 24h": "?range=24h",
    "overview 7d": "?range=7d",
    "tasks": "/tasks",
    "tasks, a state": "/tasks?q=state:failed",
    "tasks, a topic": "/tasks?q=topic:send_mail",
    "tasks, a word": "/tasks?q=ORD-000123",
    "tasks, a variable": "/tasks?q=var.order:123",
    "tasks, by attempts": "/tasks?q=state:failed&sort=-attempts",
    "task": "/tasks/task-000123",
    "failures 7d": "/failures?range=7d",
    "topics": "/topics",
    "workers": "/workers",
    "operations": "/operations",
    "preview of 2,000": "/operations/preview?action=retry&q=state:failed",
    "audit": "/audit",
    "settings": "/settings",
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one page takes, in milliseconds."""

    page: str
    p50: float
    p95: float


async def measure(session: aiohttp.ClientSession, page: str, url: str) -> Figures:
    """Ask twice to warm up, and then one after the other."""
    taken: list[float] = []
    for turn in range(RUNS + 2):
        began = time.perf_counter()
        async with session.get(url, allow_redirects=False) as answer:
            text = await answer.text()
        if answer.status != 200:
            raise BenchError(f"{url}: {answer.status}: {text[:500]}")
        if turn >= 2:
            taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    return Figures(page, taken[len(taken) // 2], taken[math.ceil(0.95 * len(taken)) - 1])


async def idle(gateways: Gateways, sessions: list[aiohttp.ClientSession], pages: int) -> float:
    """Return how much of a core the gateway takes, in percent, with so many dashboards open and nothing going on."""
    async with AsyncExitStack() as streams:
        for number in range(pages):
            url = f"{gateways.urls[0]}/dashboard/events"
            answer = await streams.enter_async_context(sessions[number % len(sessions)].get(url))
            if answer.status != 200:
                raise BenchError(f"{url}: {answer.status}")
        parts = {"gateway": gateways.pids}
        before = usage.cpu(parts)["gateway"]
        await asyncio.sleep(IDLE_SECONDS)
        return 100 * (usage.cpu(parts)["gateway"] - before) / IDLE_SECONDS


async def run(there: Servers) -> tuple[list[Figures], float, float]:
    """Seed a database, open a gateway on it, and measure pages, and then what idle ones cost: none, and `OPEN`."""
    async with (
        MongoStore(there.env["MONGODB_URI"], _DATABASE) as store,
        MongoDashboardStore(there.env["MONGODB_URI"], _DATABASE) as dashboard_store,
    ):
        began = time.perf_counter()
        await seed(store, dashboard_store, datetime.now(UTC).replace(microsecond=0), random.Random(7))
        print(f"{TASKS} tasks and a week of statistics seeded in {time.perf_counter() - began:.0f} s", flush=True)
    env = {
        "MONGODB_DATABASE": _DATABASE,
        "AUTH": "required",
        "INSECURE_COOKIES": "true",
        "GATEWAY_ADMIN_USER": PEOPLE[0],
        "GATEWAY_ADMIN_PASSWORD": PASSWORD,
    }
    gateways = Gateways(there.env, there.folder, TOPICS, Shape(roles="web", env=env))
    async with gateways.running():
        await add_viewer(there, _DATABASE, PEOPLE[1])
        async with AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(logged_in(gateways.urls[0], name)) for name in PEOPLE]
            found = [
                await measure(sessions[0], page, f"{gateways.urls[0]}/dashboard{path}") for page, path in _PAGES.items()
            ]
            alone = await idle(gateways, sessions, 0)
            return found, alone, await idle(gateways, sessions, OPEN)


async def add_viewer(there: Servers, database: str, name: str) -> None:
    """Have the gateway's own command add somebody who may look."""
    command = (sys.executable, "-m", "gateway", "users", "add", name, "--role", "viewer", "--stdin")
    env = {**os.environ, **there.env, "MONGODB_DATABASE": database, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    await process.communicate(f"{PASSWORD}\n".encode())
    if process.returncode:
        raise BenchError(f"{name} could not be added: exit code {process.returncode}")


@asynccontextmanager
async def logged_in(url: str, name: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a browser's session of somebody."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        form = {"name": name, "password": PASSWORD}
        async with session.post(
            f"{url}/dashboard/login", data=form, headers={"Origin": url}, allow_redirects=False
        ) as answer:
            if answer.status != 303:
                raise BenchError(f"{name} can't log in: {answer.status}")
        yield session


def main() -> int:
    """Start the servers, measure, and tell what is above its limit."""
    try:
        with servers(BASE, "full") as there:
            found, alone, opened = uvloop.run(run(there))
    except (BenchError, SandboxError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print("store in memory, which scans: MongoDB uses the indexes\n")
    print(f"{'page':<22}{'p50 ms':>9}{'p95 ms':>9}")
    for each in found:
        print(f"{each.page:<22}{each.p50:>9.1f}{each.p95:>9.1f}{'  above' if each.p95 > LIMIT_MS else ''}")
    print(f"\nidle: {alone:.1f} % of a core with no dashboard open, {opened:.1f} % with {OPEN}", end="")
    print("  above" if opened - alone > IDLE_LIMIT else "")
    return 1 if opened - alone > IDLE_LIMIT or any(each.p95 > LIMIT_MS for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
