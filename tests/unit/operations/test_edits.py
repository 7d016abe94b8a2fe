"""After an edit the task is compared with what the engine's next lease brings, and people are told where it differs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pydantic import BaseModel

from bridge.domain.edits import edit_of, missed_edits
from bridge.domain.errors import TaskConflict
from bridge.domain.lifecycle import refetch
from bridge.domain.task import Edit, State, Task, TaskKey, TypedValue, Variables
from bridge.domain.variables import encode
from bridge.ports.engine import TopicPoll
from bridge.topic import File, topic
from tests.unit.fakes import LOCK, NOW, a_task
from tests.unit.flow.poll.poll_rig import NONE
from tests.unit.operations.test_operate import OperateRig


class Sum(BaseModel):
    """What the topic takes."""

    amount: int


@topic("sums")
async def sums(given: Sum) -> None:
    """Do nothing."""


class Rig(OperateRig):
    """A failed task of the topic `sums`, whose input mapping has set `amount`."""

    def __init__(self) -> None:
        super().__init__([sums])

    async def failed_sum(self, *, knows_scope: bool = True, given: Variables | None = None) -> Task:
        task_id = self.engine.add("sums", encode({"amount": 1, "total": 1}), local=encode({"amount": 1}))
        (lease,) = await self.engine.fetch_and_lock("w1", 1, [TopicPoll("sums", LOCK)], NONE)
        await self.engine.fail(task_id, "w1", message="no", details="", retries=0, retry_timeout=NONE)
        task = a_task(
            task_id, "sums", state=State.FAILED, next_at=None, finished_at=NOW, retries=0, given=given,
            variables=encode({"amount": 1}), process_instance_id=lease.process_instance_id,
            execution_id=lease.execution_id if knows_scope else None,
        )  # fmt: skip
        await self.store.accept([task])
        return task


async def test_an_edit_in_the_tasks_scope_arrives() -> None:
    rig = Rig()
    task = await rig.failed_sum()
    await rig.operate.retry(task.id, variables=encode({"amount": 5}))
    assert rig.engine.variables[task.process_instance_id or ""]["amount"].value == 1
    await rig.round()
    again = rig.store.tasks[task.id]
    assert (again.epoch, again.variables) == (2, encode({"amount": 5}))
    assert (missed_edits(again), rig.audited) == ((), [])


async def test_an_edit_that_another_scope_hides_is_told_once() -> None:
    rig = Rig()
    task = await rig.failed_sum(knows_scope=False)
    await rig.operate.retry(task.id, variables=encode({"amount": 5}))
    assert missed_edits(rig.store.tasks[task.id]) == (), "before the next lease nothing can be told"
    assert rig.engine.variables[task.process_instance_id or ""]["amount"].value == 5
    await rig.round()
    again = rig.store.tasks[task.id]
    assert (again.variables, missed_edits(again)) == (encode({"amount": 1}), ("amount",))
    (entry,) = rig.audited
    assert (entry.who, entry.action, entry.target) == ("gateway", "task.edit_missed", f"task:{task.id}")
    assert entry.after == {"variables": ["amount"]}
    assert [note.values["variables"] for note in rig.notes.of("edit_missed")] == [["amount"]]
    await rig.engine.unlock(task.id)
    await rig.round()
    assert rig.store.tasks[task.id].epoch == 3
    assert missed_edits(rig.store.tasks[task.id]) == ("amount",)
    assert len(rig.audited) == 1


async def test_a_missed_edit_is_audited_before_the_task_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    task = await rig.failed_sum(knows_scope=False)
    await rig.operate.retry(task.id, variables=encode({"amount": 5}))
    publish, audited = rig.broker.publish, []

    async def spy(topic: str, keys: Sequence[TaskKey]) -> Sequence[BaseException | None]:
        audited.append(len(rig.audited))
        return await publish(topic, keys)

    monkeypatch.setattr(rig.broker, "publish", spy)
    await rig.round()
    assert audited == [1]


async def test_what_a_submitter_sent_is_edited_for_the_handler() -> None:
    rig = Rig()
    task = await rig.failed_sum(knows_scope=False, given=encode({"amount": 1}))
    await rig.operate.retry(task.id, variables=encode({"amount": 5}))
    await rig.round()
    again = rig.store.tasks[task.id]
    assert (again.inputs["amount"].value, missed_edits(again), rig.audited) == (5, (), [])


async def test_nothing_is_told_of_a_variable_that_is_not_fetched() -> None:
    rig = Rig()
    task = await rig.failed_sum()
    await rig.operate.retry(task.id, variables=encode({"amount": 5, "total": 7, "note": "x"}))
    await rig.round()
    again = rig.store.tasks[task.id]
    assert again.variables.keys() == {"amount"}
    assert missed_edits(again) == ()
    of_process = rig.engine.variables[task.process_instance_id or ""]
    assert (of_process["total"].value, of_process["note"].value) == (7, "x")


async def test_an_edit_is_refused_where_the_task_came_back_meanwhile() -> None:
    rig = Rig()
    task = await rig.failed_sum()
    set_variables = rig.engine.set_variables

    async def set_late(execution_id: str, variables: Variables) -> None:
        await set_variables(execution_id, variables)
        await rig.store.move([refetch(task.changed(worker_id="other"))])

    rig.engine.set_variables = set_late  # type: ignore[method-assign]  # it is the point
    with pytest.raises(TaskConflict, match="changed after its variables were set"):
        await rig.operate.retry(task.id, variables=encode({"amount": 5}))
    assert (await rig.engine.get(task.id)).retries == 0


@pytest.mark.parametrize(
    ("saved", "came", "arrived"),
    [
        (TypedValue("Integer", 5), TypedValue("Long", 5), True),
        (TypedValue("Double", 5), TypedValue("Double", 5.0), True),
        (TypedValue("Integer", 1), TypedValue("Boolean", True), False),
        (TypedValue("String", "5"), TypedValue("Integer", 5), False),
        (TypedValue("Json", '{"a": 1, "b": 2}'), TypedValue("Json", '{"b":2,"a":1}'), True),
        (TypedValue("Json", "[1, 2]"), TypedValue("Json", "[2, 1]"), False),
        (TypedValue("Json", "[1"), TypedValue("Json", "[1"), True),
        (
            TypedValue("Date", "2026-01-01T03:00:00.000+0000"),
            TypedValue("Date", "2026-01-01T00:00:00.000-0300"),
            True,
        ),
        (encode({"x": File("a.txt", b"a")})["x"], TypedValue("File", None, {"filename": "a.txt"}), True),
        (encode({"x": File("a.txt", b"a")})["x"], TypedValue("File", None, {"filename": "b.txt"}), False),
        (TypedValue("String", "x"), None, False),
        (TypedValue("Null"), TypedValue("Null"), True),
        (TypedValue("String", "\ud800"), TypedValue("String", "\ud800"), True),
    ],
)
def test_values_are_compared_and_not_their_forms(saved: TypedValue, came: TypedValue | None, arrived: bool) -> None:
    task = a_task(epoch=4)
    edit = edit_of(task, {"x": saved}, None)
    again = task.changed(epoch=5, edit=edit, variables={} if came is None else {"x": came})
    assert missed_edits(again) == (() if arrived else ("x",))


def test_an_edit_is_small() -> None:
    edit = edit_of(a_task(epoch=4), encode({"text": "x" * 100_000, "other": 1}), {"text"})
    assert (edit.epoch, list(edit.values), len(edit.values["text"])) == (4, ["text"], 32)
    assert isinstance(edit, Edit)
