"""Bulk work does what was shown and confirmed, once, at its rate, through crashes; and says what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.domain.errors import (
    BrokerUnavailable,
    EngineRejected,
    EngineUnavailable,
    StoreUnavailable,
    TaskConflict,
    UnacceptableTask,
)
from bridge.domain.operation import CHUNK, Chunk, Operation, OperationState, Result, Row
from bridge.domain.records import Pause
from bridge.domain.replica import Replica
from bridge.domain.task import State, TaskKey
from bridge.operations.attention import Attention
from bridge.operations.bulk import MOST_RATE, Bulk, BulkConfig
from bridge.ports.dashboard import TooSlow
from bridge.search.grammar import parse
from tests.unit.fakes import NOW, SECOND, a_task
from tests.unit.operations.test_operate import OperateRig

FAILED = parse("state:failed")
CONFIG = BulkConfig(slice=10, look=5 * SECOND, idle=SECOND / 10)


class CrashingDashboardStore(MemoryDashboardStore):
    """A dashboard store that is `away` when the next results are to be written."""

    away = False

    async def record(self, chunk: Chunk, results: Mapping[int, tuple[Result, str | None]], look_at: datetime) -> bool:
        if self.away:
            self.away = False
            raise StoreUnavailable("killed in between")
        return await super().record(chunk, results, look_at)


class Rig(OperateRig):
    """An operator's rig with bulk work."""

    def __init__(self) -> None:
        super().__init__()
        self.dashboard_store = CrashingDashboardStore(self.store)
        self.bulk = self.another()

    def another(self) -> Bulk:
        return Bulk(
            operations=self.dashboard_store, search=self.dashboard_store, store=self.store, operate=self.operate,
            clock=self.clock,
            audit=self.dashboard_store.write, journal=self.notes, replica="r1", config=CONFIG,
        )  # fmt: skip

    async def fail_some(self, count: int, topic: str = "orders") -> list[str]:
        return [await self.failed(topic) for _ in range(count)]

    async def begun(self, count: int, rate: int = 10) -> Operation:
        found = await self.bulk.start(FAILED, reason="mended", by="ana", rate=rate, expected=count)
        assert isinstance(found, Operation)
        return found

    async def now(self, operation: Operation) -> Operation:
        found = await self.dashboard_store.operation(operation.id)
        assert found is not None
        assert found.totals.total == operation.totals.total, "they always add up"
        return found

    def states(self) -> list[State]:
        return [task.state for task in self.store.tasks.values()]


# preview


async def test_a_preview_is_exact_and_changes_nothing() -> None:
    rig = Rig()
    await rig.fail_some(12)
    (mail,) = await rig.fail_some(1, "mail")
    rig.store.tasks[mail] = rig.store.tasks[mail].changed(error_type="ValueError")
    await rig.store.accept([a_task("done", state=State.COMPLETED), a_task("other", "mail", state=State.RUNNING)])
    before = dict(rig.store.tasks)
    found = await rig.bulk.preview(parse(""))
    assert not isinstance(found, TooSlow)
    assert (found.total, found.capped, found.eligible, found.ineligible) == (15, False, 13, 2)
    assert found.by_state == {State.FAILED: 13, State.COMPLETED: 1, State.RUNNING: 1}
    assert found.by_topic == {"orders": 13, "mail": 2}
    assert found.by_error == {"ValueError": 1, "": 14}
    assert len(found.samples) == 10
    assert all(row.state is State.FAILED for row in found.samples)
    assert rig.store.tasks == before
    chosen = await rig.bulk.preview([mail, "done", "unknown", mail])
    assert not isinstance(chosen, TooSlow)
    assert (chosen.total, chosen.eligible, chosen.unknown) == (2, 1, 1)


async def test_a_preview_that_takes_too_long_says_so() -> None:
    rig = Rig()
    slow = rig.dashboard_store.too_slow = TooSlow(timedelta(seconds=5))
    assert await rig.bulk.preview(FAILED) == slow
    assert await rig.bulk.start(FAILED, reason="x", by="ana", rate=1, expected=0) == slow


