"""How many calls are under way at once; one that takes long gives its place to another while it goes on."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

LONG_CALLS: Final = 32
"""How many calls may go on beside those that are counted."""


class CallSlots:
    """Bounds calls to `limit`, and `LONG_CALLS` more that have given their places away."""

    def __init__(self, limit: int) -> None:
        self._free = asyncio.Semaphore(limit)
        self._long = 0

    def slot(self, given_away_after: float | None) -> CallSlot:
        """Return a place to enter for one call; `given_away_after` is in seconds."""
        return CallSlot(self, given_away_after)

    async def take(self) -> None:
        await self._free.acquire()

    def give_back(self, *, long: bool) -> None:
        """End a call. `long`: its place had been given away."""
        if long:
            self._long -= 1
        else:
            self._free.release()

    def give_away(self) -> bool:
        """Let another call have the place of one that goes on; False where too many go on already."""
        if self._long >= LONG_CALLS:
            return False
        self._long += 1
        self._free.release()
        return True


class CallSlot:
    """The place of one call; an asynchronous context."""

    __slots__ = ("_after", "_is_long", "_slots", "_timer")

    def __init__(self, slots: CallSlots, after: float | None) -> None:
        self._slots = slots
        self._after = after
        self._is_long = False
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._slots.take()
        if self._after is not None:
            self._timer = asyncio.get_running_loop().call_later(self._after, self._give_away)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._slots.give_back(long=self._is_long)

    def _give_away(self) -> None:
        self._is_long = self._slots.give_away()
