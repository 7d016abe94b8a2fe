"""Runs a gateway as a child process, and starts it again when files change and can be loaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

Say = Callable[[str, bool], None]
"""Tells the person at the console a text, and whether it is about something that is wrong."""


class Child(Protocol):
    """A gateway that runs."""

    async def ended(self) -> int:
        """Wait for its end; return the exit code."""
        ...

    def stop(self) -> None:
        """Ask it to end in good order: handlers get their grace, and tasks are given back."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class Supervisor:
    """Starts a child, and another after each change.

    `check` returns what is wrong with the files, in lines: then the child that runs goes on as it is. `changes` gives
    the names of files that have changed. `run` ends when `stop` is set, after the child's own end.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[Child]],
        check: Callable[[], Awaitable[Sequence[str]]],
        changes: AsyncIterator[Sequence[str]],
        say: Say,
        stop: asyncio.Event,
    ) -> None:
        self._start = start
        self._check = check
        self._changes = changes
        self._say = say
        self._stop = stop
        self._child: Child | None = None

    async def run(self) -> None:
        """Run until `stop` is set, or no more changes can be seen."""
        stopped = asyncio.ensure_future(self._stop.wait())
        changed: asyncio.Future[Sequence[str]] = asyncio.ensure_future(anext(self._changes, ()))
        ended: asyncio.Future[int] | None = None
        try:
            await self._start_checked()
            while not self._stop.is_set():
                if ended is None and self._child is not None:
                    ended = asyncio.ensure_future(self._child.ended())
                waited = {stopped, changed, *(() if ended is None else (ended,))}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if ended is not None and ended.done():
                    self._tell_end(ended.result())
                    ended = None
                if changed.done():
                    names = changed.result()
                    if not names:
                        break
                    changed = asyncio.ensure_future(anext(self._changes, ()))
                    self._say(f"{_listed(names)} changed", False)
                    if await self._start_checked():
                        ended = None
        finally:
            for waiting in (stopped, changed, ended):
                if waiting is not None:
                    waiting.cancel()
            await self._stop_child()

    def kill(self) -> None:
        """End the child at once."""
        if self._child is not None:
            self._child.kill()

    async def _start_checked(self) -> bool:
        """Start a child in the place of the one that runs, unless the files are wrong; return whether it did."""
        faults = await self._check()
        if self._stop.is_set():
            return False
        if faults:
            goes_on = "the gateway goes on with the topics as they were" if self._child else "no gateway runs"
            self._say("\n".join(faults), True)
            self._say(f"{goes_on}: mend this and save the file, and it starts again", True)
            return False
        if self._child is not None:
            self._say("starting again: handlers that run get their grace, and tasks are given back", False)
            await self._stop_child()
        self._child = await self._start()
        return True

    async def _stop_child(self) -> None:
        if self._child is not None:
            self._child.stop()
            await self._child.ended()
            self._child = None

    def _tell_end(self, code: int) -> None:
        self._child = None
        if not self._stop.is_set():
            self._say(f"the gateway ended with {code}: it starts again when a file changes", True)


def _listed(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
