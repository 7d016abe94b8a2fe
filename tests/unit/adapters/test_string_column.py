"""Long text finds a form that the engine's column holds, and is sent in it from then on."""

from __future__ import annotations

import pytest

from bridge.adapters.camunda.string_column import StringColumn
from bridge.domain.errors import EngineRejected, EngineUnavailable
from bridge.domain.task import TypedValue, Variables
from bridge.domain.variables import decode, java_length


class Column:
    """An engine whose column holds so many characters; it keeps what it was asked."""

    def __init__(self, holds: int, message: str = "", code: int | None = 10002) -> None:
        self.holds = holds
        self.calls: list[Variables] = []
        self._refusal = EngineRejected(f"complete: HTTP 500: {message}", status=500, code=code)

    async def take(self, variables: Variables) -> None:
        self.calls.append(variables)
        if any(one.type == "String" and java_length(one.value) > self.holds for one in variables.values()):
            raise self._refusal

    @property
    def types(self) -> list[list[str]]:
        return [[variable.type for variable in call.values()] for call in self.calls]


def texts(*lengths: int) -> Variables:
    return {f"v{length}": TypedValue("String", "x" * length, local=True) for length in lengths}


async def test_a_refusal_makes_objects_of_long_text_and_is_remembered() -> None:
    engine, lowered = Column(2000), list[int]()
    column = StringColumn(4000, lowered.append)
    await column.send(texts(100, 2000, 3500), engine.take)
    await column.send(texts(3000, 50), engine.take)
    assert engine.types == [["String"] * 3, ["String", "String", "Object"], ["Object", "String"]]
    assert lowered == [2000]
    assert decode(engine.calls[1]) == {name: text.value for name, text in texts(100, 2000, 3500).items()}
    assert all(variable.local for variable in engine.calls[1].values())


async def test_what_is_longer_than_the_setting_is_an_object_at_once() -> None:
    engine = Column(4000)
    await StringColumn().send({"v": TypedValue("String", "x" * 5000)}, engine.take)
    assert engine.types == [["Object"]]


@pytest.mark.parametrize(
    "message",
    [
        'Value too long for column "TEXT_ CHARACTER VARYING(4000)"',
        "Data truncation: Data too long for column 'TEXT_' at row 1",
        'ORA-12899: value too large for column "CAMUNDA"."ACT_RU_VARIABLE"."TEXT_"',
        "ERROR: value too long for type character varying(4000)",
        "DB2 SQL Error: SQLCODE=-302, SQLSTATE=22001",
        "String or binary data would be truncated.",
    ],
)
async def test_an_older_engine_quotes_its_database(message: str) -> None:
    engine = Column(1000, message, code=None)
    await StringColumn().send(texts(3500), engine.take)
    assert engine.types == [["String"], ["Object"]]


async def test_another_refusal_is_raised_as_it_is() -> None:
    engine = Column(10, "nothing about columns", code=0)
    with pytest.raises(EngineRejected):
        await StringColumn().send(texts(3500), engine.take)
    assert len(engine.calls) == 1


async def test_a_refusal_that_shorter_text_does_not_mend_is_raised_and_not_remembered() -> None:
    async def refuse(variables: Variables) -> None:
        calls.append(variables)
        raise EngineRejected("complete: HTTP 500", status=500, code=10002)

    calls: list[Variables] = []
    lowered: list[int] = []
    column = StringColumn(4000, lowered.append)
    with pytest.raises(EngineRejected):
        await column.send(texts(900, 3500), refuse)
    assert (len(calls), lowered) == (2, [])
    engine = Column(4000)
    await column.send(texts(3500), engine.take)
    assert engine.types == [["String"]]


async def test_an_engine_that_is_away_is_not_asked_twice() -> None:
    async def nobody(variables: Variables) -> None:
        raise EngineUnavailable("no answer")

    with pytest.raises(EngineUnavailable):
        await StringColumn().send(texts(3500), nobody)
