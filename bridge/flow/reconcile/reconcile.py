"""Repeats the steps that a crash, an outage or a delay left overdue: every live task has a time for its next check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from bridge.domain.errors import BrokerError, EngineError, LeaseStolen, StoreError, StoreUnavailable, TaskGone
from bridge.domain.fingerprint import cause_fields
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import UNREADABLE_LOOK, Attempt, Failure, State, Task
from bridge.domain.trace_context import traced
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.flow.lease import Lease
from bridge.flow.reconcile.checks import Checks
from bridge.flow.reconcile.due_retries import DueRetries, RetryLooks
from bridge.flow.reconcile.engine_view import EngineView
from bridge.flow.reconcile.incidents import Incidents
from bridge.flow.reconcile.offer import Offer
from bridge.flow.relay import Relay
from bridge.flow.submit import Submit
from bridge.flow.unreadable import read_or_set_aside
from bridge.ports.broker import Publisher
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine, EngineTask
from bridge.ports.journal import Journal, Level
from bridge.ports.store import Due, TaskStore
from bridge.ports.tracer import NoTracer, Tracer


@dataclass(frozen=True, slots=True)
class ReconcilePolicy:
    """`stale_after`: how long a message may be on its way before its queue is checked. `lost_claims`: after so many
    lost claims the handler counts as killing its process. `nudges`: how many fetches a due retry gets before the engine
    is asked about it. `retry_look` is the time between two such checks, which grows up to `retry_look_most`. A sweep
    waits up to `check_wait` for the engine's answers about retries and incidents."""

    stale_after: timedelta
    lost_claims: int
    report_within: timedelta = timedelta(seconds=30)
    nudges: int = 2
    retry_look: timedelta = timedelta(seconds=2)
    retry_look_most: timedelta = timedelta(seconds=60)
    batch: int = 500
    at_once: int = 8
    check_wait: timedelta = timedelta(seconds=1)


ALL: Final = frozenset(State)
WITHOUT_POLL: Final = ALL - {State.RETRYING}
"""The states that a process without fetching can reconcile."""
WITHOUT_PUBLISHER: Final = frozenset({State.REPORTING, State.FAILED})
"""The states that need only the engine and the store: outcomes, and incidents."""


def reconciled_states(*, polls: bool, publishes: bool) -> frozenset[State]:
    """Return the states that a process can reconcile: outcomes must not wait for an intake that is gone."""
    if polls:
        return ALL
    return WITHOUT_POLL if publishes else WITHOUT_PUBLISHER


