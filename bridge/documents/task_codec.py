"""A task as its document, and back: pure converters for the hot path.

A task is converted by hand, because validating each document that this process has itself written would cost several
times what reading it costs. What MongoDB can't hold as it is:

- a variable's name may contain `.` and `$`, so variables are an array and their names are values;
- a value that is no scalar, or an integer beyond 64 bits, is kept as JSON text: its keys are the client's as well;
- MongoDB keeps milliseconds: whatever is finer is cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final, TypeVar, assert_never

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError

from bridge.documents.messages import from_code, to_code
from bridge.documents.raw import Raw
from bridge.domain.errors import VariableError
from bridge.domain.lifecycle import Move
from bridge.domain.messages import message
from bridge.domain.task import (
    Attempt,
    BpmnFault,
    Completion,
    Edit,
    Failure,
    Outcome,
    PendingRetry,
    Source,
    State,
    Task,
    TypedValue,
    UnreadableTask,
    Variables,
)

UNSTORABLE: Final = (BSONError, TypeError, ValueError, OverflowError, RecursionError)
"""What the driver raises for a value that BSON can't hold; text that UTF-8 can't write is a `ValueError`."""

_READ: Final = CodecOptions[Raw](tz_aware=True)
_LONG: Final = 1 << 63

Decoded = TypeVar("Decoded")


def to_document(task: Task) -> Raw:
    """Return the task as its document; a field that is None is left out. Raises `VariableError` as `to_fields` does."""
    document: Raw = {"_id": task.id}
    for name, value in zip(_FIELDS, _VALUES(task), strict=True):
        if value is not None:
            document[name] = _to_field(name, value) if name in _ENCODERS else value
    code = _code_of(task.error)
    if code is not None:
        document[_ERROR_CODE] = code
    return document


class UnreadableField(ValueError):
    """A field of a document that can't be read; the message names it."""


def read_document(document: Mapping[str, Any]) -> Task | UnreadableTask:
    """Return the task that a document holds, or what of it can be read."""
    try:
        return from_document(document)
    except UnreadableField as error:
        fields: Raw = {}
        reasons: list[str] = []
        # Each field by itself, the state first: it tells of another version. The order that is stored says nothing.
        for name in sorted(document, key=lambda name: (name != "state", name)):
            try:
                fields |= _from_fields({name: document[name]})
            except UnreadableField as bad:
                reasons.append(str(bad))
        return UnreadableTask(str(document.get("_id")), "; ".join(reasons) or str(error), fields, document)


def from_document(document: Mapping[str, Any]) -> Task:
    """Return the task that a document holds. Raises `UnreadableField`."""
    values = _from_fields(document)
    if missing := [name for name in ("_id", *_REQUIRED) if document.get(name) is None]:
        raise UnreadableField(f"{' and '.join(missing)}: missing")
    if not isinstance(document["_id"], str):
        raise UnreadableField(f"_id: a text is expected, found {type(document['_id']).__name__}")
    # A version before kept the result of a task in place of its outcome.
    if document.get("result") is not None and "outcome" not in values and values["state"] is State.COMPLETED:
        values["outcome"] = Completion(_decoded("result", document["result"], _from_variables))
    return Task(id=document["_id"], **values)


def _from_fields(document: Mapping[str, Any]) -> Raw:
    values: Raw = {}
    for name, value in document.items():
        expected = _STORED_AS.get(name)
        if value is None or expected is None:
            continue
        if not isinstance(value, expected):
            raise UnreadableField(f"{name}: {type(value).__name__} is stored where another type is expected")
        decoder = _DECODERS.get(name)
        values[name] = value if decoder is None else _decoded(name, value, decoder)
    if "error" in values and _ERROR_CODE in document:
        values["error"] = from_code(values["error"], document[_ERROR_CODE])
    return values


