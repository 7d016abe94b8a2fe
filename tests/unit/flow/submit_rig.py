"""What tests of submissions work on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.adapters.memory.broker import MemoryBroker
from bridge.adapters.memory.engine import MemoryEngine
from bridge.domain.errors import EngineRejected, EngineUnavailable, VariableError
from bridge.domain.submission import Submission
from bridge.domain.task import Task, TypedValue
from bridge.flow.lease import Lease
from bridge.flow.relay import Relay
from bridge.flow.submit import Submit
from bridge.registry import Registry
from bridge.topic import Topic
from tests.unit.fakes import LOCK, SECOND, HandClock, Notes, UnreliableStore
from tests.unit.flow.poll.poll_rig import a_topic

LIMIT = 1000
AWAY = EngineUnavailable("the engine is away")
BUSY = EngineRejected("optimistic locking", status=500, code=1)
TEXT = {"a": TypedValue("String", "x")}


def _size_of(task: Task) -> int:
    for name, variable in task.inputs.items():
        if name == "odd":
            raise VariableError("variable 'odd': no form of it can be stored")
        if variable.type == "String" and variable.value == "odd":
            raise VariableError(f"variable {name!r}: no form of it can be stored")
    return sum(len(str(variable.value)) for variable in task.inputs.values())


class SubmitRig:
    """Submissions on fakes."""

    def __init__(self, *more: Topic[Any, Any], store: UnreliableStore | None = None) -> None:
        self.clock = HandClock()
        self.engine = MemoryEngine(self.clock)
        self.store = UnreliableStore() if store is None else store
        self.broker = MemoryBroker(["orders", "mail", *(topic.name for topic in more)])
        self.notes = Notes()
        declared = [a_topic("orders"), a_topic("mail", retries=1), *more]
        topics = Registry({topic.name: topic for topic in declared})
        self.relay = Relay(
            self.store, self.broker, self.clock, self.notes, again_after=5 * SECOND, look_after=20 * SECOND
        )
        self.submit = Submit(
            engine=self.engine, store=self.store, relay=self.relay, lease=Lease(self.engine, self.clock, topics, LOCK),
            topics=topics, clock=self.clock, journal=self.notes, retry_limit=3, publish_within=10 * SECOND,
            size_of=_size_of, size_limit=LIMIT, replica="r1",
        )  # fmt: skip

    def add(self, **terms: Any) -> str:
        return self.engine.add("orders", TEXT, **terms)

    async def hand_in(
        self, task_id: str, variables: Mapping[str, Any] | None = None, worker: str = "w1", topic: str = "orders"
    ) -> Task:
        task = await self.submit.submit(Submission(task_id, worker, topic, variables or {}))
        await self.relay.drain()
        return task

    async def hand_in_unasked(self, task_id: str, variables: Mapping[str, Any] | None = None) -> Task:
        """Hand in a task while the engine is away."""
        self.engine.fail_next("get_many", AWAY)
        task = await self.hand_in(task_id, variables)
        assert not task.verified, "the fault struck"
        return task

    @property
    def published(self) -> list[str]:
        return [key.id for _, key in self.broker.published]
