"""Where a task's handler reads, and what it is told of its task."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from bridge.adapters.memory.engine import MemoryEngine
from bridge.domain.errors import VariableError
from bridge.domain.task import Task
from bridge.domain.variables import encode
from bridge.flow.scope import context_of, fetched_variables
from bridge.testing import MemoryRecords, RecordingLog
from bridge.topic import Context, File, topic
from tests.unit.fakes import NOW, HandClock, a_task


def context(task: Task, engine: MemoryEngine) -> Context:
    return context_of(task, engine=engine, records=MemoryRecords(), log=RecordingLog())


async def test_a_file_is_read_where_the_task_sees_it() -> None:
    engine = MemoryEngine(HandClock())
    task_id = engine.add("orders", encode({"scan": File("a", b"outer")}), local=encode({"scan": File("a", b"inner")}))
    found = await engine.get(task_id)
    task = a_task(task_id, process_instance_id=found.process_instance_id, execution_id=found.execution_id)
    assert await context(task, engine).read_file("scan") == b"inner"
    assert await context(task.changed(execution_id=None), engine).read_file("scan") == b"outer"
    with pytest.raises(VariableError, match="photo"):
        await context(task, engine).read_file("photo")


class Strict(BaseModel, extra="forbid"):
    amount: int


class Lenient(BaseModel):
    amount: int


@pytest.mark.parametrize(
    ("model", "named", "fetched"),
    [
        (Lenient, None, ("amount", "traceparent")),
        (Lenient, ["traceparent"], ("traceparent",)),
        (Lenient, "*", None),
        (Strict, ["amount"], ("amount",)),
        (Strict, None, None),
    ],
)
def test_the_traces_variable_is_fetched_besides_unless_the_model_would_refuse_it(
    model: type[BaseModel], named: Any, fetched: tuple[str, ...] | None
) -> None:
    async def handler(given: BaseModel) -> None:
        """Do nothing."""

    handler.__annotations__ = {"given": model}
    assert fetched_variables(topic("sums", variables=named)(handler)) == fetched


async def test_a_handler_is_told_of_its_task() -> None:
    task = a_task(
        activity_id="pay", process_definition_key="sale", process_definition_id="sale:1:7", execution_id="e1",
        priority=7, retries=2, attempts=1, engine_created_at=NOW, properties={"owner": "sales"},
    )  # fmt: skip
    told = context(task, MemoryEngine(HandClock()))
    assert (told.activity_id, told.process_definition_key, told.process_definition_id) == ("pay", "sale", "sale:1:7")
    assert (told.execution_id, told.priority, told.retries_left, told.attempt) == ("e1", 7, 2, 1)
    assert (told.created_at, told.properties) == (NOW, {"owner": "sales"})
    bare = context(a_task(), MemoryEngine(HandClock()))
    assert (bare.created_at, bare.properties, bare.execution_id) == (None, {}, None)
