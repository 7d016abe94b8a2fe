"""The log: events by name with values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

from bridge.domain.task import Task


class Level(StrEnum):
    """How much an event matters to readers of the log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Journal(Protocol):
    """The log, one event a line."""

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        """Log `event`; `task` adds its id, topic, instance and trace. `stack` takes an exception."""
        ...


FORMER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "circuit_closed": "engine_answers_again",
        "circuit_opened": "engine_given_up",
        "claim_limit_reached": "task_given_up",
        "connect_failed": "not_connected",
        "delivery_not_recorded": "delivery_unwritten",
        "delivery_slow": "outcome_outlasts",
        "duplicate_message": "message_matches_nothing",
        "engine_restored": "engine_is_ours_again",
        "event_loop_unblocked": "event_loop_free",
        "fetch_error": "fetch_broken",
        "incident_not_checked": "incident_not_found",
        "intake_error": "intake_broken",
        "loop_error": "loop_broken",
        "message_requeued": "message_returned",
        "operation_progressed": "operation_went_on",
        "operation_state_changed": "operation_switched",
        "orphaned_locks_not_listed": "orphaned_locks_unread",
        "outcome_not_recorded": "outcome_unsettled",
        "outcomes_not_read": "outcomes_unread",
        "process_model_not_read": "model_unread",
        "publish_not_recorded": "publish_unrecorded",
        "publishes_not_recorded": "publishes_unrecorded",
        "retry_not_checked": "retry_not_found",
        "retry_not_reacquired": "retry_not_taken_up",
        "retry_postponed": "retry_not_offered",
        "retry_reacquired": "retry_taken_up",
        "shutdown_overdue": "end_overdue",
        "shutdown_step_failed": "not_ended_well",
        "stopped": "ended",
        "stopping": "ending",
        "store_unavailable": "store_awaited",
        "submission_accepted": "submission_kept",
        "task_released": "task_given_back",
    }
)
"""Events that were renamed, by the names of version 1.0; for one version each is written and counted by both names."""
