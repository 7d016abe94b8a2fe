"""A queue in which keys take turns: many items of one key don't hold up the few of another."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Turns(Generic[Item]):
    """First in, first out for each key; the keys with items take turns."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Item]] = {}
        self._order: deque[str] = deque()

    def push(self, key: str, item: Item) -> None:
        """Put the item at the end of its key's queue."""
        line = self._lines.get(key)
        if line is None:
            self._lines[key] = deque((item,))
            self._order.append(key)
        else:
            line.append(item)

    def pop(self) -> Item | None:
        """Take the first item of the key whose turn it is; None where there is no item."""
        if not self._order:
            return None
        key = self._order.popleft()
        line = self._lines[key]
        item = line.popleft()
        if line:
            self._order.append(key)
        else:
            del self._lines[key]
        return item
