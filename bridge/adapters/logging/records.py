"""The standard library's logging, joined to ours: libraries are kept short and masked."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Collection
from typing import Any, Final

from bridge.adapters.logging.lines import Lines, Output
from bridge.adapters.logging.rate import LogRate
from bridge.adapters.logging.task import task_fields
from bridge.domain.redaction import MASK, mask_text
from bridge.runtime.current_task import current

_OFF: Final = logging.CRITICAL + 1
_SILENT: Final = ("uvicorn.access", "aiohttp.access")
"""Logs of requests: they would write every query and every address."""
_BROKER: Final = ("aio_pika", "aiormq", "faststream")
_LIBRARIES: Final = (*_BROKER, "pymongo", "litestar", "httpx", "httpcore", "aiohttp", "opentelemetry", "beanie")
_QUOTES_SECRETS: Final = frozenset({"opentelemetry.util.re"})
"""Loggers that put a secret into their message, without a key: OTEL_EXPORTER_OTLP_HEADERS where it can't be read."""
_CAMUNDA: Final = "camunda"
_SERVER: Final = ("uvicorn", "uvicorn.error", "uvicorn.asgi")


class RecordHandler(logging.Handler):
    """Writes the standard library's records by the same `Lines` as ours.

    From WARNING on, what one logger says again and again (its text before values are put in) is limited to `burst`
    lines in the rate's window; a line `events_dropped` tells of the rest before the first record after it.
    A record that is made while a handler runs names its task, as `Context.log` does, and masks its topic's secrets.
    """

    def __init__(self, output: Output, lines: Lines, rate: LogRate[tuple[str, str, int]], burst: int) -> None:
        super().__init__()
        self._output = output
        self._lines = lines
        self._rate = rate
        self._burst = burst

    def emit(self, record: logging.LogRecord) -> None:
        name = _name_of(record)
        if name == _CAMUNDA and record.levelno < logging.WARNING:
            return
        for dropped in self._rate.ended():
            origin, text, _ = dropped.key
            values = {"event": "events_dropped", "dropped": text, "count": dropped.count}
            self._output.write(self._lines.line(origin, "warning", values))
        level, values = _event_of(record)
        if level >= logging.WARNING:
            error = record.exc_info[1] if record.exc_info else None
            cause = None if error is None else f"{type(error).__name__}: {error}"
            if not self._rate.admit((name, str(record.msg), level), self._burst, cause):
                return
        self._output.write(self._lines.line(name, _level_name(level), _of_task(values)))


def tame(handler: RecordHandler, level: int, ours: Collection[str]) -> None:
    """Make `handler` the root's, in place of what wrote to a stream, and set how much each library may say."""
    libraries = logging.INFO if level <= logging.DEBUG else max(level, logging.WARNING)
    root = logging.getLogger()
    for present in list(root.handlers):
        if isinstance(present, RecordHandler) or type(present) is logging.StreamHandler:
            root.removeHandler(present)
    root.addHandler(handler)
    root.setLevel(libraries)
    levels = {
        **dict.fromkeys(_LIBRARIES, libraries),
        **dict.fromkeys(_SERVER, max(level, logging.INFO)),
        **dict.fromkeys(ours, level),
        **dict.fromkeys(_SILENT, _OFF),
        _CAMUNDA: max(level, logging.WARNING),
    }
    for name, least in levels.items():
        logger = logging.getLogger(name)
        logger.setLevel(least)
        logger.handlers.clear()
        logger.propagate = least != _OFF
    logging.captureWarnings(True)


def _of_task(values: dict[str, Any]) -> dict[str, Any]:
    found = current()
    if found is None:
        return values
    event, error = values["event"], values.get("error")
    text = mask_text(event, found.secrets) if isinstance(event, str) else event
    masked = {"event": text} if error is None else {"event": text, "error": mask_text(str(error), found.secrets)}
    if (stack := values.get("stack")) is not None:
        shown = "".join(traceback.format_exception(stack)) if isinstance(stack, BaseException) else str(stack)
        masked["stack"] = mask_text(shown, found.secrets)
    return {**masked, **task_fields(found.task)}


def _name_of(record: logging.LogRecord) -> str:
    """Return the logger's name. The Camunda client logs to the root, by a function in its `log_utils`."""
    return _CAMUNDA if record.name == "root" and record.module == "log_utils" else record.name


def _event_of(record: logging.LogRecord) -> tuple[int, dict[str, Any]]:
    try:
        text = record.getMessage() if record.name not in _QUOTES_SECRETS else str(record.msg).replace("%s", MASK)
        values: dict[str, Any] = {"event": text}
    except Exception:  # noqa: BLE001 - a library's own mistake in a format
        values = {"event": str(record.msg)}
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return record.levelno, values
    if _is_lost_connection(record, error):
        # It is lost and comes back by itself; forty lines of aiormq's internals add nothing.
        return min(record.levelno, logging.WARNING), {**values, "error": error}
    return record.levelno, {**values, "stack": error}


def _is_lost_connection(record: logging.LogRecord, error: BaseException) -> bool:
    origin = record.name if record.name.startswith(_BROKER) else type(error).__module__
    if not origin.startswith(_BROKER):
        return False
    return record.levelno <= logging.WARNING or isinstance(error, OSError | TimeoutError)


def _level_name(level: int) -> str:
    for least, name in ((50, "critical"), (40, "error"), (30, "warning"), (20, "info")):
        if level >= least:
            return name
    return "debug"
