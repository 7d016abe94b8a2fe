"""The claims that this process holds, each with the handler that runs under it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from bridge.domain.replica import Load
from bridge.domain.task import Outcome, Task

_WEIGHT = 0.1
"""The weight of one run in the moving mean of a topic's times."""


UNWIND: Final = 3.0
"""Seconds that a cancelled handler has to end."""


class HandlerCancelled(Exception):
    """The handler, or something that it awaited, raised `CancelledError`; the gateway had not cancelled it."""


class Claim:
    """A task that this process may work on until the claim is lost; other tasks may have the same claim id."""

    def __init__(self, task: Task, claim_id: str, now: datetime) -> None:
        self.task = task
        self.claim_id = claim_id
        self.started_at = now
        self.lease_until = task.lease_until
        self.lost: str | None = None
        self._work: asyncio.Task[Outcome] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The claim's name: the task's id and the claim id."""
        return self.task.id, self.claim_id

    async def run(self, work: asyncio.Task[Outcome]) -> Outcome | None:
        """Wait for the handler; None where the claim was lost meanwhile, which cancels the handler.

        A cancellation of this call cancels the handler, and waits `UNWIND` at the longest for its end.
        Raises `HandlerCancelled` where the handler ended as cancelled without a cancellation of this call or a loss.
        """
        self._work = work
        if self.lost is not None:
            work.cancel()
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait({work}, timeout=UNWIND)
            raise
        if self.lost is not None:
            return None
        try:
            return work.result()
        except asyncio.CancelledError as error:
            raise HandlerCancelled("the handler was cancelled from within") from error

    @property
    def decided(self) -> bool:
        """Whether the handler has ended: from then on only the write of its outcome decides about the claim."""
        return self._work is not None and self._work.done()

    def lose(self, why: str) -> None:
        """Cancel the handler: its outcome would be refused."""
        if self.lost is None:
            self.lost = why
            if self._work is not None:
                self._work.cancel()


class Claims:
    """All claims of this process, and how long its topics' runs take.

    `slots` has each topic's concurrency; `stuck` returns how many of those slots stuck threads hold, by topic.
    """

    def __init__(
        self, slots: Mapping[str, int], stuck: Callable[[], Mapping[str, int]] = lambda: MappingProxyType({})
    ) -> None:
        self._slots = slots
        self._stuck = stuck
        self._held: dict[tuple[str, str], Claim] = {}
        self._seconds: dict[str, float] = {}
        self._occupied: dict[str, float] = {}

    def __iter__(self) -> Iterator[Claim]:
        return iter(tuple(self._held.values()))

    def __contains__(self, claim: Claim) -> bool:
        return self._held.get(claim.key) is claim

    def __len__(self) -> int:
        return len(self._held)

    def add(self, claim: Claim) -> None:
        """Hold a claim until `drop`."""
        self._held[claim.key] = claim

    def drop(self, claim: Claim) -> None:
        """Let go of a claim."""
        self._held.pop(claim.key, None)

    def measure(self, topic: str, seconds: float) -> None:
        """Count the time of one run."""
        _learn(self._seconds, topic, seconds)

    def occupy(self, topic: str, seconds: float) -> None:
        """Count the time for which one task took a slot, whatever became of it."""
        _learn(self._occupied, topic, seconds)

    def loads(self) -> dict[str, Load]:
        """Return the load of each topic."""
        running, stuck = [claim.task.topic for claim in self._held.values()], self._stuck()
        return {
            topic: Load(
                slots - stuck.get(topic, 0),
                running.count(topic),
                self._seconds.get(topic),
                self._occupied.get(topic),
                stuck.get(topic, 0),
            )
            for topic, slots in self._slots.items()
        }


def _learn(means: dict[str, float], topic: str, seconds: float) -> None:
    mean = means.get(topic)
    means[topic] = seconds if mean is None else mean + _WEIGHT * (seconds - mean)
