"""The pause between two looks at a real server, which has no signal for what a test waits for."""

from __future__ import annotations

import asyncio
from typing import Final

_PAUSE: Final = 0.03
"""Seconds. A loop without a pause takes the CPU from the servers that it waits for."""


async def pause() -> None:
    """Wait before the next look; the caller says how long it looks at all."""
    await asyncio.sleep(_PAUSE)
