"""Nothing that a handler returns or raises makes anything but its own task fail, and no handler run again."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, computed_field

from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.errors import EngineUnavailable, StoreUnavailable, VariableError
from bridge.domain.task import State
from bridge.topic import BpmnError, Context, Fail, Retry, Variable, topic
from tests.contract.stores import mongo_store
from tests.unit.flow_lab import Lab, Order

MEMBERS = 6


class Text(str):
    """Text that answers nothing that it is asked."""

    def isascii(self) -> bool:
        raise KeyboardInterrupt

    def encode(self, *_: Any) -> bytes:
        raise SystemExit("no bytes")

    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __format__(self, _spec: str) -> str:
        raise GeneratorExit

    def __hash__(self) -> int:
        return 0

    def __eq__(self, _other: object) -> bool:
        raise RuntimeError("not to be compared")


class Number(int):
    """A number that is none when it is asked."""

    def __index__(self) -> int:
        raise SystemExit("no index")

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Table(dict[Any, Any]):
    """A mapping that ends the program when it is looked into."""

    def items(self) -> Any:
        sys.exit("no items")

    def __iter__(self) -> Iterator[Any]:
        raise KeyboardInterrupt


class Endless(dict[Any, Any]):
    """A mapping whose items never end by themselves."""

    def __getitem__(self, _key: object) -> Any:
        return self


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class OddTextError(BaseException):
    """An error that is told by text of a kind of its own."""

    def __str__(self) -> str:
        return Text("told")


class Colour(Enum):
    RED = Text("red")


class Unsure(BaseModel):
    """A result that ends the program when it is read."""

    model_config = ConfigDict(extra="allow")

    @computed_field
    def total(self) -> int:
        sys.exit(1)


def _itself() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def _around() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["a"] = [found]
    return found


def _deep() -> Any:
    found: Any = 1
    for _ in range(20_000):
        found = [found]
    return found


def _numbers() -> Iterator[int]:
    yield 1
    raise SystemExit("in the middle")


def _with(error: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(error, name, value)
    return error


ODD: dict[str, Callable[[], Any]] = {
    "text": lambda: Text("x"),
    "number": lambda: Number(7),
    "table": lambda: Table(a=1),
    "endless": lambda: Endless(a=1),
    "enum": lambda: Colour.RED,
    "unsure": lambda: Unsure(a=1),
    "itself": _itself,
    "around": _around,
    "deep": _deep,
    "generator": _numbers,
    "coroutine": lambda: asyncio.sleep,
    "object": object,
    "class": lambda: Text,
    "huge": lambda: 10**5000,
    "decimal": lambda: Decimal("sNaN"),
    "surrogate": lambda: "\ud800",
    "variable": lambda: Variable(Text("String")),
    "error": lambda: Wordless("x"),
}

RAISED: dict[str, Callable[[Any], BaseException]] = {
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "stop": StopIteration,
    "async stop": StopAsyncIteration,
    "timeout": TimeoutError,
    "base": BaseException,
    "wordless": Wordless,
    "told": OddTextError,
    "key": KeyError,
    "group": lambda value: BaseExceptionGroup("many", [SystemExit(value), ValueError(value)]),
    "store": lambda _: StoreUnavailable("no store of ours"),
    "engine": lambda _: EngineUnavailable("no engine of ours"),
    "variable": VariableError,
    "fail": Fail,
    "retry": lambda value: Retry("later", after=value),
    "retry with a text": Retry,
    "retry changed": lambda value: _with(Retry("later"), after=value),
    "bpmn": BpmnError,
    "bpmn with a message": lambda value: BpmnError("REFUSED", value),
    "bpmn with variables": lambda value: BpmnError("REFUSED", "no", {"a": value}),
    "bpmn changed": lambda value: _with(BpmnError("REFUSED"), code=value, message=value, variables=value),
    "cause": lambda value: _with(ValueError(value), __cause__=Wordless(value), __notes__=value),
    "argument": lambda value: _with(ValueError(), args=(value,)),
}


@dataclass(frozen=True)
class Odd:
    """What is made where the handler runs, as it may have no `repr`."""

    name: str


@dataclass(frozen=True)
class End:
    """How a handler ends: it raises the error of that name, or returns the value as it is or under a name."""

    how: str
    value: Any

    def happen(self) -> Any:
        value = _made(self.value)
        match self.how:
            case "returned":
                return value
            case "named":
                return {"a": value, "b": 1}
            case "key":
                return {value: 1}
        raise RAISED[self.how](value)


def _made(value: Any) -> Any:
    match value:
        case Odd(name):
            return ODD[name]()
        case list():
            return [_made(item) for item in value]
        case dict():
            return {key: _made(item) for key, item in value.items()}
        case _:
            return value


ANY_TEXT = st.text(st.characters(), max_size=6)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(2**60, 2**80), st.floats(), st.binary(max_size=4), ANY_TEXT,
    st.sampled_from([Odd(name) for name in ODD]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3), max_leaves=5
)
ENDS = st.builds(End, st.sampled_from(["returned", "named", "key", *RAISED]), VALUES)


async def each_hurts_itself_alone(
    store: MemoryStore | MongoStore, ends: list[End], *, in_threads: bool = False
) -> None:
    """Let the ends happen to tasks that share each write with others, all of which must end well."""
    runs, together, threads = Counter[str](), asyncio.Barrier(MEMBERS), threading.Barrier(MEMBERS, timeout=10)

    def end(task_id: str) -> Any:
        runs[task_id] += 1
        return odd[task_id].happen() if task_id in odd else {"n": 1}

    @topic("orders", concurrency=MEMBERS)
    async def handler(order: Order, context: Context) -> Any:
        await together.wait()
        return end(context.task_id)

    @topic("orders", concurrency=MEMBERS)
    def plain(order: Order, context: Context) -> Any:
        threads.wait()
        return end(context.task_id)

    lab = Lab(topics=[plain if in_threads else handler])
    lab.store = store  # type: ignore[assignment]
    lab.delivery = lab.new_delivery()
    lab.claims, lab.handle = lab.replica("r1")
    tasks = [await lab.task() for _ in range(MEMBERS)]
    odd = {task.id: end for task, end in zip(tasks, ends, strict=False)}
    acknowledgers = await asyncio.gather(*(lab.deliver(task) for task in tasks))
    await lab.delivery.drain()
    assert [acknowledger.given for acknowledger in acknowledgers] == [["ack"]] * MEMBERS
    assert runs == {task.id: 1 for task in tasks}
    for task in await store.get_many([task.id for task in tasks]):
        assert task.attempts == 1
        assert len(task.history) == 1
        expected = {State.COMPLETED} if task.id not in odd else {State.COMPLETED, State.FAILED, State.RETRYING}
        assert task.state in expected
    assert len(lab.claims) == 0


@given(st.lists(ENDS, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_nothing_that_a_handler_does_hurts_another_task(ends: list[End]) -> None:
    asyncio.run(each_hurts_itself_alone(MemoryStore(), ends))


@given(st.lists(ENDS, min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_nothing_that_a_plain_handler_does_hurts_another_task(ends: list[End]) -> None:
    asyncio.run(each_hurts_itself_alone(MemoryStore(), ends, in_threads=True))


@given(ends=st.lists(ENDS, min_size=1, max_size=3))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nor_does_it_on_a_real_store(servers: dict[str, str], ends: list[End]) -> None:
    async def on_mongodb() -> None:
        async with mongo_store(servers["MONGODB_URI"]) as store:
            await each_hurts_itself_alone(store, ends)

    asyncio.run(on_mongodb())


def test_each_odd_end_by_itself() -> None:
    for how in ["returned", "named", "key", *RAISED]:
        for value in ODD:
            asyncio.run(each_hurts_itself_alone(MemoryStore(), [End(how, Odd(value))]))
            asyncio.run(each_hurts_itself_alone(MemoryStore(), [End(how, Odd(value))], in_threads=True))
