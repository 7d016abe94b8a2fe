"""Each process definition is read once, by whoever needs it first, and what can't be read throws nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from bridge.domain.errors import EngineForbidden, EngineUnavailable, ForeignAnswer, ModelUnreadable
from bridge.flow.deliver import error_events
from bridge.flow.deliver.error_events import (
    ASK_AGAIN,
    MOST_CHARACTERS,
    MOST_DEFINITIONS,
    READ_AGAIN,
    ErrorEventDefinitions,
)
from tests.unit.fakes import HandClock, Notes, a_task


class Definitions:
    """An engine whose definitions all have an errorEventDefinition at `pay`, or at `activities`."""

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()
        self.activities = frozenset({"pay"})
        self.error: Exception | None = None
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def throwing_activities(self, process_definition_id: str) -> frozenset[str]:
        self.reads[process_definition_id] += 1
        self.asked.set()
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return self.activities


class Flow:
    def __init__(self) -> None:
        self.engine, self.clock, self.notes = Definitions(), HandClock(), Notes()
        self.definitions = ErrorEventDefinitions(self.engine, self.clock, self.notes)  # type: ignore[arg-type]

    async def may_throw(self, definition: str | None = "order:1", activity: str | None = "pay") -> bool:
        return await self.definitions.may_throw(a_task(process_definition_id=definition, activity_id=activity))


async def test_a_definition_is_read_once_and_again_after_an_hour() -> None:
    flow = Flow()
    assert [await flow.may_throw(activity=activity) for activity in ("pay", "mail", "pay")] == [True, False, True]
    assert flow.engine.reads == {"order:1": 1}
    flow.clock.advance(READ_AGAIN)
    flow.engine.activities = frozenset()
    assert not await flow.may_throw()
    assert flow.engine.reads == {"order:1": 2}


async def test_a_task_whose_activity_is_not_known_asks_nothing() -> None:
    flow = Flow()
    assert not await flow.may_throw(definition=None)
    assert not await flow.may_throw(activity=None)
    assert not flow.engine.reads


async def test_those_who_need_it_at_once_share_one_reading() -> None:
    flow = Flow()
    flow.engine.answers.clear()
    waiting = [asyncio.create_task(flow.may_throw()) for _ in range(50)]
    await flow.engine.asked.wait()
    flow.engine.answers.set()
    assert await asyncio.gather(*waiting) == [True] * 50
    assert flow.engine.reads == {"order:1": 1}


async def test_one_who_is_cancelled_while_reading_leaves_the_others_without_an_answer_and_not_waiting() -> None:
    flow = Flow()
    flow.engine.answers.clear()
    reader = asyncio.create_task(flow.may_throw())
    await flow.engine.asked.wait()
    other = asyncio.create_task(flow.may_throw())
    await asyncio.sleep(0)
    reader.cancel()
    async with asyncio.timeout(5):
        assert not await other
    flow.engine.answers.set()
    assert await flow.may_throw()


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (EngineForbidden("no READ", status=403), READ_AGAIN),
        (ForeignAnswer("read_model: the engine's address answers 403", status=403), READ_AGAIN),
        (ModelUnreadable("no XML"), READ_AGAIN),
        (EngineUnavailable("away"), ASK_AGAIN),
    ],
)
async def test_what_can_not_be_read_throws_nothing_and_is_told_once(error: Exception, again: timedelta) -> None:
    flow = Flow()
    flow.engine.error = error
    for definition in ("order:1", "mail:1", "order:1"):
        assert not await flow.may_throw(definition)
    assert flow.engine.reads == {"order:1": 1, "mail:1": 1}
    (line,) = flow.notes.of("process_model_not_read")
    assert line.values == {"definition": "order:1", "error": str(error)}
    flow.engine.error = None
    flow.clock.advance(again)
    assert await flow.may_throw()


async def test_an_engine_that_does_not_answer_holds_up_no_completion_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_events, "_TIME_LIMIT", 0.001)
    flow = Flow()
    flow.engine.answers.clear()
    assert not await flow.may_throw()
    assert [line.values["error"] for line in flow.notes.of("process_model_not_read")] == ["no answer within 0.001 s"]


async def test_the_oldest_are_forgotten_beyond_so_many() -> None:
    flow = Flow()
    for number in range(MOST_DEFINITIONS + 1):
        assert await flow.may_throw(f"order:{number}")
    await flow.may_throw(f"order:{MOST_DEFINITIONS}")
    await flow.may_throw("order:0")
    assert (flow.engine.reads[f"order:{MOST_DEFINITIONS}"], flow.engine.reads["order:0"]) == (1, 2)


async def test_the_oldest_are_forgotten_beyond_so_many_characters() -> None:
    flow = Flow()
    flow.engine.activities = frozenset({"x" * MOST_CHARACTERS})
    for definition in ("large:1", "large:2", "large:2", "large:1"):
        await flow.may_throw(definition)
    assert flow.engine.reads == {"large:1": 2, "large:2": 1}