async def test_a_preview_tells_where_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.operations.bulk.MOST", 2)
    rig = Rig()
    ids = await rig.fail_some(3)
    for wanted in (FAILED, ids):
        found = await rig.bulk.preview(wanted)
        assert not isinstance(found, TooSlow)
        assert (found.total, found.capped) == (2, True)


# start


async def test_what_is_done_is_what_was_shown() -> None:
    rig = Rig()
    await rig.fail_some(3)
    with pytest.raises(TaskConflict, match="3 tasks can be tried again by now, 2 were shown"):
        await rig.bulk.start(FAILED, reason="mended", by="ana", rate=5, expected=2)
    assert await rig.dashboard_store.operations(5) == []
    operation = await rig.begun(3)
    (late,) = await rig.fail_some(1)
    await rig.bulk.run_once()
    assert (await rig.now(operation)).totals.requeued == 3
    assert rig.store.tasks[late].state is State.FAILED, "it failed after the confirmation"


@pytest.mark.parametrize(("reason", "rate"), [("", 1), ("  ", 1), ("why", 0), ("why", MOST_RATE + 1)])
async def test_an_operation_needs_a_reason_and_a_rate(reason: str, rate: int) -> None:
    rig = Rig()
    await rig.fail_some(1)
    with pytest.raises(UnacceptableTask):
        await rig.bulk.start(FAILED, reason=reason, by="ana", rate=rate, expected=1)


async def test_an_operation_on_nothing_is_refused() -> None:
    rig = Rig()
    await rig.store.accept([a_task("done", state=State.COMPLETED)])
    with pytest.raises(TaskConflict, match="none of these tasks can be tried again"):
        await rig.bulk.start(["done"], reason="x", by="ana", rate=1, expected=0)


# run


async def test_items_are_worked_off_at_the_rate_whoever_does_it() -> None:
    rig = Rig()
    await rig.fail_some(12)
    operation = await rig.begun(12, rate=5)
    others = [rig.bulk, rig.another(), rig.another()]
    done = []
    for _ in range(4):
        done.append(sum(await asyncio.gather(*(bulk.run_once() for bulk in others))))
        rig.clock.advance(SECOND)
    assert done == [5, 5, 2, 0]
    found = await rig.now(operation)
    assert (found.state, found.totals.requeued, found.totals.pending) == (OperationState.DONE, 12, 0)
    assert set(rig.states()) == {State.RETRYING}


async def test_each_item_tells_its_result() -> None:
    rig = Rig()
    refused, gone, moved, again, fine = await rig.fail_some(5)
    operation = await rig.begun(5)
    rig.engine.cancel(gone)
    rig.store.tasks[moved] = rig.store.tasks[moved].changed(state=State.COMPLETED)
    rig.store.tasks[again] = rig.store.tasks[again].changed(epoch=2)
    set_retries = rig.engine.set_retries

    async def set_but_one(task_id: str, retries: int) -> None:
        if task_id == refused:
            raise EngineRejected("no such luck", status=500)
        await set_retries(task_id, retries)

    rig.engine.set_retries = set_but_one  # type: ignore[method-assign]
    await rig.bulk.run_once()
    items = {item.task_id: item for _, item in await rig.dashboard_store.items(operation.id, None, 9)}
    assert {name: item.result for name, item in items.items()} == {
        refused: Result.FAILED,
        gone: Result.SKIPPED,
        moved: Result.SKIPPED,
        again: Result.SKIPPED,
        fine: Result.REQUEUED,
    }
    assert items[refused].detail == "no such luck"
    assert "it is gone from the engine" in (items[gone].detail or "")
    assert "it was failed and is completed now" in (items[moved].detail or "")
    assert "it was fetched again" in (items[again].detail or "")
    totals = (await rig.now(operation)).totals
    assert (totals.requeued, totals.skipped, totals.failed, totals.pending) == (1, 3, 1, 0)


