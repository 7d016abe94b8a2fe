"""The engine as far as the life of a task depends on it: who holds which lock, and what it took from whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from bridge.domain.task import Failure, Outcome

LOCK = timedelta(seconds=60)
THIEF = "thief"


class Answer(Enum):
    """How the engine's answer to a report comes about."""

    GIVEN = "given"
    LOST = "lost"
    REFUSED = "refused"
    NO_LOG = "no_log"


@dataclass(slots=True)
class Lock:
    """An external task as the engine has it: who locked it last, until when, the retries left, and its instance."""

    worker: str | None = None
    until: datetime | None = None
    retries: int | None = None
    instance: str = "i1"


@dataclass(slots=True)
class Engine:
    """Open tasks, who ended those that are gone, and how many results each took.

    `lost` are the ids of which its database, put back, forgot what became of them. Without `logs` nobody is told who
    ended what.
    """

    open: dict[str, Lock] = field(default_factory=dict)
    ended_by: dict[str, str | None] = field(default_factory=dict)
    results: Counter[str] = field(default_factory=Counter)
    instances: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    logs: bool = True

    def is_free(self, task_id: str, now: datetime) -> bool:
        lock = self.open[task_id]
        return lock.until is None or lock.until <= now

    def offers(self, now: datetime) -> list[str]:
        return [name for name, lock in self.open.items() if lock.retries != 0 and self.is_free(name, now)]

    def stolen(self) -> list[str]:
        return [name for name, lock in self.open.items() if lock.worker == THIEF]

    def lock(self, task_id: str, worker: str, now: datetime) -> None:
        self.open[task_id].worker, self.open[task_id].until = worker, now + LOCK

    def unlock(self, task_id: str, worker: str) -> None:
        """Give a lock back, if it is still the worker's."""
        if task_id in self.open and self.open[task_id].worker == worker:
            self.open[task_id].until = None

    def extend(self, task_id: str, worker: str, now: datetime) -> int:
        """Extend a lock; one that ran out and that nobody took is locked anew."""
        if task_id not in self.open:
            return 404
        if self.open[task_id].worker != worker:
            return 400
        self.lock(task_id, worker, now)
        return 204

    def end(self, task_id: str, worker: str | None) -> None:
        self.instances[task_id] = self.open.pop(task_id).instance
        self.ended_by[task_id] = worker

    def put_back(self, task_id: str) -> None:
        """Have a task open that had ended, as a database of before has it."""
        del self.ended_by[task_id]
        self.open[task_id] = Lock(instance=self.instances[task_id])
        self.results[task_id] = 0
        self.lost.add(task_id)

    def give_id_again(self, task_id: str, instance: str) -> None:
        """Have another task under the id."""
        self.open.pop(task_id, None)
        self.ended_by.pop(task_id, None)
        self.open[task_id] = Lock(instance=instance)
        self.results[task_id] = 0
        self.lost.add(task_id)

    def report(self, task_id: str, worker: str, outcome: Outcome, now: datetime) -> int:
        if task_id not in self.open:
            return 404
        if self.open[task_id].worker != worker:
            return 400
        if isinstance(outcome, Failure):
            self.open[task_id].retries, self.open[task_id].until = outcome.retries, now + outcome.retry_after
        else:
            self.results[task_id] += 1
            self.end(task_id, worker)
        return 204
