"""Checks that ask the engine about many tasks, beside the sweep: of tasks that are gone it is asked one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Set
from datetime import timedelta
from typing import Any

from bridge.domain.errors import StoreError
from bridge.domain.task import State


class Checks:
    """Runs one check a state at a time. A sweep waits up to `wait` for a check, and goes on without its end."""

    def __init__(self, wait: timedelta) -> None:
        self._wait = wait.total_seconds()
        self._running: dict[State, asyncio.Task[None]] = {}

    @property
    def states(self) -> Set[State]:
        """The states whose check is under way."""
        return self._running.keys()

    async def run(self, state: State, check: Coroutine[Any, Any, None]) -> None:
        """Begin a check, and wait for it; raise what it raises within that time."""
        running = self._running[state] = asyncio.create_task(check)
        await asyncio.wait({running}, timeout=self._wait)
        if running.done():
            del self._running[state]
            running.result()

    def failure(self) -> StoreError | None:
        """Forget the checks that ended since the last sweep; return the store's error of one of them.

        Raises any other error.
        """
        failure: StoreError | None = None
        for state in [state for state, running in self._running.items() if running.done()]:
            try:
                self._running.pop(state).result()
            except StoreError as error:
                failure = error
        return failure

    async def settle(self) -> None:
        """Wait for the checks under way."""
        if self._running:
            await asyncio.wait(self._running.values())

    async def stop(self) -> None:
        """End the checks under way: another process makes them again."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._running.clear()
