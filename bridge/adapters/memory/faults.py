"""Faults of the engine in memory, which a test tells it to have."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

Operation = Literal[
    "fetch", "complete", "fail", "bpmn_error", "lock", "extend_lock", "unlock", "set_retries", "get", "get_many",
    "read_variables",
    "set_variables", "read_file", "locked_by", "count", "history", "activity", "version", "product", "missing_rights",
    "written_moments", "keeps_log", "throwing_activities", "topic_names", "oldest"
]  # fmt: skip


@dataclass(slots=True)
class Fault:
    """An error that a call raises: instead of its effect, or `after` it."""

    error: BaseException
    after: bool


@dataclass(slots=True)
class Faults:
    """Faults that wait for a call of their operation, first in first out."""

    waiting: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))

    def before(self, operation: Operation) -> BaseException | None:
        """Raise the next fault if it strikes before the call takes effect; else return it, to be raised after."""
        if not self.waiting[operation]:
            return None
        fault = self.waiting[operation].pop(0)
        if not fault.after:
            raise fault.error
        return fault.error
