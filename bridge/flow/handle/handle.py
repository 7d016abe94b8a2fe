"""From the broker to a stored outcome: claim the task, check its lock, run its handler, store the outcome."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bridge.domain.errors import (
    BrokerError,
    EngineError,
    LeaseStolen,
    ProcessEnding,
    StoreError,
    StoreUnavailable,
    TaskGone,
)
from bridge.domain.fingerprint import cause_fields
from bridge.domain.lifecycle import Event, Move
from bridge.domain.quoted_values import without_values
from bridge.domain.task import Attempt, BpmnFault, Completion, Failure, Outcome, State, Task, TaskKey
from bridge.domain.topic import Context, Topic
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.flow.handle.claim_requests import ClaimBatcher
from bridge.flow.handle.claims import Claim, Claims, HandlerCancelled
from bridge.flow.handle.run import Run, unstorable
from bridge.flow.handle.threads import Slot
from bridge.flow.lease import Lease
from bridge.ports.broker import Acknowledger
from bridge.ports.clock import Clock
from bridge.ports.journal import Journal, Level
from bridge.ports.store import TaskStore
from bridge.ports.tracer import NoTracer, Tracer
from bridge.runtime.batch import Batch
from bridge.runtime.loop import delay_after
from bridge.runtime.loop_watch import task_name

_FIRST_WAIT = timedelta(milliseconds=100)
_LONGEST_WAIT = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class HandleConfig:
    """`claim`: how long a claim holds without a renewal. `report_within`: how long until another process delivers an
    outcome that its own process did not. `release_after`: when a released task is checked. `return_after`: how long
    until a message goes back whose claim the store refuses. `min_interval`: the least time between two writes."""

    replica: str
    claim: timedelta
    report_within: timedelta = timedelta(seconds=30)
    release_after: timedelta = timedelta(seconds=1)
    return_after: timedelta = timedelta(seconds=5)
    min_interval: timedelta = timedelta(0)


class Handle:
    """Handles a message of a topic's queue. The message is acknowledged once the outcome is stored, or there is none.

    `begun` is called for each task that was claimed.
    """

    def __init__(
        self,
        *,
        store: TaskStore,
        lease: Lease,
        run: Run,
        delivery: OutcomeDelivery,
        claims: Claims,
        topics: Mapping[str, Topic[Any, Any]],
        context: Callable[[Task], Context],
        clock: Clock,
        journal: Journal,
        config: HandleConfig,
        tracer: Tracer = NoTracer(),
        begun: Callable[[Task], None] = lambda _task: None,
    ) -> None:
        self._store = store
        self._lease = lease
        self._run = run
        self._delivery = delivery
        self._claims = claims
        self._topics = topics
        self._context = context
        self._clock = clock
        self._journal = journal
        self._config = config
        self._tracer = tracer
        self._begun = begun
        self._claim_requests = ClaimBatcher(
            store, clock, replica=config.replica, claim=config.claim, min_interval=config.min_interval
        )
        self._decisions: Batch[Move, bool] = Batch(
            store.move, alone=self._decide_again, limit=100, min_interval=config.min_interval
        )
        self._chance = random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        self._stopping = False

    def stop(self) -> None:
        """From now on requeue messages that would have to wait for the store or for a thread."""
        self._stopping = True
        self._run.stop()

    async def __call__(self, topic: str, key: TaskKey, acknowledger: Acknowledger) -> None:
        try:
            async with self._run.slot(self._topics[topic]) as slot:
                await self._process(topic, key, slot)
            if slot is not None:
                # While its thread is stuck the message stays unacknowledged, so that no other takes its place.
                await slot.settled()
        except (StoreUnavailable, ProcessEnding) as error:
            self._journal.write("message_requeued", level=Level.WARNING, topic=topic, error=str(error))
            with suppress(BrokerError):
                await acknowledger.requeue()
            return
        # If the acknowledgement is lost the message comes again, and there is nothing to claim.
        with suppress(BrokerError):
            await acknowledger.ack()

    async def _process(self, topic: str, key: TaskKey, slot: Slot | None) -> None:
        claim = await self._claim(topic, key)
        if claim is None:
            await self._log_unmatched(topic, key)
            return
        self._claims.add(claim)
        try:
            if not await self._verify_lock(claim):
                return
            outcome = await self._run_handler(claim, slot)
            if outcome is None:
                self._journal.write("handler_cancelled", task=claim.task, level=Level.WARNING, why=claim.lost)
                return
            await self._decide(claim, outcome)
        except asyncio.CancelledError:
            await self._give_back(claim, "the process ends")
            raise
        finally:
            self._claims.drop(claim)
            self._claims.occupy(claim.task.topic, (self._clock.now() - claim.started_at).total_seconds())

    async def _log_unmatched(self, topic: str, key: TaskKey) -> None:
        """Log why nothing was claimed: a duplicate or a message of an earlier lease, or a task of another topic."""
        try:
            found = await self._store.topic_of(key.id)
        except StoreError:  # the message is done with all the same
            found = None
        if found is None or found == topic:
            self._journal.write("duplicate_message", level=Level.DEBUG, task_id=key.id, epoch=key.epoch)
            return
        self._journal.write(
            "message_of_another_topic",
            level=Level.WARNING,
            topic=topic,
            task_id=key.id,
            epoch=key.epoch,
            task_topic=found,
        )

    async def _claim(self, topic: str, key: TaskKey) -> Claim | None:
        """Claim the task that the message names; None for a duplicate, or a message of an earlier lease."""
        request, failures = self._claim_requests.make(topic, key), 0
        while True:
            try:
                task = await self._claim_requests.put(request)
                if task is None and failures:
                    task = await self._claim_requests.granted(request)
            except StoreUnavailable as error:
                failures += 1
                await self._wait_for_store(failures, error)
                request = self._claim_requests.again(request)
                continue
            except StoreError:
                # The message would come back at once, and use up its deliveries before anything has changed.
                await asyncio.sleep(self._config.return_after.total_seconds())
                raise
            if task is None:
                return None
            self._begun(task)
            return Claim(task, request.claim_id, request.now)

    async def _wait_for_store(self, failures: int, error: StoreUnavailable, *, at_the_end: bool = False) -> None:
        if self._stopping and not at_the_end:
            raise error
        self._journal.write("store_unavailable", level=Level.WARNING, failures=failures, error=str(error))
        delay = delay_after(failures, _FIRST_WAIT, _LONGEST_WAIT, self._chance)
        await asyncio.sleep(delay.total_seconds())

    async def _verify_lock(self, claim: Claim) -> bool:
        """Make sure that the engine's lock holds before the handler begins; else give the task up and log it."""
        if not self._lease.needs_renewal(claim.task, claim.lease_until):
            return True
        try:
            claim.lease_until = await self._lease.extend(claim.task)
        except (LeaseStolen, TaskGone) as error:
            await self._store_move(self._lease.lost(claim.task, error))
            self._journal.write("lease_lost", task=claim.task, level=Level.WARNING, error=str(error))
            return False
        except EngineError as error:
            if claim.lease_until > self._clock.now():
                return True
            await self._give_back(claim, str(error))
            return False
        return True

    async def _run_handler(self, claim: Claim, slot: Slot | None) -> Outcome | None:
        task = claim.task
        began = self._clock.now()
        self._journal.write("handler_started", task=task, level=Level.DEBUG)
        attempt = self._tracer.attempt(task, claim.claim_id)
        running = self._run.run(self._topics[task.topic], task, self._context(task), slot)
        work = asyncio.create_task(running, context=attempt.context, name=task_name(task.topic))
        try:
            outcome = await claim.run(work)
        except HandlerCancelled as error:
            after = self._config.release_after if task.retries else timedelta(0)
            outcome = Failure(
                "CancelledError", str(error), "".join(traceback.format_exception(error)), task.retries, after
            )
        except asyncio.CancelledError:
            attempt.ended(None, "the process ends")
            if not work.done():
                self._journal.write("cancellation_ignored", task=task, level=Level.WARNING)
            raise
        attempt.ended(outcome, claim.lost)
        self._claims.measure(task.topic, (self._clock.now() - began).total_seconds())
        return outcome

    async def _decide(self, claim: Claim, outcome: Outcome) -> None:
        """Store the outcome, however long that takes; then start its delivery."""
        try:
            kept = await self._keep(claim, outcome)
        except Exception as error:  # noqa: BLE001 - a handler may return anything, and what can't be kept is its failure
            outcome = unstorable(error)
            kept = await self._keep(claim, outcome)
        if kept is None:
            self._journal.write("outcome_discarded", task=claim.task, level=Level.WARNING, why=claim.lost or "fenced")
            return
        self._log(kept, outcome)
        if kept.state is State.REPORTING:
            self._delivery.put(kept)

    async def _keep(self, claim: Claim, outcome: Outcome) -> Task | None:
        task, failures = claim.task, 0
        while True:
            move = self._decision(claim, outcome)
            try:
                if not await self._written(move):
                    return await self._decided_before(move) if failures else None
            except StoreUnavailable as error:
                failures += 1
                if _is_cancelled():
                    raise asyncio.CancelledError from error
                # Also during the shutdown, which SHUTDOWN_GRACE bounds: a lost outcome means a second run.
                await self._wait_for_store(failures, error, at_the_end=True)
                continue
            known = {**self._cause(task, outcome), "lease_until": claim.lease_until}
            return task.changed(state=State.REPORTING, outcome=outcome, reports=0, refusals=0, **known)

    async def _written(self, decision: Move) -> bool:
        writing = self._decisions.enter(decision)
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            # The grace is over. The write is still under way, and only its end tells who owns the task now.
            return await writing

    async def _decide_again(self, move: Move) -> bool:
        return await self._store_move(move) or await self._decided_before(move) is not None

    async def _store_move(self, move: Move) -> bool:
        (happened,) = await self._store.move([move])
        return happened

    async def _decided_before(self, decision: Move) -> Task | None:
        """Return the task where a write without an answer was made; the task may have moved on since then.

        The attempt proves the write, as both are written together; the claim id does not, as it stays on a task that
        was given up.
        """
        found = await self._store.get(decision.task_id)
        if found is None:
            return None
        ours = any(attempt.claim_id == decision.claim_id and attempt.ended != "lost" for attempt in found.history)
        return found if ours else None

    def _decision(self, claim: Claim, outcome: Outcome) -> Move:
        now = self._clock.now()
        changes = {
            "outcome": outcome,
            "reports": 0,
            "refusals": 0,
            "lease_until": claim.lease_until,
            "next_at": now + self._config.report_within,
            "updated_at": now,
            **self._cause(claim.task, outcome),
        }
        attempt = self._attempt(claim, outcome)
        return Move(claim.task.id, Event.DECIDE, claim.task.epoch, claim.claim_id, changes, attempt)

    def _cause(self, task: Task, outcome: Outcome) -> dict[str, Any]:
        return cause_fields(self._topics.get(task.topic), task, outcome)

    def _attempt(self, claim: Claim, outcome: Outcome) -> Attempt:
        task, now, replica = claim.task, self._clock.now(), self._config.replica
        base = (task.attempts, claim.claim_id, replica, claim.started_at, now)
        match outcome:
            case Completion():
                return Attempt(*base, "completed")
            case BpmnFault(code, message):
                return Attempt(*base, "bpmn_error", code, message)
            case Failure(name, message, details):
                return Attempt(*base, "failed", name, message, details)

    async def _give_back(self, claim: Claim, why: str) -> None:
        """Let the engine offer the task again, without using a retry."""
        now = self._clock.now()
        changes = {"next_at": now + self._config.release_after, "updated_at": now, "error": why}
        move = Move(claim.task.id, Event.RELEASE, claim.task.epoch, claim.claim_id, changes)
        with suppress(StoreUnavailable):  # then the claim expires by itself
            if await self._store_move(move):
                self._journal.write("task_released", task=claim.task, why=why)
                with suppress(EngineError):  # then the lock ends by itself
                    await self._lease.release(claim.task, claim.lease_until)

    def _log(self, task: Task, outcome: Outcome) -> None:
        match outcome:
            case Completion():
                self._journal.write("handler_completed", task=task, level=Level.DEBUG)
            case BpmnFault(code):
                self._journal.write("handler_raised_bpmn_error", task=task, code=code)
            case Failure(name, message, _, retries, after):
                self._journal.write(
                    "handler_failed",
                    task=task,
                    level=Level.WARNING,
                    error=name,
                    message=without_values(message, task.inputs),
                    retries=retries,
                    after=after.total_seconds(),
                )


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
