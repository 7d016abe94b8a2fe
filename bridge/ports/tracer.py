# ruff: noqa: ARG002 - what writes nothing needs nothing of what it is told
"""Where the flow tells what it does, for traces and metrics; and the way of doing so that costs nothing."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from bridge.domain.lifecycle import Event, Move
from bridge.domain.submission import Submission
from bridge.domain.task import Outcome, Task, TaskKey, Variables
from bridge.domain.trace_context import trace_of
from bridge.ports.engine import EngineTask

Fetch = Callable[[], Awaitable[Sequence[EngineTask]]]
Publish = Callable[[str, Sequence[TaskKey]], Awaitable[Sequence[BaseException | None]]]
Deliver = Callable[[], Awaitable[None]]
Take = Callable[[Submission], Awaitable[Task]]


class Attempt(Protocol):
    """One run of a handler. Its span is current in `context`, in which the handler is to run (None: where it is)."""

    @property
    def context(self) -> contextvars.Context | None: ...

    def ended(self, outcome: Outcome | None, why: str | None = None) -> None:
        """The handler has decided, or, where there is no outcome, did not get to: `why` says so."""
        ...


class Tracer(Protocol):
    """Called for each step of a task. It must neither fail nor delay the step."""

    def begin(self, task_id: str, variables: Variables, caller: str | None = None) -> str:
        """Return the trace of a new task; `caller` is the `traceparent` of who submitted it."""
        ...

    async def submit(self, submission: Submission, take: Take) -> Task:
        """Take a submission, as a part of its caller's trace."""
        ...

    async def fetch(self, worker_id: str, topics: Sequence[str], fetch: Fetch) -> Sequence[EngineTask]:
        """Fetch from the engine for the worker id."""
        ...

    async def publish(self, topic: str, tasks: Sequence[Task], publish: Publish) -> Sequence[BaseException | None]:
        """Publish tasks of one topic, each with its trace."""
        ...

    def attempt(self, task: Task, claim_id: str, message: TaskKey) -> Attempt:
        """Begin a run of the handler."""
        ...

    async def deliver(self, task: Task, deliver: Deliver) -> None:
        """Deliver the task's outcome once."""
        ...

    def settled(self, task: Task, move: Move) -> None:
        """What became of a delivery has been written down."""
        ...

    def claim_expired(self, task: Task) -> None:
        """The claim on the task was not renewed; it is ended, as its process seems to be gone."""
        ...

    def lost(self, task: Task, event: Event) -> None:
        """The engine says that the task is another's now, or gone."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Return what a call made now sends on of the trace."""
        ...


class _Unseen:
    """An attempt that is not traced."""

    __slots__ = ()
    context: contextvars.Context | None = None

    def ended(self, outcome: Outcome | None, why: str | None = None) -> None:
        return


UNSEEN: Final[Attempt] = _Unseen()


class NoTracer:
    """Writes no spans. A task gets its trace all the same: the log has it, and messages carry it on."""

    __slots__ = ()

    def begin(self, task_id: str, variables: Variables, caller: str | None = None) -> str:
        return trace_of(variables, task_id, caller=caller)

    async def submit(self, submission: Submission, take: Take) -> Task:
        return await take(submission)

    async def fetch(self, worker_id: str, topics: Sequence[str], fetch: Fetch) -> Sequence[EngineTask]:
        return await fetch()

    async def publish(self, topic: str, tasks: Sequence[Task], publish: Publish) -> Sequence[BaseException | None]:
        return await publish(topic, [TaskKey(task.id, task.epoch, task.trace) for task in tasks])

    def attempt(self, task: Task, claim_id: str, message: TaskKey) -> Attempt:
        return UNSEEN

    async def deliver(self, task: Task, deliver: Deliver) -> None:
        await deliver()

    def settled(self, task: Task, move: Move) -> None:
        return

    def claim_expired(self, task: Task) -> None:
        return

    def lost(self, task: Task, event: Event) -> None:
        return

    def headers(self) -> Mapping[str, str]:
        return {}