def _decoded(name: str, value: Any, decoder: Callable[[Any], Decoded]) -> Decoded:
    try:
        return decoder(value)
    except Exception as error:  # whatever a value of another version, or of somebody else's, leads to
        raise UnreadableField(f"{name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__


def to_fields(changes: Mapping[str, Any]) -> Raw:
    """Return changes of a task's fields as its document has them.

    Raises `TypeError` for a field it doesn't have, and `VariableError` for a value that has no form there.
    """
    encoded: Raw = {}
    for name, value in changes.items():
        if name not in _CHANGEABLE:
            raise TypeError(f"a task has no field {name!r} that a move could change")
        encoded[name] = None if value is None else _to_field(name, value)
    if "error" in changes:  # without a code, too: that of the error before must not stay
        encoded[_ERROR_CODE] = _code_of(changes["error"])
    return encoded


def _to_field(name: str, value: Any) -> Any:
    encoder = _ENCODERS.get(name)
    if encoder is None:
        return value
    try:
        return encoder(value)
    except Exception as error:  # whatever a value of a handler's own kind raises
        text = message("task.field_not_storable", field=name, kind=type(error).__name__, error=error)
        raise VariableError(text) from error


def encode(document: Mapping[str, Any], task_id: str) -> bytes:
    """Return a task's document, or a part of it, in BSON. Raises `VariableError` where it holds what BSON can't."""
    try:
        return bson.encode(document)
    except UNSTORABLE as error:
        raise VariableError(message("task.not_storable", task=task_id, error=error)) from error


def decode(data: bytes) -> Raw:
    """Return the document that BSON holds, as the driver reads it."""
    return bson.decode(data, _READ)


def read_back(task: Task) -> Task:
    """Return the task as it is after it was kept. Raises `VariableError` where it can't be."""
    return from_document(decode(encode(to_document(task), task.id)))


def moved_back(move: Move) -> Move:
    """Return the move with its changes and its attempt as they are after they were kept; raises as `read_back`."""
    document = {**to_fields(move.changes), "history": [] if move.attempt is None else [to_attempt(move.attempt)]}
    kept = _from_fields(decode(encode(document, move.task_id)))
    (attempt,) = kept.pop("history") or (None,)
    return replace(move, changes={**dict.fromkeys(move.changes), **kept}, attempt=attempt)


def size_of(task: Task) -> int:
    """Return how many bytes the task takes as a document. Raises `VariableError` where it can't be one."""
    return len(encode(to_document(task), task.id))


def as_kept(task: Task) -> Task:
    """Return the task as it would be read back: with its moments cut to milliseconds."""
    finer: Raw = {
        name: cut(moment)
        for name in _MOMENTS
        if (moment := getattr(task, name)) is not None and moment.microsecond % 1000
    }
    return task.changed(**finer) if finer else task


def cut(moment: datetime) -> datetime:
    """Return the moment as MongoDB keeps it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def to_attempt(attempt: Attempt) -> Raw:
    return {
        "number": attempt.number,
        "claim_id": attempt.claim_id,
        "replica": attempt.replica,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "ended": attempt.ended,
        "error": _clean(attempt.error),
        "message": _clean(attempt.message),
        "details": _clean(attempt.details),
    }


def _to_history(history: Iterable[Attempt]) -> list[Raw]:
    return [to_attempt(attempt) for attempt in history]


def _from_history(rows: Iterable[Raw]) -> tuple[Attempt, ...]:
    return tuple(_from_attempt(row) for row in rows)


def _from_attempt(row: Raw) -> Attempt:
    """Return the attempt of a row; what a later version keeps of it besides is left aside, and stays where it is."""
    texts = [_text(row, name) for name in ("claim_id", "replica", "ended")]
    claim_id, replica, ended = texts
    moments = (row["started_at"], row["ended_at"])
    if not all(isinstance(moment, datetime) for moment in moments):
        raise ValueError("an attempt's moment is none")
    causes = [None if row.get(name) is None else _text(row, name) for name in ("error", "message", "details")]
    return Attempt(int(row["number"]), claim_id, replica, *moments, ended, *causes)


def _text(row: Raw, name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")  # noqa: TRY004 - it is read as every other value that can't be
    return value


def _to_variables(variables: Variables) -> list[Raw]:
    return [_to_variable(name, variable) for name, variable in variables.items()]


def _to_variable(name: str, variable: TypedValue) -> Raw:
    value = variable.value
    row: Raw = {"name": name, "type": variable.type}
    if value is None or isinstance(value, str | bool | float) or (isinstance(value, int) and -_LONG <= value < _LONG):
        row["value"] = value
    else:
        row["json_value"] = json.dumps(value)
    if variable.value_info:
        row["info"] = json.dumps(dict(variable.value_info))
    if variable.local:
        row["local"] = True
    return row


def _from_variables(rows: Iterable[Raw]) -> Variables:
    return {_text(row, "name"): _from_variable(row) for row in rows}


def _from_variable(row: Raw) -> TypedValue:
    text, info = row.get("json_value"), row.get("info")
    value = row.get("value") if text is None else json.loads(text)
    # What doesn't fit 32 bits is read as `bson.Int64`; `domain.variables` wants an int and nothing that is like one.
    if isinstance(value, int) and not isinstance(value, bool):
        value = int(value)
    return TypedValue(_text(row, "type"), value, {} if info is None else json.loads(info), bool(row.get("local")))


def _to_outcome(outcome: Outcome) -> Raw:
    match outcome:
        case Completion(variables):
            return {"kind": "completion", "variables": _to_variables(variables)}
        case Failure(name, message, details, retries, retry_after):
            return {
                "kind": "failure",
                "name": _clean(name),
                "message": _clean(message),
                "details": _clean(details),
                "retries": retries,
                "retry_after": retry_after.total_seconds(),
            }
        case BpmnFault(code, message, variables):
            return {
                "kind": "bpmn_error",
                "code": _clean(code),
                "message": _clean(message),
                "variables": _to_variables(variables),
            }
        case _:
            assert_never(outcome)


def _from_outcome(row: Raw) -> Outcome:
    match row["kind"]:
        case "completion":
            return Completion(_from_variables(row["variables"]))
        case "failure":
            after = timedelta(seconds=row["retry_after"])
            name, message, details = (_text(row, each) for each in ("name", "message", "details"))
            return Failure(name, message, details, int(row["retries"]), after)
        case "bpmn_error":
            return BpmnFault(_text(row, "code"), _text(row, "message"), _from_variables(row["variables"]))
        case kind:
            raise ValueError(f"a stored outcome is of the unknown kind {kind!r}")


def _to_edit(edit: Edit) -> str:
    return json.dumps({"epoch": edit.epoch, "values": dict(edit.values)})


def _from_edit(text: str) -> Edit:
    return Edit(**json.loads(text))


def _to_pending_retry(pending: PendingRetry) -> str:
    at = cut(pending.at).isoformat()
    return json.dumps({"epoch": pending.epoch, "at": at, "variables": list(pending.variables)})


def _from_pending_retry(text: str) -> PendingRetry:
    row = json.loads(text)
    return PendingRetry(row["epoch"], datetime.fromisoformat(row["at"]), tuple(row["variables"]))


def _clean(text: str | None) -> str | None:
    """Return the text without what UTF-8 can't write: an exception's message may quote a file name that isn't text."""
    if text is None or text.isascii():
        return None if text is None else str(text)
    return text.encode("utf-8", "replace").decode()


def _code_of(error: str | None) -> Raw | None:
    """Return the code of an error with its parameters; none where they quote what UTF-8 can't write."""
    return to_code(error) if error is not None and _clean(error) == error else None


_ERROR_CODE: Final = "error_message"
"""The field with the code of the error, where that is one of the gateway's own messages."""
_FIELDS: Final = tuple(name for name in Task.__struct_fields__ if name != "id")
_VALUES: Final = attrgetter(*_FIELDS)
_CHANGEABLE: Final = frozenset(_FIELDS) - {"state", "history"}
_MOMENTS: Final[Sequence[str]] = (
    "lease_until", "created_at", "updated_at", "next_at", "claimed_at", "finished_at", "engine_created_at",
    "in_flight_until",
)  # fmt: skip
_NUMBERS: Final[Sequence[str]] = ("retries", "epoch", "priority", "attempts", "lost_claims", "reports", "refusals")
_REQUIRED: Final = (
    "topic", "worker_id", "lease_until", "created_at", "updated_at", "retries", "state", "source", "epoch",
)  # fmt: skip
_STORED_AS: Final[Mapping[str, type | tuple[type, ...]]] = {
    **dict.fromkeys(_FIELDS, str),
    **dict.fromkeys(_MOMENTS, datetime),
    **dict.fromkeys(_NUMBERS, (int, float)),
    **dict.fromkeys(("variables", "given", "history"), list),
    "outcome": dict,
    "verified": bool,
}
"""Of what type the driver reads each field; those of the rest of a task's fields are texts."""
_ENCODERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "variables": _to_variables,
    "given": _to_variables,
    "outcome": _to_outcome,
    "history": _to_history,
    "properties": json.dumps,
    "edit": _to_edit,
    "pending_retry": _to_pending_retry,
    "error": _clean,
    "error_type": _clean,
    "state": str,
    "source": str,
}
_DECODERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "variables": _from_variables,
    "given": _from_variables,
    "outcome": _from_outcome,
    "history": _from_history,
    "properties": json.loads,
    "edit": _from_edit,
    "pending_retry": _from_pending_retry,
    "state": State,
    "source": Source,
    **dict.fromkeys(_NUMBERS, int),
}
