"""Runs the process's one event loop to the end of its main coroutine, whatever tasks on it raise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

THREAD_TURN: Final = 0.001
"""Seconds that a thread keeps the interpreter's lock while others want it. With Python's 5 ms the loop waits for so
long after each of its looks at the network while a thread is at work on a large value, or in a plain handler."""


def run_to_end(runner: asyncio.Runner, main: Coroutine[Any, Any, T], on_exit: Callable[[BaseException], None]) -> T:
    """Run `main` on the runner's loop and return its result, or raise its error.

    A task that a handler starts itself may raise `SystemExit` or `KeyboardInterrupt`. asyncio keeps both as the task's
    result and raises them out of the loop as well (`asyncio.Task`), which would end all handlers beside it. `on_exit`
    is called (of two in one turn of uvloop's only for the last), and the loop goes on: code that awaits that task gets
    the error, as with any other.
    """
    loop = runner.get_loop()
    task = loop.create_task(main)
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            # uvloop finishes the turn that it is in before it raises: `main` may have ended in the same one.
            if not task.done() or task.cancelled() or task.exception() is not error:
                on_exit(error)
    return task.result()
