"""Records of operators: shared views, audit entries, and paused topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class View:
    """A search that operators keep under a name and share. `query` is all of the list's state, as its URL has it."""

    id: str
    name: str
    query: str
    owner: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A person's action: `target` is its object, as `task:…`, `topic:…`, `operation:…`, `user:…`.

    Never changed once written. `before` and `after` have the differences; the caller masks secrets.
    """

    id: str
    at: datetime
    who: str
    role: str
    origin: str
    action: str
    target: str
    reason: str = ""
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted; an empty field does not filter."""

    who: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A topic for which nothing is fetched until somebody resumes it."""

    topic: str
    by: str
    reason: str
    at: datetime
