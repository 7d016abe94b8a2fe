"""What shares a write with others fails alone: no handler runs again for what another one returned or raised."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.lifecycle import Move
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, State, Task, TypedValue
from bridge.flow.handle.run import Run
from bridge.flow.handle.threads import Slot
from bridge.topic import BpmnError, Context, Topic, topic
from tests.contract.stores import mongo_store
from tests.unit.fakes import SECOND
from tests.unit.flow_lab import Lab, Order

Kept = MemoryStore | MongoStore

MEMBERS = 31
_CODE: Any = 404

ODD: dict[str, Outcome] = {
    "a number for a code": BpmnFault(_CODE),
    "an object for a value": Completion({"a": TypedValue("Object", object())}),
    "no text for a value": Completion({"a": TypedValue("String", "\ud800")}),
    "no text for a name": Completion({"\ud800": TypedValue("String", "")}),
    "what isn't even a mapping": Completion(_CODE),
    "more than an integer holds": Failure("ValueError", "no", "", 2**70),
}


class Odd(Run):
    """Runs handlers; what one raises with an outcome as its code is that outcome, as no check at the border has it."""

    async def run(self, topic: Topic[Any, Any], task: Task, context: Context, slot: Slot | None) -> Outcome:
        found = await super().run(topic, task, context, slot)
        return ODD[found.code] if isinstance(found, BpmnFault) else found


@pytest.fixture(params=["memory", "mongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    if request.param == "memory":
        yield MemoryStore()
        return
    servers: dict[str, str] = request.getfixturevalue("servers")
    async with mongo_store(servers["MONGODB_URI"]) as mongo:
        yield mongo


@pytest.mark.parametrize("odd", ODD)
async def test_thirty_one_share_a_write_of_which_one_can_not_be_stored(
    store: MemoryStore | MongoStore, odd: str
) -> None:
    runs, together = Counter[str](), asyncio.Barrier(MEMBERS)
    batches: list[int] = []

    @topic("orders", concurrency=MEMBERS)
    async def handler(order: Order, context: Context) -> dict[str, int]:
        runs[context.task_id] += 1
        await together.wait()
        if context.task_id == tasks[7].id:
            raise BpmnError(odd)
        return {"n": 1}

    move = store.move

    async def counted(moves: Sequence[Move]) -> Any:
        batches.append(len(moves))
        return await move(moves)

    store.move = counted  # type: ignore[method-assign]
    lab = Lab(topics=[handler])
    lab.store = store  # type: ignore[assignment]
    lab.run = Odd(timeout=300 * SECOND, first_delay=SECOND, most_delay=SECOND, threads=lab.threads)
    lab.delivery = lab.new_delivery()
    lab.claims, lab.handle = lab.replica("r1")
    tasks = [await lab.task() for _ in range(MEMBERS)]
    acknowledgers = await asyncio.gather(*(lab.deliver(task) for task in tasks))
    await lab.delivery.drain()
    assert MEMBERS in batches, "their outcomes were written together, and that failed"
    assert [acknowledger.given for acknowledger in acknowledgers] == [["ack"]] * MEMBERS
    assert runs == {task.id: 1 for task in tasks}
    kept = {task.id: task for task in await store.get_many([task.id for task in tasks])}
    culprit = kept.pop(tasks[7].id)
    assert {(task.state, task.attempts) for task in kept.values()} == {(State.COMPLETED, 1)}
    assert (culprit.state, culprit.attempts, culprit.retries) == (State.FAILED, 1, 0)
    assert (culprit.error or "").startswith("the result can't be stored: ")
    (incident,) = lab.engine.incidents()
    assert (incident.id, incident.error) == (culprit.id, culprit.error)
