"""A store as a week leaves it: 20,000 tasks, and the statistics, failures and audit of seven days."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final

from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.records import AuditEntry
from bridge.domain.statistics import Count, Failures, Range, Rollup, beginning
from bridge.domain.task import State, Task, TypedValue

TASKS: Final = 20_000
TOPICS: Final = ("charge_card", "send_mail", "nova_publicacao", "say_hello")

_STATES: Final = {
    State.COMPLETED: 70,
    State.FAILED: 10,
    State.QUEUED: 8,
    State.RETRYING: 5,
    State.RUNNING: 4,
    State.CANCELLED: 3,
}


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


async def seed(store: MongoStore, dashboard_store: MongoDashboardStore, now: datetime, chance: random.Random) -> None:
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
            await dashboard_store.add({wanted.step: rows[first : first + 100]}, [])
    failures = [
        Failures(f"{group:016x}", TOPICS[group % 4], "ValueError", "no", at, at, 1)
        for group in range(30)
        for at in (now - timedelta(hours=hour) for hour in range(168))
    ]
    for first in range(0, len(failures), 500):
        await dashboard_store.add({}, failures[first : first + 500])
    for number in range(500):
        at = now - timedelta(minutes=number)
        await dashboard_store.write(
            AuditEntry(f"{number:04}", at, "ana", "operator", "here", "retry", f"task:{number}")
        )
