"""A person's actions on a task. Each acts only while the task is as its page showed it, and else says what changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NoReturn

from pydantic import ValidationError

from bridge.domain.edits import edit_of
from bridge.domain.errors import (
    EngineError,
    EngineRejected,
    EngineUnavailable,
    TaskConflict,
    TaskGone,
    UnacceptableTask,
    UnknownTask,
    VariableError,
)
from bridge.domain.lifecycle import Event, Move
from bridge.domain.messages import message, message_of
from bridge.domain.task import PendingRetry, State, Task, Variables
from bridge.domain.topic import Topic
from bridge.domain.variables import EngineFormat, decode, read_input
from bridge.flow.lease import Lease
from bridge.flow.reconcile.offer import OFFER_WITHIN, Offer
from bridge.flow.scope import fetched_variables
from bridge.operations.actions import Action, ShownVersion, check
from bridge.ports.clock import Clock
from bridge.ports.engine import Engine
from bridge.ports.journal import Journal
from bridge.ports.store import TaskStore

MOST_RETRIES: Final = 1000
_REVIVED: Final = (
    "pending_retry", "next_at", "updated_at", "finished_at", "retries", "reports", "lost_claims", "operation",
    "variables", "given", "edit",
)  # fmt: skip
"""The fields of a task that a retry changes."""


class Operate:
    """Changes tasks at a person's request. `nudge` has a topic fetched at once."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: TaskStore,
        lease: Lease,
        offer: Offer,
        topics: Mapping[str, Topic[Any, Any]],
        nudge: Callable[[Collection[str]], None],
        clock: Clock,
        journal: Journal,
        retry_limit: int,
        engine_format: EngineFormat = EngineFormat(),
    ) -> None:
        self._engine = engine
        self._format = engine_format
        self._store = store
        self._lease = lease
        self._offer = offer
        self._topics = topics
        self._nudge = nudge
        self._clock = clock
        self._journal = journal
        self._retry_limit = retry_limit

    async def retry(
        self,
        task_id: str,
        shown: ShownVersion | None = None,
        *,
        at: datetime | None = None,
        variables: Variables | None = None,
        retries: int | None = None,
        operation: str | None = None,
    ) -> Task:
        """Resolve the incident of a failed task and retry it; return the task with its new state.

        The retry is now, or `at` a later moment; after `variables` were set in the task's scope; with so many
        `retries`, or its topic's. `operation` is the bulk operation that the retry belongs to.
        Raises `UnknownTask`, `TaskConflict` with the reason, `UnacceptableTask` for variables that the topic or the
        engine refuses, `EngineError` or `StoreUnavailable`. Safe to repeat.
        """
        action = Action.EDIT if variables else Action.RETRY if at is None else Action.RETRY_AT
        task = await self._found(action, task_id, shown)
        if retries is not None:
            _check_number(retries)
        wanted = self._retries(task) if retries is None else retries
        if variables:
            self._validate(task, variables)
        revived = await self._revive(task, wanted, at, variables, operation)
        move = await self._offer_again(action, task, revived)
        if move.changes["next_at"] <= self._clock.now():
            self._nudge({task.topic})
        # Where a fetch was faster the task runs again already, as intended.
        (happened,) = await self._store.move([move])
        self._journal.write("task_revived", task=task, retries=wanted, kept=happened)
        return await self._store.get(task_id) or task

    async def set_retries(self, task_id: str, retries: int, shown: ShownVersion | None = None) -> Task:
        """Give a task that waits for its next run so many retries; a failed task is retried with them now.

        Raises as `retry` does.
        """
        _check_number(retries)
        task = await self._found(Action.SET_RETRIES, task_id, shown)
        if task.state is State.FAILED:
            return await self.retry(task_id, shown, retries=retries)
        try:
            await self._engine.set_retries(task_id, retries)
        except TaskGone as error:
            await self._gone(Action.SET_RETRIES, task, error)
        changes = {"retries": retries, "reports": task.reports, "updated_at": self._clock.now()}
        (happened,) = await self._store.move([Move(task_id, Event.DEFER, task.epoch, changes=changes)])
        self._journal.write("retries_set", task=task, retries=retries, kept=happened)
        return await self._store.get(task_id) or task

    async def release(self, task_id: str, shown: ShownVersion | None = None) -> Task:
        """Release the engine's lock on a task that waits for its next run, or that another worker holds.

        The other worker's run may go on; the engine will refuse its outcome. Raises as `retry` does.
        """
        task = await self._found(Action.RELEASE, task_id, shown)
        try:
            await self._engine.unlock(task_id)
        except TaskGone as error:
            await self._gone(Action.RELEASE, task, error)
        now = self._clock.now()
        happened = True
        if task.state is State.RETRYING:
            changes = {"next_at": now, "reports": task.reports, "updated_at": now}
            (happened,) = await self._store.move([Move(task_id, Event.DEFER, task.epoch, changes=changes)])
        self._nudge({task.topic})
        self._journal.write("lock_released", task=task, kept=happened)
        return await self._store.get(task_id) or task

    async def _found(self, action: Action, task_id: str, shown: ShownVersion | None) -> Task:
        task = await self._store.get(task_id)
        if task is None:
            raise UnknownTask(message("task.unknown", task=task_id))
        check(action, task, shown)
        return task

    async def _gone(self, action: Action, task: Task, error: TaskGone) -> NoReturn:
        lost = self._lease.lost(task, error)
        # No retry was made: neither the retry nor its bulk operation stays on the task.
        changes = {**lost.changes, "operation": task.operation, "pending_retry": None}
        await self._store.move([replace(lost, changes=changes)])
        check(action, task.changed(state=State.CANCELLED), None)
        raise error

    async def _revive(
        self, task: Task, retries: int, at: datetime | None, variables: Variables | None, operation: str | None
    ) -> Task:
        """Record the request before the engine is called; of several concurrent requests one succeeds.

        If this process then fails to call the engine, the reconciler does so when the task is due.
        """
        now = self._clock.now()
        pending = PendingRetry(task.epoch, now if at is None else at, tuple(variables or ()))
        changes: dict[str, Any] = {
            "pending_retry": pending, "next_at": now + OFFER_WITHIN, "updated_at": now, "finished_at": None,
            "retries": retries, "reports": 0, "lost_claims": 0,
            **(self._edited(task, variables) if variables else {}),
            **({} if operation is None else {"operation": operation}),
        }  # fmt: skip
        (happened,) = await self._store.move([Move(task.id, Event.REVIVE, task.epoch, changes=changes)])
        if not happened:
            await self._found(Action.RETRY, task.id, ShownVersion(task.state, task.epoch))
            raise TaskConflict(message("task.changed_now", task=task.id))
        return task.changed(state=State.RETRYING, **changes)

    async def _offer_again(self, action: Action, task: Task, revived: Task) -> Move:
        """Make the recorded request; a request that the engine refuses is removed, so that it can be made again."""
        edited = False
        try:
            await self._offer.set_variables(revived)
            edited = True
            await self._check_untouched(revived)
            return await self._offer.make(revived)
        except TaskGone as error:
            await self._gone(action, task, error)
        except (EngineError, TaskConflict) as error:
            await self._undo_revival(task, revived, edited=edited, unclear=isinstance(error, EngineUnavailable))
            if isinstance(error, EngineRejected) and not edited:
                text = message("task.variables_refused", task=task.id, error=error.message)
                raise UnacceptableTask(text) from error
            raise

    async def _check_untouched(self, revived: Task) -> None:
        """Raise `TaskConflict` where a lease came while variables were set: it may not have brought them."""
        if revived.pending_retry is None or not revived.pending_retry.variables:
            return
        soon = {"next_at": self._clock.now() + OFFER_WITHIN}
        (still,) = await self._store.move([Move(revived.id, Event.TAKE, revived.epoch, changes=soon)])
        if not still:
            raise TaskConflict(message("task.changed_since_edit", task=revived.id))

    async def _undo_revival(self, task: Task, revived: Task, *, edited: bool, unclear: bool) -> None:
        """Set the task back to failed, except variables that the engine has taken over.

        Where it is unclear what the engine did, it is asked soon: it may offer the task without any fetch for it.
        """
        kept = {"variables", "given", "edit"} if edited else set()
        changes = {name: getattr(task, name) for name in _REVIVED if name not in kept}
        if unclear:
            changes["next_at"] = self._clock.now() + OFFER_WITHIN
        await self._store.move([Move(task.id, Event.EXHAUSTED, revived.epoch, changes=changes)])

    def _edited(self, task: Task, variables: Variables) -> dict[str, Any]:
        """Return the fields that an edit changes: the variables that the submitter sent go before the engine's."""
        known = self._topics.get(task.topic)
        # For a topic that isn't known here the fetched variables aren't known: those that came before will come again.
        fetched = task.inputs.keys() if known is None else fetched_variables(known)
        edit = edit_of(task, variables, fetched)
        changes: dict[str, Any] = {"variables": {**task.variables, **variables}, "edit": edit}
        if task.given:
            again = task.given.keys() & variables.keys()
            changes["given"] = {**task.given, **{name: variables[name] for name in again}}
        return changes

    def _validate(self, task: Task, variables: Variables) -> None:
        """Raise `UnacceptableTask` where the handler would refuse its input: a retry would fail at once."""
        known = self._topics.get(task.topic)
        try:
            decode(variables)
            if known is not None:
                read_input(known.input, {**task.inputs, **variables}, self._format.zone)
        except (ValidationError, VariableError) as error:
            text = message("task.input_refused", topic=task.topic, faults=message_of(error))
            raise UnacceptableTask(text) from error

    def _retries(self, task: Task) -> int:
        known = self._topics.get(task.topic)
        return max(1, self._retry_limit if known is None else known.retry_limit(self._retry_limit))


def _check_number(retries: int) -> None:
    if not 1 <= retries <= MOST_RETRIES:
        raise UnacceptableTask(message("task.retries_range", most=MOST_RETRIES, count=retries))
