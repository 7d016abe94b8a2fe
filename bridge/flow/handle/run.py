"""One run of a topic's handler: variables in, an outcome out, whatever the handler does."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from bridge.domain.errors import VariableError
from bridge.domain.messages import message, message_of
from bridge.domain.signals import BpmnError, Fail, Retry, as_text, checked_delay
from bridge.domain.task import BpmnFault, Completion, Failure, Outcome, Task
from bridge.domain.topic import Context, Topic
from bridge.domain.variables import EngineFormat, encode_result, read_input
from bridge.flow.handle.threads import Slot, Threads
from bridge.runtime.current_task import working_for
from bridge.runtime.loop import delay_after

MESSAGE_LIMIT: Final = 4_000
STACK_LIMIT: Final = 50_000
"""How many characters of an error are kept: a task's document has the errors of up to twenty attempts."""


class HandlerTimeout(Exception):
    """The handler ran longer than its topic's timeout, and was cancelled; a plain handler's thread runs on."""


class Run:
    """Runs handlers: async handlers on this loop, plain handlers in a slot of the `threads`."""

    def __init__(
        self,
        *,
        timeout: timedelta,
        first_delay: timedelta,
        most_delay: timedelta,
        threads: Threads,
        engine_format: EngineFormat = EngineFormat(),
    ) -> None:
        self._timeout = timeout
        self._format = engine_format
        self._delays = (first_delay, most_delay)
        self._chance = random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        self._threads = threads

    @asynccontextmanager
    async def slot(self, topic: Topic[Any, Any]) -> AsyncIterator[Slot | None]:
        """Wait until a handler of the topic may begin, and hold its slot; None for an async handler.

        Raises `ProcessEnding` where the process ends before that.
        """
        if topic.is_async:
            yield None
            return
        async with self._threads.slot(topic) as slot:
            yield slot

    def stop(self) -> None:
        """End all waiting for slots and for stuck threads."""
        self._threads.stop()

    def close(self) -> None:
        """Close the threads; a plain handler that runs can't be stopped, and its result is dropped."""
        self._threads.close()

    async def run(self, topic: Topic[Any, Any], task: Task, context: Context, slot: Slot | None) -> Outcome:
        """Return the outcome for the engine; raises cancellation alone. `slot` is a slot of this topic.

        A handler's `SystemExit` and `KeyboardInterrupt` are failures: asyncio raises them out of its loop, and the
        `sys.exit()` of one handler would end all others.
        """
        try:
            given = read_input(topic.input, task.inputs, self._format.zone)
        except BaseException as error:  # noqa: BLE001 - a model's own validators may raise anything
            return _failure("InvalidInput", explained(error), error, 0)
        limit = topic.timeout or self._timeout
        try:
            async with asyncio.timeout(limit.total_seconds()) as deadline:
                with working_for(task, topic.secrets):
                    # A slot has a free thread: the function begins at once.
                    result = await _call(topic, given, task, context, slot)
            return Completion(encode_result(result, task.inputs, self._format))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is the task's failure
            if deadline.expired() and isinstance(error, TimeoutError):
                error = HandlerTimeout(f"no result within {limit.total_seconds():g} s; the handler was cancelled")
            return self._outcome_of(task, error)

    def _outcome_of(self, task: Task, error: BaseException) -> Outcome:
        try:
            return self._match(task, error)
        except BaseException as wrong:  # noqa: BLE001 - a topic's own kind of Retry or BpmnError may lack what ours have
            return self._failed(task, _name(wrong), _text(wrong), wrong, None)

    def _match(self, task: Task, error: BaseException) -> Outcome:
        match error:
            case BpmnError():
                return self._bpmn(task, error)
            case Fail():
                return _failure("Fail", _text(error) or "the handler gave up", error, 0)
            case VariableError():
                return _failure("InvalidResult", _text(error), error, 0)
            case _:
                retry_after = error.after if isinstance(error, Retry) else None
                after = None if retry_after is None else checked_delay(retry_after)
                return self._failed(task, _name(error), _text(error), error, after)

    def _bpmn(self, task: Task, error: BpmnError) -> Outcome:
        try:
            variables = encode_result(error.variables, task.inputs, self._format)
            for name, variable in variables.items():
                if variable.local:
                    raise VariableError(message("variable.unusable", name=repr(name), why=message("variable.local")))
            code = as_text(error.code)
            if not code.strip():  # changed since it was made, or of a class of its own
                raise VariableError(message("variable.no_error_code"))
            return BpmnFault(code, as_text(error.message), variables)
        except VariableError as wrong:
            return _failure("InvalidResult", _text(wrong), wrong, 0)

    def _failed(self, task: Task, name: str, message: str, error: BaseException, after: timedelta | None) -> Failure:
        delay = after if after is not None else delay_after(task.attempts, *self._delays, self._chance)
        return _failure(name, message, error, task.retries, delay if task.retries else timedelta(0))


def unstorable(error: Exception) -> Failure:
    """Return the failure, without retries, of a task whose outcome the store refused: another run would end alike."""
    name, message = _name(error), _shortened(f"the result can't be stored: {_text(error)}", MESSAGE_LIMIT)
    return Failure(name, message, message, 0)


async def _call(topic: Topic[Any, Any], given: BaseModel, task: Task, context: Context, slot: Slot | None) -> Any:
    arguments = (given, context) if topic.takes_context else (given,)
    if slot is None:
        return await topic.handler(*arguments)
    return await slot.call(partial(topic.handler, *arguments), task)


def _failure(name: str, message: str, error: BaseException, retries: int, after: timedelta = timedelta(0)) -> Failure:
    text = _shortened(f"{name}: {message}" if message else name, MESSAGE_LIMIT)
    return Failure(name, text, _stack(error), retries, after)


def _stack(error: BaseException) -> str:
    try:
        return _shortened("".join(traceback.format_exception(error)), STACK_LIMIT)
    except BaseException:  # noqa: BLE001 - it reads what the error's own class answers
        return "(its stack can't be read)"


def _shortened(text: str, limit: int) -> str:
    """Cut the middle out of a text that is too long: the beginning and the end of a stack say the most."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def _name(error: BaseException) -> str:
    """Return the name of the error's class, past any metaclass that answers with another name."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return name


def _text(error: BaseException) -> str:
    try:
        # As a plain `str`: a class may return a subclass of `str` that behaves in its own way.
        return str.__str__(str(error))
    except BaseException:  # noqa: BLE001 - an error that can't be told is a failure all the same
        return "(its text can't be read)"


def explained(error: BaseException) -> str:
    """Return which variables are wrong and why, without their values."""
    if not isinstance(error, ValidationError):
        return _text(error) if isinstance(error, VariableError) else f"{_name(error)}: {_text(error)}"
    return str(message_of(error))
