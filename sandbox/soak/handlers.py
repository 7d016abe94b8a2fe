"""The handlers of a soak: each keeps a diary of its runs that survives the kill of its process, and meets its fate."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, assert_never
from uuid import uuid4

from pydantic import BaseModel

from bridge.topic import BpmnError, Context, Topic, topic
from sandbox.soak.durations import BLOCK, HANG, PLAIN_TIMEOUT
from sandbox.soak.fates import ONCE, Fate

RESULT: Final = "result"
EXIT_CODE: Final = 77
"""The exit code of a process that a handler ends."""
_BALLAST: Final = "ballast"
_LARGE: Final = 200_000
_HUGE: Final = 17_000_000
_WORK: Final = 0.1
_RETRIES: Final = 20


class Input(BaseModel):
    """What a task is to do."""

    fate: Fate = Fate.WELL


@dataclass(frozen=True, slots=True)
class Diary:
    """The file in which runs are told, and the folder with a mark for each task whose fate has come."""

    runs: Path
    marks: Path

    @contextmanager
    def run(self, context: Context, fate: Fate) -> Iterator[Fate]:
        """Tell of a run from its begin to its end; give the fate that it has."""
        if fate in ONCE and not self._is_first(context.task_id):
            fate = Fate.WELL
        run = uuid4().hex
        told = {"task": context.task_id, "key": context.idempotency_key, "attempt": context.attempt}
        self._write({"run": run, **told, "fate": fate, "pid": os.getpid(), "began": time.time()})
        try:
            yield fate
        finally:
            self._write({"run": run, "ended": time.time()})

    def _is_first(self, task_id: str) -> bool:
        try:
            os.close(os.open(self.marks / task_id, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _write(self, line: dict[str, Any]) -> None:
        file = os.open(self.runs, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, json.dumps(line).encode() + b"\n")
        finally:
            os.close(file)


def async_topic(name: str, diary: Diary) -> Topic[Any, Any]:
    """Return the topic whose handlers share the event loop."""

    @topic(name, timeout=60, concurrency=16, retries=_RETRIES)
    async def work(given: Input, context: Context) -> dict[str, Any]:
        with diary.run(context, given.fate) as fate:
            if fate is Fate.BLOCKS:
                time.sleep(BLOCK)  # noqa: ASYNC251 - what a careless handler does
            await asyncio.sleep(_WORK)
            return _end(fate, context)

    return work


def plain_topic(name: str, diary: Diary) -> Topic[Any, Any]:
    """Return the topic whose handlers run in threads."""

    @topic(name, timeout=PLAIN_TIMEOUT, concurrency=8, retries=_RETRIES)
    def work(given: Input, context: Context) -> dict[str, Any]:
        with diary.run(context, given.fate) as fate:
            time.sleep(HANG if fate is Fate.HANGS else _WORK)
            return _end(fate, context)

    return work


def _end(fate: Fate, context: Context) -> dict[str, Any]:
    result = {RESULT: context.idempotency_key}
    match fate:
        case Fate.WELL | Fate.HANGS | Fate.BLOCKS:
            return result
        case Fate.LARGE:
            return {**result, _BALLAST: "x" * _LARGE}
        case Fate.HUGE:
            return {**result, _BALLAST: "x" * _HUGE}
        case Fate.UNSTORABLE:
            return {RESULT: object()}
        case Fate.REFUSES:
            raise BpmnError(404)
        case Fate.RAISES:
            raise ValueError("this run fails")
        case Fate.EXITS:
            sys.exit("this run calls sys.exit")
        case Fate.INTERRUPTS:
            raise KeyboardInterrupt
        case Fate.DIES:
            os._exit(EXIT_CODE)
        case _:
            assert_never(fate)
