"""Values of pages that several readers open at once: computed once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    version: str
    task: asyncio.Task[T]

    @property
    def serves(self) -> bool:
        """Whether it is being made, or was made without a fault."""
        return not self.task.done() or (not self.task.cancelled() and self.task.exception() is None)


class Shared(Generic[T]):
    """Values by key, each for one version of what is shown; of too many the one made longest ago is dropped."""

    def __init__(self) -> None:
        self._made: dict[Hashable, _Made[T]] = {}

    async def get(self, key: Hashable, version: str, make: Callable[[], Awaitable[T]]) -> T:
        """Return the value that another reader made, or is making, for the same version; else make it.

        With an empty version nothing is shared. Raises what `make` raises, to all readers that wait.
        """
        made = self._made.get(key)
        if not version or made is None or made.version != version or not made.serves:
            self._made.pop(key, None)
            made = self._made[key] = _Made(version, asyncio.create_task(_run(make)))
            while len(self._made) > _MOST:
                del self._made[next(iter(self._made))]
        # A reader who leaves does not cancel it for the others.
        return await asyncio.shield(made.task)


async def _run(make: Callable[[], Awaitable[T]]) -> T:
    return await make()
