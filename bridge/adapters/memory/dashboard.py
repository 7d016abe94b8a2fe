"""The dashboard store in this process: for tests, and for trying the dashboard without any server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from bridge.adapters.memory.search import MemorySearch
from bridge.adapters.memory.store import MemoryStore
from bridge.adapters.memory.task_counts import MemoryCounts
from bridge.domain.histogram import merged
from bridge.domain.operation import CHUNK, Chunk, Item, Operation, OperationState, Result, Totals
from bridge.domain.records import AuditEntry, AuditFilter, Pause, View
from bridge.domain.statistics import SLOT, WEEK, FailureGroup, Failures, Rollup, Step, counted, reach

_ENDED = frozenset({OperationState.CANCELLED, OperationState.DONE})
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Group:
    group: FailureGroup
    slots: Counter[datetime] = field(default_factory=Counter)


@dataclass(slots=True)
class _Kept:
    operation: Operation
    next_at: datetime
    chunks: list[Chunk]
    look_at: dict[int, datetime] = field(default_factory=dict)


class MemoryDashboardStore(MemorySearch, MemoryCounts):
    """`bridge.ports.dashboard.DashboardStore` on dictionaries, searching the tasks of a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        MemorySearch.__init__(self, store)
        MemoryCounts.__init__(self, store)
        self.audit: list[AuditEntry] = []
        self._rollups: dict[tuple[Step, datetime, str], Rollup] = {}
        self._groups: dict[str, _Group] = {}
        self._views: dict[str, View] = {}
        self._pauses: dict[str, Pause] = {}
        self._operations: dict[str, _Kept] = {}

    # statistics

    async def add(self, rollups: Mapping[Step, Sequence[Rollup]], failures: Sequence[Failures]) -> None:
        for step, rows in rollups.items():
            for row in rows:
                key = (step, row.at, row.topic)
                self._rollups[key] = _sum(self._rollups.get(key), row)
        for failed in failures:
            self._add_failures(failed)

    def _add_failures(self, row: Failures) -> None:
        kept = self._groups.get(row.fingerprint)
        if kept is None:
            group = FailureGroup(row.fingerprint, row.topic, row.error, row.sample, row.first, row.last, 0)
            kept = self._groups[row.fingerprint] = _Group(group)
        kept.group = replace(
            kept.group,
            sample=row.sample,
            last_seen=max(kept.group.last_seen, row.last),
            total=kept.group.total + row.count,
        )
        hour = Step.HOUR.floor(row.first)
        kept.slots[hour + (row.first - hour) // SLOT * SLOT] += row.count

    async def rollups(self, step: Step, since: datetime, topic: str | None = None) -> Sequence[Rollup]:
        found = [
            row
            for (kept, at, name), row in self._rollups.items()
            if kept is step and at >= since and topic in {None, name}
        ]
        return sorted(found, key=lambda row: row.at)

    async def failure_groups(
        self, since: datetime, now: datetime, topic: str | None = None, limit: int = 200, within: timedelta = WEEK
    ) -> Sequence[FailureGroup]:
        found = [
            kept
            for kept in self._groups.values()
            if kept.group.last_seen >= since and topic in {None, kept.group.topic}
        ]
        found.sort(key=lambda kept: kept.group.last_seen, reverse=True)
        since = reach(within, now)
        return [
            counted(kept.group, {at: some for at, some in kept.slots.items() if Step.HOUR.floor(at) > since}, now)
            for kept in found[:limit]
        ]

    async def failure_group(self, fingerprint: str, now: datetime) -> FailureGroup | None:
        kept = self._groups.get(fingerprint)
        return None if kept is None else counted(kept.group, kept.slots, now)

    # views, audit, pauses

    async def views(self) -> Sequence[View]:
        return sorted(self._views.values(), key=lambda view: (view.name, view.id))

    async def save_view(self, view: View) -> None:
        self._views[view.id] = view

    async def delete_view(self, view_id: str) -> bool:
        return self._views.pop(view_id, None) is not None

    async def write(self, entry: AuditEntry) -> None:
        self.audit.append(entry)

    async def entries(
        self, wanted: AuditFilter, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[AuditEntry]:
        found = [
            entry
            for entry in self.audit
            if wanted.who in {None, entry.who}
            and wanted.action in {None, entry.action}
            and wanted.target in {None, entry.target}
            and (wanted.since is None or entry.at >= wanted.since)
            and (wanted.until is None or entry.at < wanted.until)
            and (after is None or (entry.at, entry.id) < after)
        ]
        return sorted(found, key=lambda entry: (entry.at, entry.id), reverse=True)[:limit]

    async def pause(self, pause: Pause) -> None:
        self._pauses[pause.topic] = pause

    async def resume(self, topic: str) -> bool:
        return self._pauses.pop(topic, None) is not None

    async def pauses(self) -> Sequence[Pause]:
        return [pause for _, pause in sorted(self._pauses.items())]

    # tokens

    async def change_tokens(self) -> Mapping[str, str]:
        latest = max(((task.updated_at, task.id) for task in self._store.tasks.values()), default="")
        tasks = str((latest, self._counts))
        workers = str(sorted((replica.id, replica.seen_at) for replica in self._store.heartbeats.values()))
        return {
            "tasks": tasks,
            "topics": tasks + str(sorted(self._pauses.items())),
            "failures": str(
                max(((kept.group.last_seen, kept.group.total) for kept in self._groups.values()), default="")
            ),
            "workers": workers,
            "operations": str([(kept.operation, kept.next_at, kept.look_at) for kept in self._operations.values()]),
            "audit": str(len(self.audit)),
        }

    # operations

    async def create(self, operation: Operation, items: Sequence[Item]) -> bool:
        if operation.id in self._operations:
            return False
        chunks = [
            Chunk(operation.id, place // CHUNK, 0, tuple(items[place : place + CHUNK]))
            for place in range(0, len(items), CHUNK)
        ]
        self._operations[operation.id] = _Kept(operation, operation.created_at, chunks)
        return True

    async def operation(self, operation_id: str) -> Operation | None:
        kept = self._operations.get(operation_id)
        return None if kept is None else replace(kept.operation, totals=_totals(kept.chunks))

    async def operations(self, limit: int, before: tuple[datetime, str] | None = None) -> Sequence[Operation]:
        found = [
            replace(kept.operation, totals=_totals(kept.chunks))
            for kept in self._operations.values()
            if before is None or (kept.operation.created_at, kept.operation.id) < before
        ]
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)[:limit]

    async def items(
        self, operation_id: str, result: Result | None, limit: int, after: int = -1
    ) -> Sequence[tuple[int, Item]]:
        kept = self._operations.get(operation_id)
        every = enumerate(item for chunk in ([] if kept is None else kept.chunks) for item in chunk.items)
        return [(place, item) for place, item in every if place > after and result in {None, item.result}][:limit]

    async def switch(
        self, operation_id: str, sources: Collection[OperationState], to: OperationState, now: datetime
    ) -> bool:
        kept = self._operations.get(operation_id)
        if kept is None or kept.operation.state not in sources:
            return False
        ended = now if to in _ENDED else kept.operation.ended_at
        kept.operation = replace(kept.operation, state=to, ended_at=ended)
        kept.next_at = now
        return True

    async def take(self, now: datetime, until: datetime) -> Operation | None:
        running = [kept for kept in self._operations.values() if kept.operation.state is OperationState.RUNNING]
        due = [kept for kept in running if kept.next_at <= now]
        if not due:
            return None
        taken = min(due, key=lambda kept: kept.next_at)
        taken.next_at = until
        return taken.operation

    async def postpone(self, operation_id: str, taken_until: datetime, next_at: datetime) -> None:
        kept = self._operations[operation_id]
        if kept.next_at == taken_until:
            kept.next_at = next_at

    async def next_chunk(self, operation_id: str) -> Chunk | None:
        chunks = self._operations[operation_id].chunks
        return next((c for c in chunks if any(item.result is Result.PENDING for item in c.items)), None)

    async def record(self, chunk: Chunk, results: Mapping[int, tuple[Result, str | None]], look_at: datetime) -> bool:
        items = list(chunk.items)
        for place, (result, detail) in results.items():
            items[place] = replace(items[place], result=result, detail=detail)
        if not self._change(chunk, items):
            return False
        if any(result is Result.REQUEUED for result, _ in results.values()):
            self._operations[chunk.operation].look_at[chunk.number] = look_at
        return True

    async def take_unsettled(self, now: datetime, until: datetime) -> Chunk | None:
        every = [(at, kept, number) for kept in self._operations.values() for number, at in kept.look_at.items()]
        at, kept, number = min(every, key=lambda one: one[0], default=(_NEVER, None, 0))
        if kept is None or at > now:
            return None
        kept.look_at[number] = until
        return kept.chunks[number]

    async def settle(self, chunk: Chunk, outcomes: Mapping[int, str]) -> bool:
        items = list(chunk.items)
        for place, outcome in outcomes.items():
            items[place] = replace(items[place], outcome=outcome)
        if not self._change(chunk, items):
            return False
        if not any(item.result is Result.REQUEUED and item.outcome is None for item in items):
            self._operations[chunk.operation].look_at.pop(chunk.number, None)
        return True

    def _change(self, chunk: Chunk, items: Sequence[Item]) -> bool:
        chunks = self._operations[chunk.operation].chunks
        if chunks[chunk.number].version != chunk.version:
            return False
        chunks[chunk.number] = replace(chunk, version=chunk.version + 1, items=tuple(items))
        return True


def _sum(kept: Rollup | None, row: Rollup) -> Rollup:
    if kept is None:
        return row
    counts = Counter(kept.counts)
    counts.update(row.counts)
    return Rollup(row.at, row.topic, counts, merged([kept.waiting, row.waiting]), merged([kept.running, row.running]))


def _totals(chunks: Sequence[Chunk]) -> Totals:
    items = [item for chunk in chunks for item in chunk.items]
    results = Counter(item.result for item in items)
    outcomes = Counter(item.outcome for item in items if item.outcome is not None)
    return Totals(
        requeued=results[Result.REQUEUED],
        skipped=results[Result.SKIPPED],
        failed=results[Result.FAILED],
        pending=results[Result.PENDING],
        waiting=results[Result.REQUEUED] - outcomes.total(),
        outcomes=dict(outcomes),
    )
