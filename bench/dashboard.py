"""Measures what the dashboard's pages ask of the store: `python -m bench.dashboard`, 20,000 tasks, 20 times each.

The store is the sandbox's in memory, which looks at every document where MongoDB would use an index: the figures are
an upper bound for lists and counts. That each has an index is held by `tests/contract/test_dashboard_indexes.py`.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bridge.adapters.desk_store import MongoDesk
from bridge.adapters.store import MongoStore
from bridge.desk.ports import Found
from bridge.desk.records import AuditEntry, AuditFilter
from bridge.desk.statistics import Count, Failures, Range, Rollup, beginning, overview
from bridge.search.grammar import parse
from bridge.search.page import Sort
from bridge.search.query import EVERYTHING
from bridge.task import State, Task, TypedValue
from sandbox import Part, Sandbox

TASKS: Final = 20_000
RUNS: Final = 20
TOPICS: Final = ("charge_card", "send_mail", "nova_publicacao", "say_hello")
LIMIT_MS: Final = 200
"""What a page's calls may take together at the 95th percentile, for the page to be drawn in 300 ms."""

_STATES: Final = {
    State.COMPLETED: 70,
    State.FAILED: 10,
    State.QUEUED: 8,
    State.RETRYING: 5,
    State.RUNNING: 4,
    State.CANCELLED: 3,
}

Page = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one page's calls take, in milliseconds."""

    page: str
    p50: float
    p95: float


def some_tasks(now: datetime, chance: random.Random) -> list[Task]:
    """Return tasks as a week leaves them."""
    states = chance.choices(list(_STATES), list(_STATES.values()), k=TASKS)
    return [_task(number, state, now, chance) for number, state in enumerate(states)]


def _task(number: int, state: State, now: datetime, chance: random.Random) -> Task:
    created = now - timedelta(seconds=chance.randrange(7 * 86_400))
    updated = min(now, created + timedelta(seconds=chance.randrange(600)))
    failed = state in {State.FAILED, State.RETRYING}
    ended = state in {State.COMPLETED, State.FAILED, State.CANCELLED}
    return Task(
        id=f"task-{number:06}",
        topic=chance.choice(TOPICS),
        worker_id="bridge-1",
        lease_until=updated,
        created_at=created,
        updated_at=updated,
        retries=3,
        variables={"order": TypedValue("Integer", number), "text": TypedValue("String", "x" * 200)},
        state=state,
        business_key=f"ORD-{number // 3:06}",
        process_instance_id=f"instance-{number // 2:06}",
        attempts=1 + failed * chance.randrange(3),
        error="ValueError: no" if failed else None,
        error_type="ValueError" if failed else None,
        error_fp=f"{chance.randrange(30):016x}" if failed else None,
        finished_at=updated if ended else None,
    )


async def seed(store: MongoStore, desk: MongoDesk, now: datetime, chance: random.Random) -> None:
    """Keep the tasks, and a week of statistics and of the audit."""
    tasks = some_tasks(now, chance)
    for first in range(0, TASKS, 1000):
        await store.accept(tasks[first : first + 1000])
    counts = {Count.RECEIVED: 20, Count.STARTED: 20, Count.COMPLETED: 17, Count.FAILED: 3}
    buckets = {bucket: chance.randrange(1, 9) for bucket in range(20, 60)}
    for wanted in Range:
        steps = wanted.span // wanted.step.value
        first_at = beginning(wanted, now)
        rows = [
            Rollup(first_at + place * wanted.step.value, topic, counts, buckets, buckets)
            for place in range(steps)
            for topic in TOPICS
        ]
        for first in range(0, len(rows), 100):
            await desk.add({wanted.step: rows[first : first + 100]}, [])
    failures = [
        Failures(f"{group:016x}", TOPICS[group % 4], "ValueError", "no", at, at, 1)
        for group in range(30)
        for at in (now - timedelta(hours=hour) for hour in range(168))
    ]
    for first in range(0, len(failures), 500):
        await desk.add({}, failures[first : first + 500])
    for number in range(500):
        at = now - timedelta(minutes=number)
        await desk.write(AuditEntry(f"{number:04}", at, "ana", "operator", "here", "retry", f"task:{number}"))


