"""How many tasks one call asks for: more where calls are slow and larger ones make each task cheaper."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

FIRST: Final = 100
"""The size of a call while calls are quick, and how many tasks of a larger call are stored together."""
SLOW: Final = timedelta(milliseconds=100)
"""A call that takes longer is worth being larger and rarer."""
GAIN: Final = 0.8
"""A size is kept where a task takes at most this part of its time in a call of half the size."""
SETTLED: Final = 20
"""After so many calls another size is tried."""


class FetchSize:
    """The size of one topic's calls while it has a backlog; `most` is where it ends.

    For each call the engine reads and sorts all open tasks of the topic: with 60,000 tasks that is 600 ms of CPU for 50
    tasks, and 800 ms for 500. So a slow call's size is doubled for as long as that pays. Where it doesn't, as with
    large variables, the size goes back to what it was. An answer that is too large to be read halves the size, until
    so many calls of that size went well.
    """

    def __init__(self, most: int) -> None:
        self._first = min(FIRST, most)
        self._most = most
        self._settled = 0
        self._before: tuple[int, timedelta] | None = None
        self._size = self._first
        self._readable = most
        self._readable_calls = 0

    @property
    def now(self) -> int:
        """The most tasks that the next call asks for."""
        return min(self._size, self._readable)

    def halve(self, size: int) -> None:
        """Record that the answer to a call of this size was too large to be read."""
        self._readable, self._readable_calls, self._before = max(1, min(size, self.now) // 2), 0, None

    def learn(self, size: int, took: timedelta) -> None:
        """Record that a call of this size, the largest that its topic may have, came back full in this time."""
        if self._readable < self._most:
            self._readable_calls += 1
            if self._readable_calls >= SETTLED:
                self._readable, self._readable_calls = min(2 * self._readable, self._most), 0
            return
        a_task, before = took / size, self._before
        self._before = None
        if before is not None and a_task > GAIN * before[1]:
            self._size, self._settled = before[0], SETTLED
        elif self._settled:
            self._settled -= 1
        elif took >= SLOW and self._size < self._most:
            self._before = (self._size, a_task)
            self._size = min(2 * self._size, self._most)

    def forget(self) -> None:
        """Start again: the topic's backlog is gone."""
        self._size, self._settled, self._before = self._first, 0, None