class Reconciler:
    """Reconciles the tasks that are due. Any number of replicas may do so: every step is a compare-and-set.

    `states` are the states that this process can reconcile; other processes reconcile the others. Claims are ended
    only while `sees_renewals` says that this process has reached the store for as long as a claim lasts: after an
    outage of the store their holders renew them first. `nudge` gets the topics of due retries, to fetch them now: the
    engine itself wakes a waiting poll for an expired lock only every 30 s. `reacquire` gets due retries that are free
    in the engine, and that no fetch brought.
    """

    def __init__(
        self,
        *,
        store: TaskStore,
        engine: Engine,
        offer: Offer,
        reacquire: Callable[[Task, EngineTask], Awaitable[None]],
        publisher: Publisher,
        relay: Relay,
        delivery: OutcomeDelivery,
        submit: Submit,
        lease: Lease,
        nudge: Callable[[Collection[str]], None],
        sees_renewals: Callable[[], bool],
        clock: Clock,
        journal: Journal,
        replica: str,
        policy: ReconcilePolicy,
        states: Collection[State] = ALL,
        tracer: Tracer = NoTracer(),
    ) -> None:
        self._states = frozenset(states)
        self._store = store
        self._publisher = publisher
        self._relay = relay
        self._delivery = delivery
        self._submit = submit
        self._lease = lease
        self._sees_renewals = sees_renewals
        self._clock = clock
        self._journal = journal
        self._replica = replica
        self._policy = policy
        self._tracer = tracer
        self._slots = asyncio.Semaphore(policy.at_once)
        self.is_behind = False
        """Whether the last sweep found a full batch of a state: there may be more."""
        self._seldom_at = clock.now()
        view = EngineView(engine, store, journal, self._slots, delivery.end_of)
        self._incidents = Incidents(view, store, clock)
        self._retries = DueRetries(
            view=view,
            store=store,
            offer=offer,
            lease=lease,
            reacquire=reacquire,
            nudge=nudge,
            slots=self._slots,
            clock=clock,
            looks=RetryLooks(policy.nudges, policy.retry_look, policy.retry_look_most),
        )
        self._checks = Checks(policy.check_wait)
        self._publishing: dict[str, asyncio.Task[None]] = {}

    async def run_once(self) -> int:
        """Reconcile the tasks that are due, in each state the longest overdue first; return how many.

        Each state is read by itself, so that many due tasks of one state don't hold up those of another.
        """
        refused = self._checks.failure()
        now = self._clock.now()
        states = self._states_now(now)
        due = dict(zip(states, await asyncio.gather(*(self._due(state, now) for state in states)), strict=True))
        self.is_behind = any(len(due[state].tasks) >= self._policy.batch for state in states if state in _ORDER)
        for state, found in due.items():
            try:
                if found.unreadable:
                    await self._store.set_aside(found.unreadable, now + UNREADABLE_LOOK)
                if found.tasks and state is not None:
                    await self._reconcile(state, found.tasks)
            except StoreUnavailable:
                raise
            except StoreError as error:
                # A single document that takes no write must not hold up all other states.
                refused = error
        if refused is not None:
            raise refused
        return sum(len(found.tasks) for found in due.values())

    def _states_now(self, now: datetime) -> Sequence[State | None]:
        """Return the states in the order of the sweep, the most urgent first; None: states that this version lacks."""
        ours = self._states - self._checks.states - (frozenset() if self._sees_renewals() else {State.RUNNING})
        states: list[State | None] = [state for state in _ORDER if state in ours]
        if now >= self._seldom_at:
            self._seldom_at = now + _SELDOM
            states += [*(state for state in _WITHOUT_STEP if state in ours), None]
        return states

    async def _due(self, state: State | None, now: datetime) -> Due:
        return await self._store.due(state, now, self._policy.batch)

    async def _reconcile(self, state: State, tasks: Sequence[Task]) -> None:
        match state:
            case State.REPORTING:
                for task in await self._take(tasks, lambda _: self._policy.report_within):
                    self._delivery.put(task)
            case State.RUNNING:
                await self._expire_claims(tasks)
            case State.RECEIVED:
                await self._publish(tasks)
            case State.QUEUED:
                await self._renew_or_requeue(tasks)
            case State.RETRYING:
                taken = await self._take(tasks, lambda _: self._policy.retry_look)
                await self._checks.run(state, self._retries.check(taken))
            case State.FAILED:
                now = self._clock.now()
                taken = await self._take(tasks, lambda task: Incidents.next_check(task, now))
                await self._checks.run(state, self._incidents.check(taken))
            case State.COMPLETED | State.CANCELLED | State.SUPERSEDED | State.UNKNOWN:
                # Tasks that ended have no next step; an older version may have left them a due time.
                self._journal.write("ended_tasks_due", level=Level.WARNING, state=state.value, tasks=len(tasks))
            case _:
                assert_never(state)

    async def _take(self, tasks: Sequence[Task], within: Callable[[Task], timedelta]) -> Sequence[Task]:
        """Take due tasks for this replica, so that no other does the same; it then has `within` for each."""
        now = self._clock.now()
        moves = [Move(t.id, Event.TAKE, t.epoch, changes={"next_at": now + within(t)}, due_by=now) for t in tasks]
        happened = await self._store.move(moves)
        return [task for task, yes in zip(tasks, happened, strict=True) if yes]

    async def _expire_claims(self, tasks: Sequence[Task]) -> None:
        """End claims that were not renewed: their process is gone, or can't reach the store."""
        moves = [traced(task, self._end_of_claim(task)) for task in tasks]
        happened = await self._store.move(moves)
        again = []
        for task, move, yes in zip(tasks, moves, happened, strict=True):
            if not yes:
                continue
            self._journal.write("claim_expired", task=task, level=Level.WARNING, replica=task.replica)
            self._tracer.claim_expired(task)
            if move.event is Event.GIVE_UP:
                given = {name: move.changes[name] for name in _GIVEN_UP}
                given_up = task.changed(state=State.REPORTING, reports=0, refusals=0, **given)
                message = given_up.outcome.message if isinstance(given_up.outcome, Failure) else ""
                self._journal.write("claim_limit_reached", task=given_up, level=Level.WARNING, message=message)
                self._delivery.put(given_up)
            else:
                again.append(task.changed(state=State.RECEIVED, claim_id=None))
        await self._publish(again)

    def _end_of_claim(self, task: Task) -> Move:
        now = self._clock.now()
        attempt = Attempt(
            number=task.attempts,
            claim_id=task.claim_id or "",
            replica=task.replica or "",
            started_at=task.claimed_at or now,
            ended_at=now,
            ended="lost",
            error="ClaimLost",
            message=f"replica {task.replica} sent no heartbeat: it was killed, or cut off from the store",
        )
        changes = {"updated_at": now, "next_at": now + self._policy.report_within}
        # Conditional on the due time: a claim that was renewed since it was read is not ended.
        if task.lost_claims + 1 < self._policy.lost_claims:
            return Move(task.id, Event.LOSE_CLAIM, task.epoch, task.claim_id, changes, attempt, now)
        message = f"ClaimLost: {task.lost_claims + 1} processes ended while they ran the handler"
        outcome = Failure("ClaimLost", message, f"{message}; the last was {task.replica}", 0)
        given_up = {**changes, "outcome": outcome, "reports": 0, "refusals": 0, **cause_fields(None, task, outcome)}
        return Move(task.id, Event.GIVE_UP, task.epoch, task.claim_id, given_up, attempt, now)

    async def _publish(self, tasks: Sequence[Task]) -> None:
        """Publish tasks that are still in the outbox; a submission that was not checked yet is checked first."""
        busy = {topic for topic, sending in self._publishing.items() if not sending.done()}
        await self._wait_for_turn([task for task in tasks if task.topic in busy])
        tasks = [task for task in tasks if task.topic not in busy]
        unverified = [task.id for task in tasks if not task.verified]
        whole = await self._store.get_many(unverified) if unverified else []
        for task_id in set(unverified) - {task.id for task in whole}:
            await read_or_set_aside(self._store, task_id, self._clock.now())
        checked = await asyncio.gather(*(self._checked(task) for task in whole if not task.verified))
        ready = [task for task in tasks if task.verified] + [task for task in checked if task is not None]
        held = [task for task in ready if not self._lease.needs_renewal(task, task.lease_until)]
        to_renew = [task for task in ready if self._lease.needs_renewal(task, task.lease_until)]
        self._start([*held, *await self._hold(to_renew)])

    async def _wait_for_turn(self, tasks: Sequence[Task]) -> None:
        """Check the tasks a little later: if they stayed the longest overdue, no sweep would get past them."""
        later = self._clock.now() + self._policy.retry_look
        if tasks:
            await self._store.move([Move(t.id, Event.RENEW, t.epoch, changes={"next_at": later}) for t in tasks])

    def _start(self, tasks: Sequence[Task]) -> None:
        """Publish beside the sweep, topic by topic: neither outcomes nor other topics wait for a broken queue."""
        for topic in {task.topic for task in tasks}:
            self._publishing[topic] = asyncio.create_task(self._send([t for t in tasks if t.topic == topic]))

    async def _send(self, tasks: Sequence[Task]) -> None:
        try:
            await self._relay.publish(tasks)
        except StoreError as error:
            self._journal.write("publishes_not_recorded", level=Level.WARNING, tasks=len(tasks), error=str(error))

    async def settle(self) -> None:
        """Wait for the publishes and checks under way."""
        await asyncio.gather(*self._publishing.values())
        await self._checks.settle()

    async def stop(self) -> None:
        """End the checks under way, and wait for the publishes."""
        await self._checks.stop()
        await self.settle()

    async def _checked(self, task: Task) -> Task | None:
        async with self._slots:
            return await self._submit.check_late(task)

    async def _renew_or_requeue(self, tasks: Sequence[Task]) -> None:
        """Renew the locks of tasks in the queues, and publish tasks again whose messages are in no queue any more."""
        now = self._clock.now()
        old = [task for task in tasks if now - task.updated_at >= self._policy.stale_after]
        empty = await self._empty({task.topic for task in old})
        # In a queue that is never empty a lost message would go unnoticed: a second message is cheap and harmless.
        long_ago = now - _LONG * self._policy.stale_after
        stale = [task for task in old if task.topic in empty or task.updated_at <= long_ago]
        moves = [Move(t.id, Event.STALE, t.epoch, changes={"updated_at": now}) for t in stale]
        happened = await self._store.move(moves) if moves else []
        lost = [t.changed(state=State.RECEIVED) for t, yes in zip(stale, happened, strict=True) if yes]
        if lost:
            self._journal.write("messages_lost", level=Level.WARNING, tasks=len(lost), topics=sorted(empty))
        await self._publish(lost)
        names = {task.id for task in stale}
        await self._hold([task for task in tasks if task.id not in names])

    async def _empty(self, topics: Collection[str]) -> set[str]:
        try:
            depths = await self._publisher.depths(sorted(topics)) if topics else {}
        except BrokerError:
            return set()
        return {topic for topic, depth in depths.items() if depth.ready == 0}

    async def _hold(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Extend the locks of waiting tasks that need renewal; return the tasks whose locks we still hold."""
        ends = await asyncio.gather(*(self._extend(task) for task in tasks))
        moves = [move for move, _ in ends if move is not None]
        if moves:
            await self._store.move(moves)
        return [task.changed(lease_until=until) for task, (_, until) in zip(tasks, ends, strict=True) if until]

    async def _extend(self, task: Task) -> tuple[Move | None, datetime | None]:
        """Return the move to write for a waiting task, and until when its lock holds; None without a lock of ours."""
        until = task.lease_until
        async with self._slots:
            if self._lease.needs_renewal(task, until):
                try:
                    until = await self._lease.extend(task)
                except (LeaseStolen, TaskGone) as error:
                    self._journal.write("lease_lost", task=task, level=Level.WARNING, error=str(error))
                    return await self._lost(task, error), None
                except EngineError as error:
                    self._journal.write("lock_not_renewed", task=task, level=Level.WARNING, error=str(error))
        changes = {"lease_until": until, "next_at": self._clock.now() + self._lease.duration(task.topic) / 3}
        return Move(task.id, Event.RENEW, task.epoch, changes=changes), until

    async def _lost(self, task: Task, error: LeaseStolen | TaskGone) -> Move | None:
        """Return the move that ends a task that is gone; None where its own outcome may have ended it.

        The task was read a while ago, and may have been worked and completed since: then its delivery decides.
        """
        if isinstance(error, TaskGone):
            found = await self._store.get_many([task.id])
            if not any(now.epoch == task.epoch and now.state in _UNDECIDED for now in found):
                return None
        return self._lease.lost(task, error)


_LONG = 5
"""How many times `stale_after` a task may wait in a queue that isn't empty before another message is sent."""
_GIVEN_UP = ("outcome", "error_type", "error_fp")

_UNDECIDED = frozenset({State.RECEIVED, State.QUEUED, State.RUNNING})

_ORDER: Final = (
    State.REPORTING,
    State.RUNNING,
    State.RETRYING,
    State.RECEIVED,
    State.QUEUED,
    State.FAILED,
)
"""The states that go first: outcomes end tasks, and lost claims hold up handlers that could run."""
_WITHOUT_STEP: Final = (State.SUPERSEDED, State.COMPLETED, State.CANCELLED, State.UNKNOWN)
_SELDOM: Final = timedelta(minutes=1)
"""How often to sweep tasks that should not be due: those that ended, and those in states that this version lacks."""
