"""Operations on many tasks, in the background: previewed exactly, fixed at confirmation, with a result for each item.

A replica takes an operation for one step at a time, by compare-and-set, so any number of replicas may run this. A
replica that is killed in a step leaves items that were retried and not written down: the replica that repeats the step
sees by the task itself that this operation did so, and does not retry it twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ulid import ULID

from bridge.domain.errors import (
    EngineRejected,
    EngineUnavailable,
    OperationConflict,
    Refusal,
    TaskConflict,
    TaskUnreadable,
    UnacceptableTask,
    UnknownTask,
)
from bridge.domain.messages import message
from bridge.domain.operation import (
    MOST,
    SWITCHED_FROM,
    Chunk,
    Item,
    Operation,
    OperationKind,
    OperationState,
    Preview,
    Result,
    Row,
)
from bridge.domain.records import AuditEntry
from bridge.domain.task import State
from bridge.flow.edit_check import GATEWAY
from bridge.operations.actions import ShownVersion
from bridge.operations.retry import Operate
from bridge.ports.clock import Clock
from bridge.ports.dashboard import Operations, TaskSearch, TooSlow
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore
from bridge.search.grammar import to_text
from bridge.search.query import Query

SAMPLES: Final = 10
MOST_RATE: Final = 500


@dataclass(frozen=True, slots=True)
class BulkConfig:
    """`lease`: how long a replica holds a step. `slice`: the most items of a step. `at_once`: how many of them are sent
    to the engine side by side. `look`: how often the results of requeued tasks are read. `away`: how long an engine
    that doesn't answer is left alone. `idle`: how often the store is read while there is nothing to do, and so how
    long another replica may take to see a new operation."""

    lease: timedelta = timedelta(seconds=60)
    slice: int = 250
    at_once: int = 8
    look: timedelta = timedelta(seconds=5)
    away: timedelta = timedelta(seconds=10)
    idle: timedelta = timedelta(seconds=2)


class Bulk:
    """Previews, starts, controls and runs bulk operations."""

    def __init__(
        self,
        *,
        operations: Operations,
        search: TaskSearch,
        store: TaskStore,
        operate: Operate,
        audit: Callable[[AuditEntry], Awaitable[None]],
        clock: Clock,
        journal: Journal,
        replica: str,
        config: BulkConfig = BulkConfig(),
    ) -> None:
        self._operations = operations
        self._search = search
        self._store = store
        self._operate = operate
        self._audit = audit
        self._replica = replica
        self._clock = clock
        self._journal = journal
        self._config = config
        self._idle_until: datetime | None = None

    async def preview(self, wanted: Query | Sequence[str]) -> Preview | TooSlow:
        """Return exactly which tasks of a query, or of these ids, an operation would change; nothing is changed."""
        chosen = await self._choose(wanted)
        if isinstance(chosen, TooSlow):
            return chosen
        rows, capped = chosen
        eligible = [row for row in rows if row.state is State.FAILED]
        unknown = 0 if not isinstance(wanted, Sequence) else len(set(wanted)) - len(rows)
        return Preview(
            total=len(rows),
            capped=capped,
            eligible=len(eligible),
            by_state=Counter(row.state for row in rows),
            by_topic=Counter(row.topic for row in rows),
            by_error=Counter(row.error_type or "" for row in rows),
            samples=tuple((eligible or rows)[:SAMPLES]),
            unknown=unknown,
        )

    async def start(
        self,
        wanted: Query | Sequence[str],
        *,
        reason: str,
        by: str,
        rate: int,
        expected: int,
        operation_id: str | None = None,
        confirmed: Callable[[Operation, int], Awaitable[None]] | None = None,
    ) -> Operation | TooSlow:
        """Fix which tasks are retried, and begin. `expected` is the number of eligible tasks that the preview showed.

        `confirmed` is called with the operation and the number of its tasks before any replica can see it, to write an
        audit entry; nothing begins where that fails.

        An operation with this id that exists already is returned: a form that is sent twice starts one operation.
        Raises `OperationConflict` where there are more or fewer tasks by now, and `UnacceptableTask` without a reason
        or rate.
        """
        known = None if operation_id is None else await self._operations.operation(operation_id)
        if known is not None:
            return known
        if not reason.strip():
            raise UnacceptableTask(message("operation.reason"))
        if not 1 <= rate <= MOST_RATE:
            raise UnacceptableTask(message("operation.rate", most=MOST_RATE, rate=rate))
        chosen = await self._choose(wanted)
        if isinstance(chosen, TooSlow):
            return chosen
        rows, _ = chosen
        items = [Item(row.id, row.epoch) for row in rows if row.state is State.FAILED]
        if len(items) != expected:
            raise OperationConflict(message("operation.changed", count=len(items), expected=expected))
        if not items:
            raise OperationConflict(message("operation.none"))
        query = f"{len(rows)} chosen" if isinstance(wanted, Sequence) else to_text(wanted)
        now, skipped = self._clock.now(), len(rows) - len(items)
        operation = Operation(
            operation_id or str(ULID()), OperationKind.RETRY, query, reason.strip(), by, rate, now, ineligible=skipped
        )
        if confirmed is not None:
            await confirmed(operation, len(items))
        self._idle_until = None
        if not await self._operations.create(operation, items):
            return await self._begun(operation.id)
        self._journal.write("operation_started", operation=operation.id, tasks=len(items), by=by, reason=reason)
        found = await self._operations.operation(operation.id)
        return operation if found is None else found

    async def _begun(self, operation_id: str) -> Operation:
        """Return the operation that the same form started when it was sent before, or at the same time."""
        found = await self._operations.operation(operation_id)
        if found is None:
            raise OperationConflict(message("operation.starting"))
        return found

    async def switch(self, operation_id: str, to: OperationState) -> bool:
        """Pause, resume or cancel an operation after the step under way; False where its state forbids that.

        A paused or cancelled operation leaves its pending tasks as they are.
        """
        happened = await self._operations.switch(operation_id, SWITCHED_FROM[to], to, self._clock.now())
        self._idle_until = None
        if happened:
            self._journal.write("operation_state_changed", operation=operation_id, to=to.value)
        return happened

    async def run_once(self) -> int:
        """Do one step of an operation that is due, and read results; return how many items were done."""
        now = self._clock.now()
        if self._idle_until is not None and now < self._idle_until:
            return 0
        until = now + self._config.lease
        operation = await self._operations.take(now, until)
        done = 0 if operation is None else await self._step(operation, now, until)
        settled = await self._settle(now)
        self._idle_until = now + self._config.idle if operation is None and not settled else None
        return done

    async def _choose(self, wanted: Query | Sequence[str]) -> tuple[Sequence[Row], bool] | TooSlow:
        if isinstance(wanted, Sequence):
            ids = list(dict.fromkeys(wanted))[:MOST]
            return await self._search.rows(ids), len(set(wanted)) > MOST
        found = await self._search.select(wanted, MOST, now=self._clock.now())
        return found if isinstance(found, TooSlow) else (found.rows, found.more)

    async def _step(self, operation: Operation, now: datetime, until: datetime) -> int:
        chunk = await self._operations.next_chunk(operation.id)
        if chunk is None:
            await self._end(operation, now)
            return 0
        size = min(self._config.slice, operation.rate)
        places = [place for place, item in enumerate(chunk.items) if item.result is Result.PENDING][:size]
        results = await self._work_off(operation, chunk, places)
        if results and await self._operations.record(chunk, results, self._clock.now() + self._config.look):
            self._journal.write("operation_progressed", operation=operation.id, level=Level.DEBUG, items=len(results))
        # The engine did not answer: the other items stay pending, for a little later.
        away = len(results) < len(places)
        pause = self._config.away if away else timedelta(seconds=len(results) / operation.rate)
        await self._operations.postpone(operation.id, until, now + pause)
        return len(results)

    async def _end(self, operation: Operation, now: datetime) -> None:
        """End an operation that is done. The audit entry comes first: a kill in between leaves two, never none."""
        found = await self._operations.operation(operation.id) or operation
        totals = found.totals
        after = {"requeued": totals.requeued, "skipped": totals.skipped, "failed": totals.failed}
        entry = AuditEntry(
            str(ULID()), now, GATEWAY, GATEWAY, self._replica, "operation.done", f"operation:{operation.id}",
            reason=operation.reason, after=after,
        )  # fmt: skip
        await self._audit(entry)
        await self._operations.switch(operation.id, {OperationState.RUNNING}, OperationState.DONE, now)
        self._journal.write("operation_done", operation=operation.id)

    async def _work_off(
        self, operation: Operation, chunk: Chunk, places: Sequence[int]
    ) -> dict[int, tuple[Result, str | None]]:
        slots = asyncio.Semaphore(self._config.at_once)
        found: dict[int, tuple[Result, str | None]] = {}
        away: list[EngineUnavailable] = []

        async def one(place: int) -> None:
            async with slots:
                if away:
                    return
                try:
                    found[place] = await self._retry(operation, chunk.items[place])
                except EngineUnavailable as error:
                    away.append(error)

        async with asyncio.TaskGroup() as group:
            for place in places:
                group.create_task(one(place))
        if away:
            self._journal.write("operation_waits", operation=operation.id, level=Level.WARNING, error=str(away[0]))
        return found

    async def _retry(self, operation: Operation, item: Item) -> tuple[Result, str | None]:
        shown = ShownVersion(State.FAILED, item.epoch)
        try:
            await self._operate.retry(item.task_id, shown, operation=operation.id)
        except TaskConflict as conflict:
            task = await self._store.get(item.task_id)
            if task is not None and task.operation == operation.id:
                return Result.REQUEUED, None
            return Result.SKIPPED, conflict.message
        except UnknownTask as unknown:
            return Result.SKIPPED, unknown.message
        except (EngineRejected, Refusal, TaskUnreadable) as error:
            return Result.FAILED, error.message
        return Result.REQUEUED, None

    async def _settle(self, now: datetime) -> bool:
        """Read the results of requeued tasks; False where there are none to read now."""
        chunk = await self._operations.take_unsettled(now, now + self._config.look)
        if chunk is None:
            return False
        waiting = {
            item.task_id: place
            for place, item in enumerate(chunk.items)
            if item.result is Result.REQUEUED and item.outcome is None
        }
        rows = {row.id: row for row in await self._search.rows(list(waiting))}
        outcomes: dict[int, str] = {}
        for task_id, place in waiting.items():
            row = rows.get(task_id)
            if row is None:
                outcomes[place] = "gone"
            elif row.state in _ENDS:
                outcomes[place] = row.state.value
        if outcomes:
            await self._operations.settle(chunk, outcomes)
        return True


_ENDS: Final = frozenset({State.COMPLETED, State.CANCELLED, State.SUPERSEDED, State.UNKNOWN, State.FAILED})
