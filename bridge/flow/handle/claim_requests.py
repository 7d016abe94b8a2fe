"""Claim requests, gathered for the store: requests that come together are one write."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge.domain.errors import TaskUnreadable
from bridge.domain.task import State, Task, TaskKey
from bridge.ports.clock import Clock
from bridge.ports.store import ClaimRequest, TaskStore
from bridge.runtime.batch import Batch


@dataclass(frozen=True, slots=True)
class _Shared:
    """The claim id and moment that requests share, and the tasks that they are for."""

    claim_id: str
    now: datetime
    until: datetime
    tasks: set[str] = field(default_factory=set)


class ClaimBatcher:
    """Makes claim requests, and sends them to the store together: `min_interval` is the least time between two writes.

    Requests of one write share their claim id and their moment, so that the store can write them as one. Two requests
    for one task never share a claim id: with the task's id it names one claim.
    """

    def __init__(
        self, store: TaskStore, clock: Clock, *, replica: str, claim: timedelta, min_interval: timedelta
    ) -> None:
        self._store = store
        self._clock = clock
        self._replica = replica
        self._claim = claim
        self._batch: Batch[ClaimRequest, Task | None] = Batch(
            self._flush, alone=self._put_again, limit=100, min_interval=min_interval
        )
        self._shared: _Shared | None = None

    def make(self, topic: str, key: TaskKey) -> ClaimRequest:
        """Return the request to run the task that a message on the topic's queue names."""
        shared = self._shared
        if shared is None or key.id in shared.tasks:
            now = self._clock.now()
            shared = self._shared = _Shared(secrets.token_hex(16), now, now + self._claim)
        shared.tasks.add(key.id)
        return ClaimRequest(topic, key, shared.claim_id, self._replica, shared.now, shared.until)

    def again(self, request: ClaimRequest) -> ClaimRequest:
        """Return the request to send again, under the same id: the first may have been granted."""
        now = self._clock.now()
        return replace(request, now=now, until=now + self._claim)

    async def put(self, request: ClaimRequest) -> Task | None:
        """Return the claimed task or None, and raise, as `TaskStore.claim` does."""
        return await self._batch.put(request)

    async def _put_again(self, request: ClaimRequest) -> Task | None:
        (task,) = await self._store.claim([request])
        return await self.granted(request) if task is None else task

    async def granted(self, request: ClaimRequest) -> Task | None:
        """Return the task of a request that was granted without an answer; None where no such claim holds."""
        try:
            found = await self._store.get(request.key.id)
        except TaskUnreadable:  # its claim is given back
            return None
        ours = found is not None and found.claim_id == request.claim_id and found.state is State.RUNNING
        return found if ours else None

    async def _flush(self, requests: Sequence[ClaimRequest]) -> Sequence[Task | None]:
        self._shared = None
        return await self._store.claim(requests)
