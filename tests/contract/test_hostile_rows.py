"""One bad row in an engine's answer costs that row: the others go on, and it is told of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from aiohttp import web

from bridge.adapters.camunda.engine import PAGE, CamundaEngine
from bridge.domain.errors import ForeignAnswer
from bridge.domain.unreadable_row import UnreadableRow
from bridge.ports.engine import EngineTask, TopicPoll
from tests.contract.hostile_engine import ODD, SPOILED, Spoil
from tests.contract.stub_engine import Stub, stub_engine

ROW: Final[dict[str, Any]] = {
    "id": "bad", "topicName": "a", "workerId": "w1", "lockExpirationTime": "2026-01-01T00:00:00.000+0000",
    "retries": None, "priority": 0, "suspended": False, "variables": {},
}  # fmt: skip
GOOD: Final = [{**ROW, "id": "g1"}, {**ROW, "id": "g2"}]
LISTS: Final[dict[str, Callable[[CamundaEngine], Awaitable[Sequence[EngineTask]]]]] = {
    "fetch": lambda e: e.fetch_and_lock("w1", 3, [TopicPoll("a", timedelta(minutes=1))], timedelta(0)),
    "get_many": lambda e: e.get_many(["g1", "bad", "g2"]),
    "locked_by": lambda e: e.locked_by("w1"),
}


class RecordingReport:
    """Remembers the rows that could not be read."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, UnreadableRow]] = []

    def __call__(self, operation: str, row: UnreadableRow) -> None:
        self.rows.append((operation, row))


@pytest.fixture
async def stub() -> Stub:
    return Stub()


@pytest.fixture
def told() -> RecordingReport:
    return RecordingReport()


@pytest.fixture
async def engine(stub: Stub, told: RecordingReport) -> AsyncIterator[CamundaEngine]:
    async with stub_engine(stub) as url:
        engine = CamundaEngine(url, timeout=timedelta(seconds=5), foreign=stub.observe_foreign, on_unreadable_row=told)
        await engine.open()
        yield engine
        await engine.close()


def among_good(row: Any) -> list[Any]:
    return [GOOD[0], row, GOOD[1]]


@pytest.mark.parametrize(
    ("call", "spoil"),
    # Only a fetch says which topics it asks for.
    [(call, spoil) for call in LISTS for spoil in SPOILED if call == "fetch" or spoil.name != "a foreign topic"],
    ids=str,
)
async def test_a_bad_row_costs_itself_and_is_told(
    engine: CamundaEngine, stub: Stub, told: RecordingReport, call: str, spoil: Spoil
) -> None:
    stub.answers(200, among_good(spoil.of(ROW)))
    assert [task.id for task in await LISTS[call](engine)] == ["g1", "g2"]
    ((operation, row),) = told.rows
    assert operation == call
    assert spoil.reason in row.reason
    assert row.is_locked == (spoil.is_released and call != "get_many")
    assert row.id == "bad" or not spoil.is_released
    assert len(row.reason) <= 200
    assert len(row.id or "") <= 100
    assert stub.foreign == [], "the engine is no other for it"


@pytest.mark.parametrize("spoil", ODD, ids=str)
async def test_an_odd_row_is_read(engine: CamundaEngine, stub: Stub, told: RecordingReport, spoil: Spoil) -> None:
    stub.answers(200, among_good(spoil.of(ROW)))
    assert [task.id for task in await LISTS["fetch"](engine)] == ["g1", "bad", "g2"]
    assert told.rows == []


async def test_an_id_that_comes_twice_is_one_task_whose_lock_is_kept(
    engine: CamundaEngine, stub: Stub, told: RecordingReport
) -> None:
    stub.answers(200, [*GOOD, GOOD[0], {**GOOD[1], "priority": "high"}])
    assert [task.id for task in await LISTS["fetch"](engine)] == ["g1", "g2"]
    assert [(row.id, row.is_locked) for _, row in told.rows] == [("g1", False), ("g2", False)]


async def test_a_list_with_bad_rows_is_read_to_its_end(
    engine: CamundaEngine, stub: Stub, told: RecordingReport
) -> None:
    pages = [[{**ROW, "priority": "high"}] * PAGE, GOOD]

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(pages.pop(0))

    stub.answer = answer
    assert [task.id for task in await LISTS["locked_by"](engine)] == ["g1", "g2"]
    assert len(told.rows) == PAGE


@pytest.mark.parametrize("row", [7, "x", None, [], [[]]])
async def test_a_list_of_what_is_no_object_is_another_s_answer(engine: CamundaEngine, stub: Stub, row: object) -> None:
    stub.answers(200, among_good(row))
    with pytest.raises(ForeignAnswer):
        await LISTS["fetch"](engine)


async def test_a_single_task_that_is_spoiled_is_another_s_answer(engine: CamundaEngine, stub: Stub) -> None:
    stub.answers(200, {**ROW, "priority": "high"})
    with pytest.raises(ForeignAnswer):
        await engine.get("bad")
