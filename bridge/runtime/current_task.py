"""The task that running code works for, as a context variable: logging and the like can't be handed the task."""

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
    """Return the task that the caller works for; threads and coroutines that a handler starts inherit it."""
    return _CURRENT.get()


@contextmanager
def working_for(task: Task, secrets: frozenset[str]) -> Iterator[None]:
    """Make code inside the context work for a task."""
    before = _CURRENT.set(Current(task, secrets))
    try:
        yield
    finally:
        _CURRENT.reset(before)
