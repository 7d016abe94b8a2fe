"""The limit on repeated lines of the log."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

MOST_TEXTS: Final = 100
"""Different errors of one key that are let through beyond its burst in one window."""
_NUMBERS: Final = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F-]{16,}|\d+")


@dataclass(slots=True)
class _Window:
    until: float
    passed: int = 0
    dropped: int = 0
    texts: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Dropped(Generic[Key]):
    """How many lines of `key` were dropped within a window that is over."""

    key: Key
    count: int


class LogRate(Generic[Key]):
    """Lets the first lines of each key through within a window, and counts the rest.

    A key's window begins with its first line and lasts `window` seconds. Beyond its burst a line passes only if it
    has an error's text that no line of this window had, ids and numbers aside. Safe to share between threads.
    """

    def __init__(self, window: float, monotonic: Callable[[], float]) -> None:
        self.window = window
        self._monotonic = monotonic
        self._windows: dict[Key, _Window] = {}
        self._first_end = float("inf")
        self._lock = threading.Lock()

    def admit(self, key: Key, burst: int, text: str | None = None) -> bool:
        """Return whether a line may be written. Call `ended` before, or a window's count is carried into the next."""
        now = self._monotonic()
        sort = None if text is None else _NUMBERS.sub("#", text[:1000])
        with self._lock:
            window = self._windows.get(key)
            if window is None or now >= window.until:
                dropped = 0 if window is None else window.dropped
                window = self._windows[key] = _Window(now + self.window, dropped=dropped)
                self._first_end = min(self._first_end, window.until)
            new = sort is not None and sort not in window.texts and len(window.texts) < MOST_TEXTS
            if sort is not None and new:
                window.texts.add(sort)
            if window.passed < burst or new:
                window.passed += 1
                return True
            window.dropped += 1
            return False

    def ended(self, *, all_of_them: bool = False) -> Sequence[Dropped[Key]]:
        """Return what was dropped in windows that are over, once; `all_of_them` ends the others, too."""
        if self._monotonic() < self._first_end and not all_of_them:
            return ()
        with self._lock:
            now = self._monotonic()
            over = [key for key, window in self._windows.items() if all_of_them or now >= window.until]
            found = [Dropped(key, window.dropped) for key in over if (window := self._windows.pop(key)).dropped]
            self._first_end = min((window.until for window in self._windows.values()), default=float("inf"))
        return found
