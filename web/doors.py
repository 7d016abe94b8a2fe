"""All that the web needs from the rest of the gateway, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from bridge.health import Health, Readiness
from bridge.ports import TaskReader
from bridge.submission import Submission
from bridge.task import Task


@dataclass(frozen=True, slots=True)
class Doors:
    """The ways from the web into the gateway.

    `submit` returns the task as kept; it raises `UnknownTask`, `TaskConflict`, `UnacceptableTask`, `VariableError`,
    `TaskTooLarge` or an `…Unavailable`. `retry` takes a task's id and raises `UnknownTask`, `TaskConflict` or an
    `…Unavailable`. `health` and `ready` never raise. `body_limit` is in bytes.
    """

    reader: TaskReader
    submit: Callable[[Submission], Awaitable[Task]]
    retry: Callable[[str], Awaitable[Task]]
    health: Callable[[], Awaitable[Health]]
    ready: Callable[[], Awaitable[Readiness]]
    registry: CollectorRegistry
    version: str
    body_limit: int = 1024 * 1024
    debug: bool = False
