"""What wakes the polls that wait at the engine in memory."""

from __future__ import annotations

import asyncio


class News:
    """Wakes all that wait, again and again. A copy wakes nobody of the original's."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __reduce__(self) -> tuple[type[News], tuple[()]]:
        return News, ()

    async def wait(self) -> None:
        """Return at the next `tell`."""
        await self._event.wait()

    def tell(self) -> None:
        """Wake who waits now."""
        self._event.set()
        self._event = asyncio.Event()
