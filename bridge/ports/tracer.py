# ruff: noqa: ARG002 - what writes nothing needs nothing of what it is told
"""Where the flow tells what it does, for traces and metrics; and the way of doing so that costs nothing."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

from bridge.domain.lifecycle import Event, Move
from bridge.domain.submission import Submission
from bridge.domain.task import Outcome, Task, Variables
from bridge.domain.trace_context import trace_of
from bridge.ports.engine import EngineTask


class Fetching(Protocol):
    """A fetch that is under way."""

    def fetched(self, tasks: Sequence[EngineTask]) -> None:
        """The engine has answered with these."""
        ...


class Publishing(Protocol):
    """A publish that is under way."""

    def confirmed(self, errors: Sequence[BaseException | None]) -> None:
        """The broker has answered: the error of each message that got no confirm, in the order of the tasks."""
        ...


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

    def submission(self, submission: Submission) -> AbstractContextManager[Submission]:
        """Trace the taking of a submission, as a part of its caller's trace; gives the submission to take."""
        ...

    def fetch(self, worker_id: str, topics: Sequence[str]) -> AbstractContextManager[Fetching]:
        """Trace a fetch for the worker id."""
        ...

    def publish(self, topic: str, tasks: Sequence[Task]) -> AbstractContextManager[Publishing]:
        """Trace the publishing of tasks of one topic, each in its own trace."""
        ...

    def attempt(self, task: Task, claim_id: str) -> Attempt:
        """Begin a run of the handler."""
        ...

    def delivery(self, task: Task) -> AbstractContextManager[None]:
        """Trace one delivery of the task's outcome to the engine; what the engine refuses is raised on."""
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


class UntracedFetch:
    """A fetch that nobody watches."""

    __slots__ = ()

    def fetched(self, tasks: Sequence[EngineTask]) -> None:
        return


class UntracedPublish:
    """A publish that nobody watches."""

    __slots__ = ()

    def confirmed(self, errors: Sequence[BaseException | None]) -> None:
        return


class NoTracer:
    """Writes no spans. A task gets its trace all the same: the log has it, and messages carry it on."""

    __slots__ = ()

    def begin(self, task_id: str, variables: Variables, caller: str | None = None) -> str:
        return trace_of(variables, task_id, caller=caller)

    def submission(self, submission: Submission) -> AbstractContextManager[Submission]:
        return nullcontext(submission)

    def fetch(self, worker_id: str, topics: Sequence[str]) -> AbstractContextManager[Fetching]:
        return nullcontext(UntracedFetch())

    def publish(self, topic: str, tasks: Sequence[Task]) -> AbstractContextManager[Publishing]:
        return nullcontext(UntracedPublish())

    def attempt(self, task: Task, claim_id: str) -> Attempt:
        return UNSEEN

    def delivery(self, task: Task) -> AbstractContextManager[None]:
        return nullcontext()

    def settled(self, task: Task, move: Move) -> None:
        return

    def claim_expired(self, task: Task) -> None:
        return

    def lost(self, task: Task, event: Event) -> None:
        return

    def headers(self) -> Mapping[str, str]:
        return {}