async def test_a_replica_that_dies_in_a_step_costs_nothing_but_time() -> None:
    rig = Rig()
    await rig.fail_some(4)
    operation = await rig.begun(4)
    rig.dashboard_store.away = True
    with pytest.raises(StoreUnavailable):
        await rig.bulk.run_once()
    assert (await rig.now(operation)).totals.pending == 4, "what was done is not written down"
    assert set(rig.states()) == {State.RETRYING}, "and it was done"
    assert await rig.another().run_once() == 0, "the step is still taken"
    rig.clock.advance(CONFIG.lease)
    assert await rig.another().run_once() == 4
    assert (await rig.now(operation)).totals.requeued == 4, "each is told as done by this operation, not as skipped"
    assert len(rig.notes.of("task_revived")) == 4


async def test_two_replicas_in_the_same_step_write_it_down_once() -> None:
    rig = Rig()
    await rig.fail_some(4)
    operation = await rig.begun(4)
    chunk = await rig.dashboard_store.next_chunk(operation.id)
    assert chunk is not None
    await rig.bulk.run_once()
    assert not await rig.dashboard_store.record(chunk, {0: (Result.SKIPPED, "late")}, NOW)
    assert (await rig.now(operation)).totals.requeued == 4


async def test_while_the_engine_is_away_items_wait() -> None:
    rig = Rig()
    await rig.fail_some(3)
    operation = await rig.begun(3)
    rig.engine.fail_next("get", EngineUnavailable("away"))
    assert await rig.bulk.run_once() == 0
    assert (await rig.now(operation)).totals.pending == 3
    assert await rig.bulk.run_once() == 0, "and it isn't asked again at once"
    rig.clock.advance(CONFIG.away)
    assert await rig.bulk.run_once() == 3
    assert [line.event for line in rig.notes.of("operation_waits")] == ["operation_waits"]


async def test_an_operation_is_paused_resumed_and_cancelled() -> None:
    rig = Rig()
    await rig.fail_some(6)
    operation = await rig.begun(6, rate=2)
    assert await rig.bulk.run_once() == 2
    assert await rig.bulk.switch(operation.id, OperationState.PAUSED)
    rig.clock.advance(60 * SECOND)
    assert await rig.bulk.run_once() == 0
    assert await rig.bulk.switch(operation.id, OperationState.RUNNING)
    assert await rig.bulk.run_once() == 2
    assert await rig.bulk.switch(operation.id, OperationState.CANCELLED)
    assert not await rig.bulk.switch(operation.id, OperationState.RUNNING)
    rig.clock.advance(60 * SECOND)
    assert await rig.bulk.run_once() == 0
    found = await rig.now(operation)
    assert (found.state, found.totals.requeued, found.totals.pending) == (OperationState.CANCELLED, 4, 2)


async def test_outcomes_are_told_when_they_are_known() -> None:
    rig = Rig()
    ids = await rig.fail_some(4)
    operation = await rig.begun(4)
    await rig.bulk.run_once()
    assert (await rig.now(operation)).totals.waiting == 4
    ends = [State.COMPLETED, State.FAILED, State.CANCELLED]
    for task_id, state in zip(ids, ends, strict=False):
        rig.store.tasks[task_id] = rig.store.tasks[task_id].changed(state=state)
    rig.clock.advance(CONFIG.look)
    await rig.bulk.run_once()
    totals = (await rig.now(operation)).totals
    assert (totals.waiting, totals.outcomes) == (1, {"completed": 1, "failed": 1, "cancelled": 1})
    del rig.store.tasks[ids[3]]
    rig.clock.advance(CONFIG.look)
    await rig.bulk.run_once()
    assert (await rig.now(operation)).totals.outcomes["gone"] == 1
    assert (await rig.now(operation)).totals.waiting == 0


async def test_more_than_a_chunk_is_worked_off_in_order() -> None:
    rig = Rig()
    rows = [a_task(f"t{number:04}", state=State.FAILED, next_at=None) for number in range(CHUNK + 3)]
    await rig.store.accept(rows)
    bulk = Bulk(
        operations=rig.dashboard_store, search=rig.dashboard_store, store=rig.store, operate=rig.operate,
        clock=rig.clock,
        audit=rig.dashboard_store.write, journal=rig.notes, replica="r1", config=BulkConfig(slice=400),
    )  # fmt: skip
    operation = await bulk.start([row.id for row in rows], reason="x", by="ana", rate=400, expected=CHUNK + 3)
    assert isinstance(operation, Operation)
    done = []
    for _ in range(5):
        done.append(await bulk.run_once())
        rig.clock.advance(SECOND)
    assert done == [400, 400, 200, 3, 0], "tasks that the engine doesn't know are told as such"
    assert (await rig.now(operation)).totals.skipped == CHUNK + 3


