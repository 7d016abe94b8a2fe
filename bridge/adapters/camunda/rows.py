"""The engine's external tasks row by row: an unreadable row does not affect the others.

Values that the engine's own tables can't hold are refused here, so that no later code meets them. Source: Camunda 7.24,
LockedExternalTaskDto, ExternalTaskDto and ACT_RU_EXT_TASK.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bridge.domain.task import ID_LIMIT, Variables
from bridge.domain.unreadable_row import UnreadableRow
from bridge.domain.variables import from_wire, parse_date
from bridge.ports.engine import EngineTask

TEXT_LIMIT: Final = 255
"""How many characters the engine's tables hold of a name, a key, or an id that isn't the task's."""
_REASON_LIMIT: Final = 200
_ID_SHOWN: Final = 100
_INTEGER: Final = 2**31
_LONG: Final = 2**63


def external_task(row: Mapping[str, Any]) -> EngineTask:
    """Read a row. Raises `ValueError`."""
    task_id, topic = _text(row, "id", ID_LIMIT), _text(row, "topicName")
    if not task_id or not topic:
        raise ValueError(f"it has no {'topicName' if task_id else 'id'}")
    return EngineTask(
        id=task_id,
        topic=topic,
        worker_id=_text(row, "workerId"),
        lock_until=_moment(row, "lockExpirationTime"),
        retries=_number(row, "retries", _INTEGER),
        suspended=_flag(row, "suspended"),
        variables=_variables(row),
        business_key=_text(row, "businessKey"),
        process_instance_id=_text(row, "processInstanceId"),
        process_definition_key=_text(row, "processDefinitionKey"),
        process_definition_id=_text(row, "processDefinitionId"),
        activity_id=_text(row, "activityId"),
        activity_instance_id=_text(row, "activityInstanceId"),
        execution_id=_text(row, "executionId"),
        tenant_id=_text(row, "tenantId"),
        priority=_number(row, "priority", _LONG) or 0,
        created_at=_moment(row, "createTime"),
        properties=_properties(row),
        error=_text(row, "errorMessage", None),
    )


def read_row(row: Any) -> EngineTask | UnreadableRow:
    """Read a row of a list. Raises `TypeError` for what is no object: then the list is not the engine's."""
    if not isinstance(row, dict):
        raise TypeError(f"a row is no JSON object: {type(row).__name__}")
    try:
        return external_task(row)
    except ValueError as error:
        task_id = row.get("id")
        return UnreadableRow(
            task_id[:_ID_SHOWN] if isinstance(task_id, str) else None,
            str(error)[:_REASON_LIMIT],
            is_locked=isinstance(task_id, str) and 0 < len(task_id) <= _ID_SHOWN,
        )


def read_leases(
    rows: Sequence[EngineTask | UnreadableRow], topics: Collection[str]
) -> list[EngineTask | UnreadableRow]:
    """Return a fetch's rows, those as unreadable that are of a topic not asked for, or come twice."""
    seen: set[str] = set()
    found: list[EngineTask | UnreadableRow] = []
    for row in rows:
        match row:
            case EngineTask() if row.topic not in topics:
                found.append(UnreadableRow(row.id, f"its topic was not asked for: {row.topic!r}", is_locked=True))
            case EngineTask() if row.id in seen:
                found.append(UnreadableRow(row.id, "its id comes twice in an answer"))
            case EngineTask():
                seen.add(row.id)
                found.append(row)
            case _:
                found.append(row)
    return found


def _text(row: Mapping[str, Any], name: str, limit: int | None = TEXT_LIMIT) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"its {name} is no text")  # noqa: TRY004 - one error for all that can't be read
    if limit is not None and len(value) > limit:
        raise ValueError(f"its {name} has {len(value)} characters, {limit} at most are the engine's")
    return value


def _number(row: Mapping[str, Any], name: str, end: int) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not -end <= value < end:
        raise ValueError(f"its {name} is no whole number that the engine can hold")
    return value


def _flag(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"its {name} is neither true nor false")
    return bool(value)


def _moment(row: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(row, name)
    try:
        return None if text is None else parse_date(text)
    except ValueError as error:
        raise ValueError(f"its {name} is no moment: {error}") from error


def _variables(row: Mapping[str, Any]) -> Variables:
    value = row.get("variables")
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(map(_is_variable, value.values())):
        raise ValueError("its variables are not of the engine's form")
    return from_wire(value)


def _is_variable(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("type"), str | None)
        and isinstance(value.get("valueInfo"), dict | None)
    )


def _properties(row: Mapping[str, Any]) -> Mapping[str, str] | None:
    value = row.get("extensionProperties")
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError("its extensionProperties are not texts")
    return value or None
