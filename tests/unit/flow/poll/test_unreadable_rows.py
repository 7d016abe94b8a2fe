"""A row that can't be read is told once, and its lock is let go once."""

from __future__ import annotations

from datetime import timedelta

from bridge.adapters.memory.engine import MemoryEngine
from bridge.domain.unreadable_row import UnreadableRow
from bridge.flow.poll.unreadable_rows import UnreadableRows
from bridge.ports.engine import TopicPoll
from tests.unit.fakes import LOCK, HandClock, Notes


class Rig:
    """A locked task of an engine, and rows about it."""

    def __init__(self) -> None:
        self.clock, self.notes, self.counted = HandClock(), Notes(), list[str]()
        self.engine = MemoryEngine(self.clock)
        self.rows = UnreadableRows(self.notes, self.counted.append)

    async def locked(self) -> str:
        task_id = self.engine.add("orders")
        await self.engine.fetch_and_lock("w1", 1, [TopicPoll("orders", LOCK)], timedelta(0))
        return task_id

    async def holder(self, task_id: str) -> str | None:
        return (await self.engine.get(task_id)).worker_id


async def test_a_lock_is_let_go_once_and_then_left_to_lapse() -> None:
    rig = Rig()
    task_id = await rig.locked()
    for holder in (None, "w1"):
        await rig.engine.lock(task_id, "w1", LOCK)
        rig.rows.observe("fetch", UnreadableRow(task_id, "its priority is no number", is_locked=True))
        await rig.rows.release(rig.engine)
        assert await rig.holder(task_id) == holder
    (told,) = rig.notes.of("row_unreadable")
    assert told.values == {
        "operation": "fetch", "task_id": task_id, "reason": "its priority is no number", "locked": True
    }  # fmt: skip
    assert rig.counted == ["fetch", "fetch"]


async def test_a_row_that_holds_no_lock_unlocks_nothing() -> None:
    rig = Rig()
    task_id = await rig.locked()
    rig.rows.observe("get_many", UnreadableRow(task_id, "why"))
    rig.rows.observe("fetch", UnreadableRow(None, "it has no id"))
    await rig.rows.release(rig.engine)
    assert await rig.holder(task_id) == "w1"
    assert len(rig.notes.of("row_unreadable")) == 2


async def test_a_lock_that_cannot_be_let_go_holds_up_no_other() -> None:
    rig = Rig()
    task_id = await rig.locked()
    for each in ("gone", task_id):
        rig.rows.observe("fetch", UnreadableRow(each, "why", is_locked=True))
    await rig.rows.release(rig.engine)
    assert [line.values["task_id"] for line in rig.notes.of("row_left_locked")] == ["gone"]
    assert await rig.holder(task_id) is None


async def test_many_rows_take_no_more_memory() -> None:
    rig = Rig()
    for number in range(5000):
        rig.rows.observe("fetch", UnreadableRow(str(number), "why", is_locked=True))
    rig.rows.observe("fetch", UnreadableRow("4999", "why", is_locked=True))
    assert len(rig.notes.of("row_unreadable")) == 5000
    await rig.rows.release(rig.engine)
    assert len(rig.notes.of("row_left_locked")) == 1000, "as many as are remembered"
