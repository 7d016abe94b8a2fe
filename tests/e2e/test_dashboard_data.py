"""What the dashboard reads and starts, on real servers: groups of failures, statistics, bulk work to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from bridge.adapters.mongo.dashboard import MongoDashboardStore
from bridge.domain.operation import Item, Operation, OperationKind, OperationState, Totals
from bridge.domain.statistics import Count, Range, beginning, overview
from bridge.ports.dashboard import Selection
from bridge.search.grammar import parse
from tests.e2e.gateways import TIME_LIMIT, Lab
from tests.pause import pause

FLAKY = """
from pathlib import Path
from pydantic import BaseModel
from bridge.topic import topic, Fail

class Input(BaseModel):
    number: int

@topic("{topic}")
async def flaky(given: Input) -> None:
    if not Path("{mended}").exists():
        if given.number % 2:
            raise Fail(f"order {{given.number}} has no stock")
        raise Fail(f"order {{given.number}} has no address")
"""


async def until(ask: Callable[[], Awaitable[bool]]) -> None:
    """Return once it's so; each look is a call to the store."""
    async with asyncio.timeout(TIME_LIMIT):
        while not await ask():
            await pause()


async def test_failures_are_grouped_and_mended_together(lab: Lab) -> None:
    topic, mended = lab.topic("flaky"), lab.folder / "mended"
    lab.write_topic("flaky", FLAKY.format(topic=topic, mended=mended))
    key = await lab.deploy("flaky", topic)
    await lab.gateway()
    await lab.start_many(key, 6)
    async with MongoDashboardStore(lab.env["MONGODB_URI"], lab.env["MONGODB_DATABASE"]) as dashboard_store:

        async def failed() -> bool:
            now = datetime.now(UTC)
            groups = await dashboard_store.failure_groups(now - timedelta(hours=1), now)
            return sum(group.total for group in groups) == 6

        await until(failed)
        now = datetime.now(UTC)
        groups = await dashboard_store.failure_groups(now - timedelta(hours=1), now)
        assert {(group.error, group.total, group.last_hour, group.topic) for group in groups} == {("Fail", 3, 3, topic)}
        assert len(groups) == 2
        (stock,) = [group for group in groups if "stock" in group.sample]

        async def incidents() -> bool:
            counts = await dashboard_store.counts(parse(f"state:failed topic:{topic}"), now=now)
            return sum(count or 0 for count in counts.by_state.values()) == 6

        await until(incidents)
        chosen = await dashboard_store.select(parse(f"state:failed fp:{stock.fingerprint}"), 10, now=now)
        assert isinstance(chosen, Selection)
        assert len(chosen.rows) == 3
        mended.touch()
        operation = Operation("op", OperationKind.RETRY, "q", "stock is back", "ana", 100, now)
        await dashboard_store.create(operation, [Item(row.id, row.epoch) for row in chosen.rows])

        async def settled() -> bool:
            found = await dashboard_store.operation("op")
            assert found is not None
            assert found.totals.total == 3
            return found.state is OperationState.DONE and found.totals.outcomes.get("completed") == 3

        await until(settled)
        found = await dashboard_store.operation("op")
        assert found is not None
        assert found.totals == Totals(requeued=3, outcomes={"completed": 3})
        await lab.until_finished(key, 3)

        async def counted() -> bool:
            now = datetime.now(UTC)
            figures = overview(
                await dashboard_store.rollups(Range.HOUR.step, beginning(Range.HOUR, now)), Range.HOUR, topic, now
            )
            wanted = {Count.RECEIVED: 6, Count.STARTED: 9, Count.FAILED: 6, Count.INCIDENTS: 6, Count.COMPLETED: 3}
            return {what: count for what, count in figures.counts.items() if count} == wanted

        await until(counted)