# what needs a person


async def test_what_needs_a_person() -> None:
    rig = Rig()
    await rig.fail_some(2)
    for name, ago in (("alive", 1), ("stale", 60), ("long gone", 7200)):
        await rig.store.heartbeat(Replica(name, "1", ("work",), NOW, NOW - ago * SECOND))
    await rig.dashboard_store.pause(Pause("mail", "ana", "", NOW))
    for topic in ("orders", "mail"):
        await rig.broker.publish(topic, [TaskKey("t", 1)])
    attention = Attention(
        search=rig.dashboard_store,
        replicas=rig.store,
        pauses=rig.dashboard_store,
        publisher=rig.broker,
        topics=rig.topics,
        clock=rig.clock,
    )
    needs = await attention.needs()
    assert needs.incidents == 2
    assert "stale" in {replica.id for replica in needs.stale}
    assert "alive" in {replica.id for replica in needs.alive}
    assert "long gone" not in {replica.id for replica in (*needs.stale, *needs.alive)}
    assert [pause.topic for pause in needs.pauses] == ["mail"]
    assert needs.unattended == ("orders",), "mail waits as it was told to"
    rig.broker.fail_next("depth", BrokerUnavailable("away"))
    assert (await attention.needs()).depths is None


def test_a_row_is_of_its_task() -> None:
    task = a_task(state=State.FAILED, error_type="E", error_fp="f", epoch=3)
    assert Row.of(task) == Row("t1", State.FAILED, "orders", 3, "E", "f")


async def test_with_nothing_to_do_the_store_is_seldom_asked() -> None:
    rig = Rig()
    asked: list[datetime] = []
    take = rig.dashboard_store.take

    async def counting(now: datetime, until: datetime) -> Operation | None:
        asked.append(now)
        return await take(now, until)

    rig.dashboard_store.take = counting  # type: ignore[method-assign]
    for _ in range(5):
        await rig.bulk.run_once()
    assert asked == [NOW]
    await rig.fail_some(1)
    await rig.begun(1)
    assert await rig.bulk.run_once() == 1, "what is started here begins at once"


async def test_an_operation_is_written_down_before_it_begins_and_when_it_is_done() -> None:
    rig = Rig()
    ids = await rig.fail_some(2)
    rig.engine.cancel(ids[0])
    told: list[tuple[str, int, bool]] = []

    async def confirmed(operation: Operation, tasks: int) -> None:
        told.append((operation.id, tasks, await rig.dashboard_store.operation(operation.id) is None))

    operation = await rig.bulk.start(FAILED, reason="mended", by="ana", rate=10, expected=2, confirmed=confirmed)
    assert isinstance(operation, Operation)
    assert told == [(operation.id, 2, True)]
    await rig.bulk.run_once()
    assert rig.dashboard_store.audit == []
    rig.clock.advance(SECOND)
    await rig.bulk.run_once()
    (entry,) = rig.dashboard_store.audit
    assert (entry.who, entry.origin, entry.action) == ("gateway", "r1", "operation.done")
    assert (entry.target, entry.reason) == (f"operation:{operation.id}", "mended")
    assert entry.after == {"requeued": 1, "skipped": 1, "failed": 0}
    rig.clock.advance(SECOND)
    await rig.bulk.run_once()
    assert len(rig.dashboard_store.audit) == 1


async def test_an_operation_that_can_not_be_written_down_does_not_begin() -> None:
    rig = Rig()
    await rig.fail_some(1)

    async def confirmed(operation: Operation, tasks: int) -> None:
        raise StoreUnavailable("the audit is away")

    with pytest.raises(StoreUnavailable):
        await rig.bulk.start(FAILED, reason="mended", by="ana", rate=10, expected=1, confirmed=confirmed)
    assert await rig.dashboard_store.operations(10) == []
    assert await rig.bulk.run_once() == 0
