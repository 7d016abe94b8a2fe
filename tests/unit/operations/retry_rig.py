"""Retries on fakes: an operator, a poll, and the reconciler of another process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from bridge.adapters.memory.faults import Operation
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Source, State, Task, Variables
from bridge.domain.variables import encode
from bridge.flow.reconcile.reacquire import Reacquire
from bridge.flow.reconcile.reconcile import ReconcilePolicy, Reconciler
from bridge.flow.submit import Submit
from bridge.ports.engine import TopicPoll
from bridge.topic import Topic
from tests.unit.fakes import LOCK, NOW, SECOND, UnreliableStore, a_task
from tests.unit.flow.poll.poll_rig import NONE
from tests.unit.operations.test_operate import OperateRig

HOUR = timedelta(hours=1)


class Killed(BaseException):
    """The end of a process, which nothing in it sees."""


class KillingStore(UnreliableStore):
    """A store during whose write of an event the process is killed: before the write happens, or after."""

    def __init__(self) -> None:
        super().__init__()
        self.kills: tuple[Event, bool] | None = None

    async def move(self, moves: Sequence[Move]) -> Sequence[bool]:
        if self.kills is None or self.kills[0] not in {move.event for move in moves}:
            return await super().move(moves)
        _, after = self.kills
        self.kills = None
        if after:
            await super().move(moves)
        raise Killed


class RetryRig(OperateRig):
    """An operator whose process may be killed, and another process that reconciles what is due."""

    def __init__(self, *topics: Topic[Any, Any]) -> None:
        self.killing = KillingStore()
        super().__init__(topics, self.killing)
        submit = Submit(
            engine=self.engine, store=self.store, relay=self.relay, lease=self.lease, topics=self.topics,
            clock=self.clock, journal=self.notes, retry_limit=3, publish_within=10 * SECOND,
            size_of=lambda task: 1, size_limit=100, replica="r2",
        )  # fmt: skip
        self.paused: set[str] = set()
        reacquire = Reacquire(
            engine=self.engine, store=self.store, intake=self.intake, lease=self.lease, topics=self.topics,
            paused=self._paused, clock=self.clock, journal=self.notes, replica="r2",
        )  # fmt: skip
        self.reconciler = Reconciler(
            store=self.store, engine=self.engine, offer=self.offer, reacquire=reacquire.try_once,
            publisher=self.broker, relay=self.relay, delivery=self.delivery, submit=submit, lease=self.lease,
            nudge=self._nudge, sees_renewals=lambda: True, clock=self.clock, journal=self.notes, replica="r2",
            policy=ReconcilePolicy(60 * SECOND, 3),
        )  # fmt: skip

    async def _paused(self) -> frozenset[str]:
        return frozenset(self.paused)

    def kill_at(self, call: Operation, *, after: bool = False) -> None:
        self.engine.fail_next(call, Killed(), after=after)

    async def failed_push(self, name: str, variables: Variables, given: Variables, **fields: Any) -> Task:
        """Return a task that a submitter sent with what it has `given`, and whose last failure left it locked."""
        task_id = self.engine.add(name, variables)
        (lease,) = await self.engine.fetch_and_lock("w1", 1, [TopicPoll(name, LOCK)], NONE)
        await self.engine.fail(task_id, "w1", message="no", details="", retries=0, retry_timeout=HOUR)
        task = a_task(
            task_id, name, state=State.FAILED, finished_at=NOW, retries=0, next_at=NOW + HOUR, lost_claims=2,
            source=Source.PUSHED, variables=variables, given=given, process_instance_id=lease.process_instance_id,
            execution_id=lease.execution_id,
        )  # fmt: skip
        await self.store.accept([task])
        return task

    async def sweep(self, after: timedelta = NONE) -> int:
        """Let time pass, and the other process reconcile what is due then."""
        self.clock.advance(after)
        seen = await self.reconciler.run_once()
        await self.reconciler.settle()
        await self.delivery.drain()
        return seen

    def now(self, task: Task) -> Task:
        return self.store.tasks[task.id]


A = encode({"amount": 1})
B = encode({"amount": 5})
