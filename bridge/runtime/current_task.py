"""The task that running code works for: for what can't be handed it, as the standard library's logging can't."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from bridge.domain.task import Task


@dataclass(frozen=True, slots=True)
class Current:
    """A task under way, and the keys that its topic keeps secret."""

    task: Task
    secrets: frozenset[str]


_CURRENT: Final[ContextVar[Current | None]] = ContextVar("current_task", default=None)


def current() -> Current | None:
    """Return what the caller works for; threads and coroutines that a handler starts have its context, and so this."""
    return _CURRENT.get()


@contextmanager
def working_for(task: Task, secrets: frozenset[str]) -> Iterator[None]:
    """Let what runs inside work for a task."""
    before = _CURRENT.set(Current(task, secrets))
    try:
        yield
    finally:
        _CURRENT.reset(before)
