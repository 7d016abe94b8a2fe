"""A store that keeps tasks in this process: for tests, and for trying a topic without any server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import bson
from pydantic_core import to_jsonable_python

from bridge.documents.payload import PAYLOAD
from bridge.documents.task_codec import moved_back, read_back, read_document, to_document
from bridge.domain.dead_letter import DeadLetter
from bridge.domain.engine_identity import EngineIdentity
from bridge.domain.errors import TaskUnreadable
from bridge.domain.lifecycle import Event, Move, apply, claim_of, lease_anew, refetch
from bridge.domain.replica import Replica
from bridge.domain.schema import SchemaVersion
from bridge.domain.task import UNREADABLE_LOOK, Source, State, Task, TaskKey, UnreadableTask
from bridge.ports.reader import Page, Statistics, TaskFilter
from bridge.ports.store import ClaimRequest, Due

WAITING_CAP = 10_000
_FENCES = frozenset({"state", "epoch", "claim_id"})
_PAYLOAD = PAYLOAD | {"history"}


class MemoryStore:
    """`TaskStore`, `TaskReader`, `Replicas` and `Records` on dictionaries, by the one transition table.

    What is kept goes through BSON and back, as on its way to MongoDB: what that can't hold is refused here as well.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.records: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.heartbeats: dict[str, Replica] = {}
        self.letters: dict[str, DeadLetter] = {}
        self.identity: EngineIdentity | None = None
        self.spoiled: dict[str, dict[str, Any]] = {}
        """Fields that tasks' documents have otherwise than this version would write them; None: not at all."""
        self.aside: set[str] = set()
        """What was set aside, as it can't be read."""
        self.on_unreadable: Callable[[UnreadableTask], None] = ignore_unreadable
        self.schema = self.kept_schema = SchemaVersion()

    async def check_schema(self) -> None:
        self.schema.require(self.kept_schema)

    async def replica_set(self) -> str | None:
        """Return None: what is here is kept once."""
        return None

    async def accept(self, tasks: Sequence[Task]) -> Sequence[Task | None]:
        accepted = [self._accept(task) for task in [read_back(task) for task in tasks]]
        read = [None if task is None else self._read(task) for task in accepted]
        return [each if isinstance(each, Task) else None for each in read]

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
        spoiled = self.spoiled.get(move.task_id, {})
        if moved is None or not _FENCES.isdisjoint(spoiled):
            return None
        self.tasks[move.task_id] = moved
        for name in move.changes.keys() & spoiled.keys():
            del spoiled[name]
        return moved

    async def move(self, moves: Sequence[Move]) -> Sequence[bool]:
        return [self._apply(move) is not None for move in [moved_back(move) for move in moves]]

    async def confirm(self, keys: Sequence[TaskKey], now: datetime, next_at: datetime) -> None:
        for key in keys:
            self._apply(Move(key.id, Event.CONFIRM, key.epoch, changes={"updated_at": now, "next_at": next_at}))

    async def claim(self, claims: Sequence[ClaimRequest]) -> Sequence[Task | None]:
        return [self._claim(claim) for claim in claims]

    def _claim(self, claim: ClaimRequest) -> Task | None:
        before = self.tasks.get(claim.key.id)
        move = claim_of(claim.topic, claim.key, claim.claim_id, replica=claim.replica, now=claim.now, until=claim.until)
        task = self._apply(move)
        found = None if task is None else self._read(task)
        if isinstance(found, UnreadableTask) and before is not None:
            counted = {"attempts": before.attempts, "lost_claims": before.lost_claims}
            self._apply(Move(claim.key.id, Event.LOSE_CLAIM, claim.key.epoch, claim.claim_id, counted))
            self._set_aside(found.id, claim.now + UNREADABLE_LOOK)
            return None
        return task

    async def topic_of(self, task_id: str) -> str | None:
        task = self.tasks.get(task_id)
        topic = None if task is None else self.spoiled.get(task_id, {}).get("topic", task.topic)
        return topic if isinstance(topic, str) else None

    async def get(self, task_id: str) -> Task | None:
        """Return the task; None where none is kept. Raises `TaskUnreadable`."""
        found = self._read(self.tasks[task_id]) if task_id in self.tasks else None
        if isinstance(found, UnreadableTask):
            raise TaskUnreadable(found)
        return found

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[Task]:
        return self._readable(self.tasks[task_id] for task_id in task_ids if task_id in self.tasks)

    async def due(self, state: State | None, now: datetime, limit: int) -> Due:
        overdue = [task for task in self.tasks.values() if task.next_at is not None and task.next_at <= now]
        there = [task for task in overdue if _is_in(self.state_of(task), state)]
        ordered = sorted(there, key=lambda task: (task.next_at, task.id))
        light = state is not State.REPORTING
        read: list[Task | UnreadableTask] = []
        for task in ordered[:limit]:
            # What was set aside may be so for its payload.
            whole = self._read(task) if not light or task.id in self.aside else task
            read.append(self.read(task, light=light) if isinstance(whole, Task) else whole)
        tasks = tuple(each for each in read if isinstance(each, Task))
        return Due(tasks, tuple(each for each in read if isinstance(each, UnreadableTask)))

    async def set_aside(self, found: Sequence[UnreadableTask], until: datetime) -> None:
        for each in found:
            if self.tasks[each.id].next_at == each.document["next_at"]:
                self._set_aside(each.id, until)

    def _set_aside(self, task_id: str, until: datetime) -> None:
        self.tasks[task_id] = self.tasks[task_id].changed(next_at=until)
        self.aside.add(task_id)

    def state_of(self, task: Task) -> object:
        """Return the state as the task's document has it."""
        return self.spoiled.get(task.id, {}).get("state", task.state.value)

    def read(self, task: Task, *, light: bool = False) -> Task | UnreadableTask:
        """Return the task as its document is read; `light`: without payload."""
        spoiled = self.spoiled.get(task.id)
        if spoiled is None:
            return task.changed(variables={}, given=None, outcome=None, history=()) if light else task
        document = {**to_document(task), **spoiled}
        found = read_document({name: document[name] for name in document.keys() - (_PAYLOAD if light else set())})
        if isinstance(found, UnreadableTask):
            self.on_unreadable(found)
        return found

    def _read(self, task: Task) -> Task | UnreadableTask:
        found = self.read(task)
        if isinstance(found, Task):
            self.aside.discard(task.id)
        return found

    def _readable(self, tasks: Iterable[Task]) -> list[Task]:
        return [found for found in map(self._read, tasks) if isinstance(found, Task)]

    async def waiting(self) -> int:
        return min(WAITING_CAP, sum(task.state is State.RECEIVED for task in self.tasks.values()))

    async def waiting_by_topic(self) -> Mapping[str, int]:
        received = (task.topic for task in self.tasks.values() if task.state is State.RECEIVED)
        return Counter(islice(received, WAITING_CAP))

    async def unstarted(self, replica: str, limit: int) -> Sequence[Task]:
        early = {State.RECEIVED, State.QUEUED}
        found = [t for t in self.tasks.values() if t.state in early and t.replica == replica][:limit]
        return [task for task in (self.read(each, light=True) for each in found) if isinstance(task, Task)]

    async def heartbeat(self, replica: Replica) -> None:
        self.heartbeats[replica.id] = replica

    async def replicas(self, since: datetime) -> Sequence[Replica]:
        return [replica for _, replica in sorted(self.heartbeats.items()) if replica.seen_at >= since]

    async def leave(self, replica_id: str) -> None:
        self.heartbeats.pop(replica_id, None)

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
        last = found[limit - 1] if len(found) > limit else None
        tasks = tuple(self.read(task, light=True) for task in found[:limit])
        return Page(tasks, None if last is None else (last.created_at, last.id))

    async def count_of(self, state: State) -> int:
        """Count the tasks in a state, up to `WAITING_CAP`."""
        return min(WAITING_CAP, sum(task.state is state for task in self.tasks.values()))

    async def oldest(self, state: State) -> datetime | None:
        """Return when the oldest task in a state was accepted."""
        tasks = [task for task in self.tasks.values() if task.state is state]
        moments = (self.spoiled.get(task.id, {}).get("created_at", task.created_at) for task in tasks)
        return min((moment for moment in moments if isinstance(moment, datetime)), default=None)

    async def incidents(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Count the incidents of these topics, without zeros."""
        failed = (task.topic for task in self.tasks.values() if task.state is State.FAILED and task.topic in topics)
        return Counter(islice(failed, WAITING_CAP))

    async def statistics(self) -> Statistics:
        return Statistics(
            total=len(self.tasks),
            by_state=Counter(task.state.value for task in self.tasks.values()),
            by_topic=Counter(task.topic for task in self.tasks.values()),
        )

    async def put_once(self, kind: str, key: str, record: Mapping[str, Any]) -> tuple[str, bool]:
        kept = bson.decode(bson.encode(to_jsonable_python(record)))
        new = (kind, key) not in self.records
        self.records.setdefault((kind, key), kept)
        return key, new


def ignore_unreadable(_found: UnreadableTask) -> None:
    """Do nothing, where nobody is to be told."""


def _is_in(stored: object, state: State | None) -> bool:
    return stored not in set(State) if state is None else stored == state.value


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
