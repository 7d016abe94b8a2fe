"""Work on large values in threads: the event loop goes on meanwhile, and only a few such calls run at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from bridge.domain.errors import Overloaded
from bridge.domain.messages import message
from bridge.domain.submission import LARGE
from bridge.domain.task import Variables
from bridge.runtime.own_threads import OwnThreads

P = ParamSpec("P")
T = TypeVar("T")

WORKED: Final = 2
"""How many are worked at a time: they share one interpreter lock, and more would take the loop's turns."""
WAITING: Final = 8
"""How many may wait for their turn, each with its large value in memory."""


class Offload:
    """Runs functions on large values in threads, `worked` at a time, with at most `waiting` more in line."""

    def __init__(self, worked: int = WORKED, waiting: int = WAITING) -> None:
        self._threads = OwnThreads("large", worked)
        self._most = worked + waiting
        self._present = 0

    async def run(self, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the function returns; at once and here where `size`, in bytes or characters, is not large.

        Raises `Overloaded` where too many wait.
        """
        if size <= LARGE:
            return function(*args, **kwargs)
        if self._present >= self._most:
            raise Overloaded(message("request.large"))
        self._present += 1
        try:
            return await self._threads.run(function, *args, **kwargs)
        finally:
            self._present -= 1


def size_of(variables: Variables | None) -> int:
    """Return how many characters the values have that are text or bytes: nearly all that a large task has."""
    values = () if variables is None else (variable.value for variable in variables.values())
    return sum(len(value) for value in values if isinstance(value, str | bytes))
