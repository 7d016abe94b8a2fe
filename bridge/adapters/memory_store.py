"""A store that keeps tasks in this process: for tests, and for trying a topic without any server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from bridge.adapters.task_codec import moved_back, read_back
from bridge.dead_letter import DeadLetter
from bridge.engine_identity import EngineIdentity
from bridge.lifecycle import Event, Move, apply, claim_of, lease_anew, refetch
from bridge.ports import Claim
from bridge.ports_reader import Page, Statistics, TaskFilter
from bridge.replica import Replica
from bridge.task import Source, State, Task, TaskKey

WAITING_CAP = 10_000


class MemoryStore:
    """`TaskStore`, `TaskReader`, `Replicas` and `Records` on dictionaries, by the one transition table.

    What is kept goes through BSON and back, as on its way to MongoDB: what that can't hold is refused here as well.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.records: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.beats: dict[str, Replica] = {}
        self.letters: dict[str, DeadLetter] = {}
        self.identity: EngineIdentity | None = None

    async def accept(self, tasks: Sequence[Task]) -> Sequence[Task | None]:
        return [self._accept(task) for task in [read_back(task) for task in tasks]]

    def _accept(self, task: Task) -> Task | None:
        known = self.tasks.get(task.id)
        if known is None:
            self.tasks[task.id] = task
            return task
        if task.source is Source.PUSHED:
            return None
        kept = self._apply(refetch(task))
        if kept is not None:
            return kept
        anew = lease_anew(known, task)
        return None if anew is None else self._apply(anew)

    def _apply(self, move: Move) -> Task | None:
        task = self.tasks.get(move.task_id)
        moved = None if task is None else apply(task, move)
        if moved is not None:
            self.tasks[move.task_id] = moved
        return moved

    async def move(self, moves: Sequence[Move]) -> Sequence[bool]:
        return [self._apply(move) is not None for move in [moved_back(move) for move in moves]]

    async def confirm(self, keys: Sequence[TaskKey], now: datetime, next_at: datetime) -> None:
        for key in keys:
            self._apply(Move(key.id, Event.CONFIRM, key.epoch, changes={"updated_at": now, "next_at": next_at}))

    async def claim(self, claims: Sequence[Claim]) -> Sequence[Task | None]:
        return [
            self._apply(claim_of(claim.key, claim.claim_id, claim.replica, claim.now, claim.until)) for claim in claims
        ]

    async def get(self, task_id: str) -> Task | None:
        return self.tasks.get(task_id)

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[Task]:
        return [self.tasks[task_id] for task_id in task_ids if task_id in self.tasks]

    async def due(self, now: datetime, limit: int) -> Sequence[Task]:
        overdue = [task for task in self.tasks.values() if task.next_at is not None and task.next_at <= now]
        return sorted(overdue, key=lambda task: (task.next_at, task.id))[:limit]

    async def waiting(self) -> int:
        return min(WAITING_CAP, sum(task.state is State.RECEIVED for task in self.tasks.values()))

    async def waiting_by_topic(self) -> Mapping[str, int]:
        received = (task.topic for task in self.tasks.values() if task.state is State.RECEIVED)
        return Counter(islice(received, WAITING_CAP))

    async def unstarted(self, replica: str, limit: int) -> Sequence[Task]:
        early = {State.RECEIVED, State.QUEUED}
        return [t for t in self.tasks.values() if t.state in early and t.replica == replica][:limit]

    async def beat(self, replica: Replica) -> None:
        self.beats[replica.id] = replica

    async def replicas(self, since: datetime) -> Sequence[Replica]:
        return [replica for _, replica in sorted(self.beats.items()) if replica.seen_at >= since]

    async def leave(self, replica_id: str) -> None:
        self.beats.pop(replica_id, None)

    async def keep_dead_letter(self, letter: DeadLetter) -> None:
        self.letters[letter.id] = letter

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        return sorted(self.letters.values(), key=lambda letter: letter.found_at, reverse=True)[:limit]

    async def engine_identity(self) -> EngineIdentity | None:
        return self.identity

    async def keep_engine_identity(self, identity: EngineIdentity) -> None:
        self.identity = identity

    async def page(self, wanted: TaskFilter, limit: int, after: tuple[datetime, str] | None = None) -> Page:
        found = sorted(
            (task for task in self.tasks.values() if _matches(task, wanted)),
            key=lambda task: (task.created_at, task.id),
            reverse=True,
        )
        if after is not None:
            found = [task for task in found if (task.created_at, task.id) < after]
        tasks = tuple(found[:limit])
        return Page(tasks, (tasks[-1].created_at, tasks[-1].id) if len(found) > limit else None)

    async def statistics(self) -> Statistics:
        return Statistics(
            total=len(self.tasks),
            by_state=Counter(task.state.value for task in self.tasks.values()),
            by_topic=Counter(task.topic for task in self.tasks.values()),
        )

    async def put_once(self, kind: str, key: str, record: Mapping[str, Any]) -> tuple[str, bool]:
        new = (kind, key) not in self.records
        self.records.setdefault((kind, key), dict(record))
        return key, new


def _matches(task: Task, wanted: TaskFilter) -> bool:
    return (
        (not wanted.states or task.state in wanted.states)
        and (not wanted.topics or task.topic in wanted.topics)
        and (wanted.source is None or task.source is wanted.source)
        and (wanted.business_key is None or task.business_key == wanted.business_key)
        and (wanted.process_instance_id is None or task.process_instance_id == wanted.process_instance_id)
        and (wanted.since is None or task.created_at >= wanted.since)
        and (wanted.until is None or task.created_at < wanted.until)
    )
