"""A relay over a store and a broker in memory."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.adapters.memory.broker import MemoryBroker
from bridge.domain.task import State, Task
from bridge.flow.relay import Relay
from tests.unit.fakes import SECOND, HandClock, Notes, UnreliableStore

AGAIN = 5 * SECOND
LOOK = 20 * SECOND


class Flow:
    def __init__(self) -> None:
        self.store = UnreliableStore()
        self.broker = MemoryBroker(["orders", "mail"])
        self.clock = HandClock()
        self.notes = Notes()
        self.relay = Relay(self.store, self.broker, self.clock, self.notes, again_after=AGAIN, look_after=LOOK)

    async def received(self, *tasks: Task) -> Sequence[Task]:
        await self.store.accept(tasks)
        return tasks

    def states(self) -> dict[str, State]:
        return {task.id: task.state for task in self.store.tasks.values()}