def pages(store: MongoStore, desk: MongoDesk, now: datetime) -> Mapping[str, Page]:
    """Return for each page what it asks of the store."""

    async def tasks(text: str, sort: str = "-updated") -> None:
        query = parse(text)
        page, _ = await asyncio.gather(desk.search(query, Sort.read(sort), 50, now=now), desk.counts(query, now=now))
        assert isinstance(page, Found)

    async def second(text: str) -> None:
        page = await desk.search(parse(text), Sort(), 50, now=now)
        assert isinstance(page, Found)
        await desk.search(parse(text), Sort(), 50, page.next, now=now)

    async def figures(wanted: Range) -> None:
        since = beginning(wanted, now)
        rows, _, _ = await asyncio.gather(
            desk.rollups(wanted.step, since),
            desk.counts(EVERYTHING, now=now),
            desk.failure_groups(since, now, limit=10),
        )
        overview(rows, wanted, None, now)

    return {
        "overview 1h": lambda: figures(Range.HOUR),
        "overview 24h": lambda: figures(Range.DAY),
        "overview 7d": lambda: figures(Range.WEEK),
        "tasks": lambda: tasks(""),
        "tasks, a state": lambda: tasks("state:failed"),
        "tasks, a topic": lambda: tasks("topic:send_mail"),
        "tasks, a word": lambda: tasks("ORD-000123"),
        "tasks, a variable": lambda: tasks("var.order:123"),
        "tasks, by attempts": lambda: tasks("state:failed", "-attempts"),
        "tasks, second page": lambda: second("state:completed"),
        "task": lambda: store.get("task-000123"),
        "failures 7d": lambda: desk.failure_groups(now - timedelta(days=7), now),
        "failure": lambda: desk.failure_group(f"{1:016x}", now),
        "preview of 2,000": lambda: desk.select(parse("state:failed"), 100_000, now=now),
        "audit": lambda: desk.entries(AuditFilter(), 50),
    }


async def measure(page: str, ask: Page) -> Figures:
    """Ask once to warm up, and then a few times."""
    await ask()
    taken: list[float] = []
    for _ in range(RUNS):
        began = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    return Figures(page, taken[len(taken) // 2], taken[math.ceil(0.95 * len(taken)) - 1])


async def run(uri: str) -> list[Figures]:
    """Seed a database of its own and measure every page."""
    now, chance = datetime.now(UTC).replace(microsecond=0), random.Random(7)
    async with MongoStore(uri, "bench_dashboard") as store, MongoDesk(uri, "bench_dashboard") as desk:
        began = time.perf_counter()
        await seed(store, desk, now, chance)
        print(f"{TASKS} tasks and a week of statistics seeded in {time.perf_counter() - began:.0f} s", flush=True)
        return [await measure(page, ask) for page, ask in pages(store, desk, now).items()]


def main() -> int:
    """Start the store in memory, measure, and tell which pages are above the limit."""
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(Path(folder), base_port=27_280, memory=True)
        try:
            sandbox.up((Part.STORE,))
            figures = asyncio.run(run(sandbox.env()["MONGODB_URI"]))
        finally:
            sandbox.down()
    print("store in memory, which scans: MongoDB uses the indexes\n")
    print(f"{'what a page asks':<22}{'p50 ms':>9}{'p95 ms':>9}")
    for found in figures:
        print(f"{found.page:<22}{found.p50:>9.1f}{found.p95:>9.1f}{'  above' if found.p95 > LIMIT_MS else ''}")
    return 1 if any(found.p95 > LIMIT_MS for found in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
