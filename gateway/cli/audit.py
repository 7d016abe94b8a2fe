"""Audit entries of the commands that change people and keys."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from ulid import ULID

from bridge.domain.records import AuditEntry
from bridge.domain.task import Task
from bridge.ports.journal import Level

ROLE: Final = "command"

_ACTIONS: Final[Mapping[str, str]] = {
    "user_added": "user.add",
    "password_changed": "user.password",
    "role_changed": "user.role",
    "user_topics_changed": "user.topics",
    "user_disabled": "user.disable",
    "user_enabled": "user.enable",
    "key_created": "key.create",
    "key_revoked": "key.revoke",
}


class RecordedActions:
    """A journal that keeps changes for the audit, and logs nothing: the command's output says what was done."""

    def __init__(self) -> None:
        self._changes: list[tuple[str, dict[str, object]]] = []

    def write(
        self,
        event: str,
        *,
        task: Task | None = None,  # noqa: ARG002 - as the port has it
        level: Level = Level.INFO,  # noqa: ARG002 - as the port has it
        **values: object,
    ) -> None:
        """Keep a change."""
        if event in _ACTIONS:
            self._changes.append((_ACTIONS[event], values))

    def entries(self, at: datetime) -> Sequence[AuditEntry]:
        """Return the changes as entries of the user who is logged in on this machine."""
        return [_entry(at, action, dict(values)) for action, values in self._changes]


def _entry(at: datetime, action: str, values: dict[str, object]) -> AuditEntry:
    kind = action.partition(".")[0]
    target = f"{kind}:{values.pop(kind, '')}"
    return AuditEntry(str(ULID()), at, _who(), ROLE, socket.gethostname()[:64], action, target, after=values)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"
