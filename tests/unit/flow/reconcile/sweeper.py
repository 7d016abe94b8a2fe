"""What looks at due tasks, on the lab of the flow."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bridge.adapters.memory.broker import MemoryBroker
from bridge.domain.task import State, Task
from bridge.flow.reconcile.offer import Offer
from bridge.flow.reconcile.reconcile import ALL, ReconcilePolicy, Reconciler
from bridge.flow.submit import Submit
from bridge.ports.engine import EngineTask
from tests.unit.fakes import NOW, SECOND
from tests.unit.flow_lab import Lab

STALE = 60 * SECOND
LOST_CLAIMS = 3


class Sweeper:
    """A lab with what looks at due tasks; `nudged` has the topics for which a fetch was asked."""

    def __init__(
        self,
        lab: Lab | None = None,
        broker: MemoryBroker | None = None,
        states: Collection[State] = ALL,
        **policy: Any,
    ) -> None:
        self.lab = lab or Lab()
        if broker is not None:
            self.lab.broker = broker
            self.lab.relay._publisher = broker
        self.nudged: list[Collection[str]] = []
        self.reacquired: list[str] = []
        self.sees_renewals = True
        self.reconciler = self.another(states, **policy)

    def another(self, states: Collection[State] = ALL, **policy: Any) -> Reconciler:
        lab = self.lab
        submit = Submit(
            engine=lab.engine,
            store=lab.store,
            relay=lab.relay,
            lease=lab.lease,
            topics=lab.topics,
            clock=lab.clock,
            journal=lab.notes,
            retry_limit=3,
            publish_within=10 * SECOND,
            size_of=lambda task: 1,
            size_limit=100,
            replica="r1",
        )
        return Reconciler(
            store=lab.store,
            engine=lab.engine,
            offer=Offer(lab.engine, lab.store, lab.clock, lab.notes, lab.delivery.end_of),
            reacquire=self._reacquire,
            publisher=lab.broker,
            relay=lab.relay,
            delivery=lab.delivery,
            submit=submit,
            lease=lab.lease,
            nudge=self.nudged.append,
            sees_renewals=lambda: self.sees_renewals,
            clock=lab.clock,
            journal=lab.notes,
            replica="r1",
            states=states,
            policy=ReconcilePolicy(STALE, LOST_CLAIMS, **policy),
        )

    async def _reacquire(self, task: Task, found: EngineTask) -> None:
        self.reacquired.append(task.id)

    async def sweep(self) -> int:
        """Look once, and wait for what that began."""
        seen = await self.reconciler.run_once()
        await self.reconciler.settle()
        await self.lab.delivery.drain()
        return seen

    async def due(self, state: State, **fields: Any) -> Task:
        """Return a task that is due in that state."""
        task = await self.lab.task()
        return self.lab.put(task, state=state, **{"next_at": self.lab.clock.now(), **fields})

    async def lost(self, **fields: Any) -> Task:
        """Return a task whose claim has expired: its process is gone."""
        claim: dict[str, Any] = {"claim_id": "c1", "attempts": 1, "claimed_at": NOW, "replica": "dead"}
        return await self.due(State.RUNNING, **{**claim, **fields})

    @property
    def published(self) -> list[str]:
        return [key.id for _, key in self.lab.broker.published]
