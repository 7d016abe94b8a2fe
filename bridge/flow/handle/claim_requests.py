"""Wishes to run tasks, gathered for the store: what is wished together is one write."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge.domain.errors import TaskUnreadable
from bridge.domain.task import State, Task, TaskKey
from bridge.ports.clock import Clock
from bridge.ports.store import Claim, TaskStore
from bridge.runtime.batch import Batch


@dataclass(frozen=True, slots=True)
class _Together:
    """What wishes have in common, and the tasks they are for."""

    claim_id: str
    now: datetime
    until: datetime
    tasks: set[str] = field(default_factory=set)


class Wishes:
    """Makes wishes, and puts them to the store together: `rest` is the least time between two such writes.

    Those that go together have their claim id and their moment in common, so that the store has the same to write for
    all of them. No two for the same task have the same claim id: with the task's id it names one claim.
    """

    def __init__(self, store: TaskStore, clock: Clock, *, replica: str, claim: timedelta, rest: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._replica = replica
        self._claim = claim
        self._batch: Batch[Claim, Task | None] = Batch(self._flush, alone=self._put_again, limit=100, rest=rest)
        self._together: _Together | None = None

    def make(self, topic: str, key: TaskKey) -> Claim:
        """Return the wish to run the task that a message on the topic's queue names."""
        together = self._together
        if together is None or key.id in together.tasks:
            now = self._clock.now()
            together = self._together = _Together(secrets.token_hex(16), now, now + self._claim)
        together.tasks.add(key.id)
        return Claim(topic, key, together.claim_id, self._replica, together.now, together.until)

    def again(self, wish: Claim) -> Claim:
        """Return the wish as it is to be put once more, now: under its own id, as the first may have been granted."""
        now = self._clock.now()
        return replace(wish, now=now, until=now + self._claim)

    async def put(self, wish: Claim) -> Task | None:
        """Return the task as claimed, or None, as `TaskStore.claim` does. Raises what that raises."""
        return await self._batch.put(wish)

    async def _put_again(self, wish: Claim) -> Task | None:
        (task,) = await self._store.claim([wish])
        return await self.granted(wish) if task is None else task

    async def granted(self, wish: Claim) -> Task | None:
        """Return the task of a wish that was granted without an answer; None where it wasn't, or no longer stands."""
        try:
            found = await self._store.get(wish.key.id)
        except TaskUnreadable:  # its claim is given back
            return None
        ours = found is not None and found.claim_id == wish.claim_id and found.state is State.RUNNING
        return found if ours else None

    async def _flush(self, wishes: Sequence[Claim]) -> Sequence[Task | None]:
        self._together = None
        return await self._store.claim(wishes)
