"""The log: the gateway's own events and the libraries' records, one line each, without secrets."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TextIO

import structlog

from bridge.adapters.logging.lines import Lines, NamedLogger, Output, loggable
from bridge.adapters.logging.rate import LogRate
from bridge.adapters.logging.records import RecordHandler, tame
from bridge.adapters.logging.task import task_fields
from bridge.domain.redaction import mask
from bridge.domain.task import Task
from bridge.domain.topic import Log
from bridge.ports.journal import FORMER_NAMES, Level

OURS: Final = ("bridge", "web", "topics", "sandbox")
"""The packages whose loggers are heard from LOG_LEVEL on."""
WINDOW: Final = 10.0
"""Seconds over which a repeated event is counted."""
BURST: Final = 10
TASK_BURST: Final = 100

_RANKS: Final[Mapping[Level, int]] = {
    Level.DEBUG: logging.DEBUG,
    Level.INFO: logging.INFO,
    Level.WARNING: logging.WARNING,
    Level.ERROR: logging.ERROR,
}

_RENDERED: Final = frozenset({"stack", "exc_info"})
"""Values that `Lines` turns into a traceback."""

_Key = tuple[str, str | None, Level]


def wants_json(setting: str, isatty: bool) -> bool:
    """Return whether LOG_FORMAT asks for JSON; `auto` does unless a terminal reads it."""
    return setting == "json" or (setting == "auto" and not isatty)


def configure_logging(
    *,
    level: str,
    json: bool,
    stream: TextIO | None = None,
    ours: Collection[str] = OURS,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Send structlog's and the standard library's loggers to `stream` (None: stderr), one line an event.

    `level` is LOG_LEVEL. Libraries are heard from WARNING on, or from INFO on at DEBUG; the packages `ours` from
    `level` on. To be called once, by the composition root, before loggers are made: they keep what they were made
    with. Called again it replaces what it had set up.
    """
    output = Output(stream)
    colors = not json and (stream or sys.stderr).isatty()
    lines = Lines(as_json=json, colors=colors)
    structlog.configure(
        processors=[lines],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: NamedLogger(output, str(names[0]) if names else "bridge"),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    tame(RecordHandler(output, lines, LogRate(WINDOW, monotonic), BURST), logging.getLevelName(level), ours)


class StructlogJournal:
    """`bridge.ports.journal.Journal` by structlog; make it after `configure_logging`.

    What is repeated is limited, so that an outage doesn't bury its own cause:

    - DEBUG and INFO are never limited.
    - WARNING and ERROR without a task: of each event, loop or topic, and level, `burst` lines in `window` seconds.
    - WARNING and ERROR of a task: of each event and level, whatever the task, `task_burst` lines.
    - Beyond that a line with a `stack` still passes when no line of the window had its error (ids and numbers aside).
    - What was dropped is told by one line `events_dropped` with the event and the count, before the first line of
      any kind that is written after the window's end, or by `flush`.
    """

    def __init__(
        self,
        name: str = "bridge",
        *,
        window: float = WINDOW,
        burst: int = BURST,
        task_burst: int = TASK_BURST,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name).bind()
        self.topics: structlog.typing.FilteringBoundLogger = structlog.get_logger("topics").bind()
        self._writers = {level: getattr(self._logger, level.value) for level in Level}
        self._least = self._logger.get_effective_level()
        self._rate: LogRate[_Key] = LogRate(window, monotonic)
        self._bursts = (burst, task_burst)

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        """Tell of `event`; `task` adds its id, topic, instance and trace. `stack` takes an exception."""
        rank = _RANKS[level]
        if rank < self._least:
            return
        self.flush(only_ended=True)
        if rank >= logging.WARNING and not self._admits(event, task, level, values):
            return
        if (former := FORMER_NAMES.get(event)) is not None:
            values["formerly"] = former
        self._writers[level](event, **(values if task is None else {**task_fields(task), **values}))

    def flush(self, *, only_ended: bool = False) -> None:
        """Tell what has been dropped so far; call it before the process ends."""
        for dropped in self._rate.ended(all_of_them=not only_ended):
            event, origin, level = dropped.key
            told = {"dropped": event, "origin": origin, "count": dropped.count, "of_level": level.value}
            self._writers[Level.WARNING]("events_dropped", **{k: v for k, v in told.items() if v is not None})

    def _admits(self, event: str, task: Task | None, level: Level, values: Mapping[str, object]) -> bool:
        error = values.get("stack")
        text = None if error is None else f"{type(error).__name__}: {error}"
        if task is not None:
            return self._rate.admit((event, None, level), self._bursts[1], text)
        origin = values.get("loop") or values.get("topic")
        return self._rate.admit((event, None if origin is None else str(origin), level), self._bursts[0], text)


def task_log(journal: StructlogJournal, task: Task, *, secrets: Collection[str] = ()) -> Log:
    """Return the logger that a handler's `Context` gets: each line names the task. It is written as logger `topics`.

    `secrets` are the topic's own keys to mask. A value whose key is one of the task's fields is shown under that key
    with `_` after it. These lines are not limited.
    """
    return _TaskLog(journal.topics, task, secrets)


class _TaskLog:
    """Collects the task's fields when a line is written: most runs write none."""

    __slots__ = ("_logger", "_secrets", "_task")

    def __init__(self, logger: structlog.typing.FilteringBoundLogger, task: Task, secrets: Collection[str]) -> None:
        self._logger = logger
        self._task = task
        self._secrets = secrets

    def debug(self, event: str, **values: Any) -> None:
        self._write(logging.DEBUG, event, values)

    def info(self, event: str, **values: Any) -> None:
        self._write(logging.INFO, event, values)

    def warning(self, event: str, **values: Any) -> None:
        self._write(logging.WARNING, event, values)

    def error(self, event: str, **values: Any) -> None:
        self._write(logging.ERROR, event, values)

    def _write(self, level: int, event: str, values: Mapping[str, Any]) -> None:
        if not self._logger.is_enabled_for(level):
            return
        fields = task_fields(self._task)
        for key, value in values.items():
            safe = mask(key, loggable(value), self._secrets) if key not in _RENDERED else value
            fields[f"{key}_" if key in fields else key] = safe
        self._logger.log(level, event, **fields)
