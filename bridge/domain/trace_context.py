"""The trace that a task belongs to, as a `traceparent` (W3C Trace Context): kept on the task, sent with messages.

`Task.trace` names the trace, and the span that the task's own span is to stand under. The id of the task's span is
made of those and of the task's id: every replica knows it before the span is written, which happens when the task
ends. A task that starts a trace stands under nobody: then the parent's place has a mark which is no span's id.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import Task, Variables

VARIABLE: Final = "traceparent"
"""The process variable that a trace is continued from."""

_PARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_ENDED: Final = frozenset({Event.DELIVERED_INCIDENT, Event.UNDELIVERABLE, Event.SUPERSEDE, Event.EXHAUSTED})
"""What ends a task that may yet come back."""
_FAILED: Final = frozenset({Event.DELIVERED_RETRY, Event.FAILURE_TAKEN, Event.LOSE_CLAIM, Event.GIVE_UP})
"""What a task goes on after, with a run that failed."""
_CHANGES_TRACE: Final = _ENDED | _FAILED


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task stands in its trace: ids in hexadecimal digits; `parent` None where it began the trace."""

    trace_id: str
    span_id: str
    parent: str | None
    sampled: bool


def trace_of(
    variables: Variables,
    task_id: str = "",
    *,
    caller: str | None = None,
    samples: Callable[[str], bool] = lambda _trace_id: True,
) -> str:
    """Return the trace that the caller or the process's variable continues, or a new one.

    `samples` tells of a new trace's id whether its spans are to be recorded; for another's the caller has decided.
    """
    given = variables.get(VARIABLE)
    for text in (caller, None if given is None else given.value):
        if isinstance(text, str) and _PARENT.fullmatch(text):
            return text
    trace = secrets.token_hex(16)
    return traceparent(trace, _digest("begin", trace, task_id), samples(trace))


def traceparent(trace: str, span: str, sampled: bool) -> str:
    """Write a `traceparent`."""
    return f"00-{trace}-{span}-{'01' if sampled else '00'}"


def parse(text: str | None) -> tuple[str, str, bool] | None:
    """Return the trace, the span and whether it is sampled; None for what is no `traceparent`."""
    found = None if text is None else _PARENT.fullmatch(text)
    return None if found is None else (found[1], found[2], int(found[3], 16) & 1 == 1)


def is_sampled(text: str | None) -> bool:
    """Return whether the spans of a trace are recorded; False for what is no `traceparent`."""
    found = parse(text)
    return found is not None and found[2]


def trace_id(text: str | None) -> str | None:
    """Return the id of the trace in 32 hexadecimal digits; None where there is none."""
    found = parse(text)
    return None if found is None else found[0]


@lru_cache(maxsize=8192)
def place_of(task_id: str, trace: str | None) -> Place | None:
    """Return where a task with this `trace` stands; None where it has none."""
    found = parse(trace)
    if found is None:
        return None
    name, parent, sampled = found
    begins = parent == _digest("begin", name, task_id)
    return Place(name, _digest("task", name, task_id, parent), None if begins else parent, sampled)


def span_of_attempt(trace: str, task_id: str, claim_id: str) -> str:
    """Return the id of an attempt's span: the process that ends the claim of a dead process can write the span."""
    return _digest("attempt", trace, task_id, claim_id)


@lru_cache(maxsize=256)
def span_of_fetch(worker_id: str) -> tuple[str, str]:
    """Return the trace and the span of the fetch that brought a task, by the worker id that it locked the task for."""
    return _digest("fetch", worker_id, size=16), _digest("fetch", worker_id)


def traced(task: Task, move: Move) -> Move:
    """Return the move with what it means for the task's trace.

    A task that failed is recorded from then on, whatever was sampled. One that comes back after its end gets a span
    of its own, under the one that has been written.
    """
    if move.event not in _CHANGES_TRACE or (place := place_of(task.id, task.trace)) is None:
        return move
    if move.event in _ENDED:
        sampled = place.sampled or move.event is not Event.SUPERSEDE
        return replace(move, changes={**move.changes, "trace": traceparent(place.trace_id, place.span_id, sampled)})
    if not place.sampled:
        return replace(move, changes={**move.changes, "trace": kept(task.trace)})
    return move


def kept(trace: str | None) -> str | None:
    """Return the same trace, marked as recorded."""
    found = parse(trace)
    return trace if found is None else traceparent(found[0], found[1], True)


def _digest(*parts: str, size: int = 8) -> str:
    return blake2b("/".join(parts).encode(), digest_size=size).hexdigest()
