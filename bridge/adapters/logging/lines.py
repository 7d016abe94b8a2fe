"""The lines of the log, one an event: masked values, in JSON or for a terminal."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any, Final, TextIO
from uuid import UUID

import orjson
import structlog
from opentelemetry import trace as api

from bridge.domain.redaction import MASK, is_secret, mask, mask_start, mask_text
from bridge.domain.task import Task, TypedValue
from bridge.ports.engine import EngineTask

MOST_ITEMS: Final = 100
LONGEST_TEXT: Final = 8_000
LONGEST_STACK: Final = 12_000
LONGEST_MASKED: Final = 200_000
"""Characters of a stack up to which all of it is masked, and its end shown, too."""
_DEEPEST: Final = 8
_LARGEST: Final = 2**63


class Output:
    """Where lines go, one at a time, from any thread."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Write a line. A log that can't be written (a full disk, a closed pipe) must not stop the work."""
        try:
            with self._lock:
                stream = self._stream or sys.stderr
                stream.write(line + "\n")
                stream.flush()
        except (OSError, ValueError):
            return


class NamedLogger:
    """What structlog's loggers write to. It knows the name that `structlog.get_logger(name)` was given."""

    __slots__ = ("critical", "debug", "error", "info", "name", "warning")

    def __init__(self, output: Output, name: str) -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = output.write


class Lines:
    """Makes the line of an event: structlog's only processor, and used for the standard library's records, too.

    It masks secrets in every value, never shows a process variable's value, and never raises.
    """

    def __init__(self, *, as_json: bool, colors: bool = False) -> None:
        self._render: Callable[[dict[str, Any]], str] = _to_json if as_json else _Console(colors)

    def __call__(self, logger: NamedLogger, method: str, event_dict: Mapping[str, Any]) -> str:
        return self.line(logger.name, method, event_dict)

    def line(self, name: str, level: str, values: Mapping[str, Any]) -> str:
        try:
            return self._render(_fields(name, level, values))
        except Exception as error:  # noqa: BLE001 - whatever was handed in, the log must not stop the work
            event = str(values.get("event"))
            fault = f"{type(error).__name__}: the event's values can't be shown"
            return self._render({**_head(name, level), "event": mask_text(event), "error": fault})


def _head(name: str, level: str) -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"timestamp": moment[:-6] + "Z", "level": level, "logger": name}


def _fields(name: str, level: str, values: Mapping[str, Any]) -> dict[str, Any]:
    line = _head(name, level)
    line["event"] = shown("event", values.get("event"))
    for key, value in values.items():
        if key not in {"event", "stack", "exc_info"}:
            line[f"{key}_" if key in line else key] = shown(key, value)
    _add_span(line)
    stack = stack_of(values.get("stack"), values.get("exc_info"))
    if stack is not None:
        line["stack"] = stack
    return line


def _add_span(line: dict[str, Any]) -> None:
    """Name the span that is current, as it is while a handler runs: a library's line is found by it, too."""
    found = api.get_current_span().get_span_context()
    if found.is_valid:
        line.setdefault("trace_id", api.format_trace_id(found.trace_id))
        if line["trace_id"] == api.format_trace_id(found.trace_id):
            line["span_id"] = api.format_span_id(found.span_id)


def shown(key: str, value: Any) -> Any:
    """Return a value for a line: JSON's types only, secrets masked, long values cut."""
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if kind is str or kind is float or (kind is int and abs(value) < _LARGEST):
        # most values by far
        if is_secret(key):
            return MASK
        if kind is not str:
            return value
        return _beginning(value, LONGEST_TEXT)
    return _cut(mask(key, loggable(value)))


def loggable(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911, PLR0912 - one case a type
    """Turn a value into JSON's types.

    Of a task only its id is told, of a variable its type, of an unknown object its class: its repr could hold
    variables.
    """
    match value:
        case None | bool() | float():
            return value
        case Enum():
            return loggable(value.value, depth + 1)
        case str():
            return _beginning(str(value), LONGEST_TEXT)
        case int():
            return int(value) if abs(value) < _LARGEST else str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID() | PurePath() | Decimal():
            return str(value)
        case BaseException():
            return _beginning(f"{type(value).__name__}: {value}", LONGEST_TEXT)
        case Task() | EngineTask():
            return value.id
        case TypedValue():
            return f"<{value.type}>"
        case bytes() | bytearray():
            return f"<{len(value)} bytes>"
        case Mapping() | list() | tuple() | set() | frozenset():
            return "…" if depth >= _DEEPEST else _loggable_items(value, depth + 1)
        case _:
            return f"<{type(value).__qualname__}>"


def _loggable_items(items: Any, depth: int) -> Any:
    more = len(items) - MOST_ITEMS
    if isinstance(items, Mapping):
        found = {str(key): loggable(item, depth) for key, item in islice(items.items(), MOST_ITEMS)}
        return {**found, "…": f"{more} more"} if more > 0 else found
    some = [loggable(item, depth) for item in islice(items, MOST_ITEMS)]
    return [*some, f"… {more} more"] if more > 0 else some


def stack_of(stack: Any, exc_info: Any = None) -> str | None:
    """Return an exception's traceback as masked text; a long one loses its middle."""
    error = stack if stack is not None else exc_info
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if not error:
        return None
    text = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else str(error)
    if len(text) > LONGEST_MASKED:
        return _beginning(text, LONGEST_STACK)
    text = mask_text(text.rstrip())
    if len(text) <= LONGEST_STACK:
        return text
    half = LONGEST_STACK // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _beginning(text: str, most: int) -> str:
    """Return masked text, cut where it is long: before it is masked, as what isn't shown is to cost nothing."""
    more = len(text) - most
    return mask_text(text) if more <= 0 else f"{mask_start(text, most)}… {more} characters more"


def _cut(value: Any) -> Any:
    """Shorten text after it was masked: a secret cut in two would no longer be known as one."""
    match value:
        case str():
            more = len(value) - LONGEST_TEXT
            return f"{value[:LONGEST_TEXT]}… {more} characters more" if more > 0 else value
        case dict():
            return {key: _cut(item) for key, item in value.items()}
        case list():
            return [_cut(item) for item in value]
        case _:
            return value


def _to_json(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line).decode()
    except TypeError:
        # orjson refuses text that is not Unicode, such as a file's name that was read with surrogates
        return json.dumps(line, separators=(",", ":"))


class _Console:
    """Lines for a terminal. Control characters are written out, or a value could forge lines and move the cursor."""

    def __init__(self, colors: bool) -> None:
        self._renderer = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, pad_event_to=24)

    def __call__(self, line: dict[str, Any]) -> str:
        stack = line.pop("stack", None)
        line = {key: _printable(value) if isinstance(value, str) else value for key, value in line.items()}
        text = self._renderer(None, "", line)
        return text if stack is None else "\n".join((text, *(_printable(part) for part in stack.splitlines())))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
