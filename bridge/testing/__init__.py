"""For the tests of topics: a `Context` that needs no engine, no store and no broker.

async def test_a_card_is_charged_once() -> None:
    records = MemoryRecords()
    receipt = await charge_card(Order(amount_cents=100), make_context(put_once=records.put_once))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import to_jsonable_python

from bridge.domain.errors import VariableError
from bridge.domain.task import Variables
from bridge.domain.topic import Context
from bridge.domain.variables import EngineFormat, encode, encode_result


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One call of a handler's log."""

    level: str
    event: str
    values: Mapping[str, Any]


@dataclass(slots=True)
class RecordingLog:
    """A `bridge.topic.Log` that keeps what is logged, and prints nothing."""

    entries: list[LogEntry] = field(default_factory=list)

    def debug(self, event: str, **values: Any) -> None:
        self.entries.append(LogEntry("debug", event, values))

    def info(self, event: str, **values: Any) -> None:
        self.entries.append(LogEntry("info", event, values))

    def warning(self, event: str, **values: Any) -> None:
        self.entries.append(LogEntry("warning", event, values))

    def error(self, event: str, **values: Any) -> None:
        self.entries.append(LogEntry("error", event, values))


@dataclass(slots=True)
class MemoryRecords:
    """Records kept once, by kind and key. Like the store it raises for a record that JSON can't hold."""

    kept: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    async def put_once(self, kind: str, key: str, record: Mapping[str, Any]) -> tuple[str, bool]:
        new = (kind, key) not in self.kept
        self.kept.setdefault((kind, key), to_jsonable_python(dict(record)))
        return key, new


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    """The content of File variables by the variable's name; raises `VariableError` for any other."""

    contents: Mapping[str, bytes] = field(default_factory=dict)

    async def read_file(self, variable: str) -> bytes:
        if variable not in self.contents:
            raise VariableError(f"variable {variable!r}: there is no such file")
        return self.contents[variable]


def variables_of(result: Any, inputs: Mapping[str, Any] | None = None, timezone: str = "UTC") -> Variables:
    """Return what the engine is sent of a handler's result: by name, each with its type, value and scope.

    `inputs` are the variables that the process had, as Python values; `timezone` is ENGINE_TIMEZONE. Raises
    `VariableError` where the run would fail as `InvalidResult`.
    """
    into = EngineFormat(ZoneInfo(timezone))
    return encode_result(result, encode(inputs or {}, into), into)


def make_context(**overrides: Any) -> Context:
    """Return a context for one call of a handler; a keyword replaces the field of `Context` of that name.

    Each context has its own records and log, and no files, unless they are handed in: `put_once=records.put_once`,
    `read_file=MemoryFiles({"scan": b"..."}).read_file`, `log=RecordingLog()`. Raises `TypeError` for an unknown field.
    """
    fields: dict[str, Any] = {
        "task_id": "task-1",
        "topic": "topic",
        "attempt": 1,
        "business_key": None,
        "process_instance_id": "process-1",
        "tenant_id": None,
        "log": RecordingLog(),
        "put_once": MemoryRecords().put_once,
        "read_file": MemoryFiles().read_file,
        "activity_id": "activity",
        "process_definition_key": "process",
        "process_definition_id": "process:1:1",
        "execution_id": "execution-1",
        "retries_left": 3,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        **overrides,
    }
    fields.setdefault("idempotency_key", fields["task_id"])
    return Context(**fields)
