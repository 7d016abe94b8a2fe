"""How late the event loop is: it measures that itself, by being woken at a time that it knows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

_EVERY: Final = 0.25
_KEPT: Final = 40


class Lag:
    """`observe` gets each measure, and the most of the last ten seconds, which is `recent`."""

    def __init__(self, observe: Callable[[float, float], None]) -> None:
        self._observe = observe
        self._due: float | None = None
        self._last: deque[float] = deque(maxlen=_KEPT)

    @property
    def recent(self) -> float:
        """The most that the loop was late in the last ten seconds."""
        return max(self._last, default=0.0)

    def late(self) -> float:
        """Return by how many seconds the loop is late at this moment; from any thread."""
        due = self._due
        return 0.0 if due is None else max(0.0, time.monotonic() - due)

    async def run_once(self) -> None:
        """Sleep a little, and see by how much it became more."""
        loop = asyncio.get_running_loop()
        due = loop.time() + _EVERY
        self._due = time.monotonic() + _EVERY
        await asyncio.sleep(_EVERY)
        self._due = None
        late = max(0.0, loop.time() - due)
        self._last.append(late)
        self._observe(late, self.recent)
