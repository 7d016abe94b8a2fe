"""A watch over the event loop: names the handler that blocks it, while it does."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import FrameType
from typing import Any, Final

from bridge.domain.topic import Topic
from bridge.ports.journal import Journal, Level

BLOCKED_AFTER: Final = 0.5
"""Seconds by which the loop must be late to be reported: renewals, probes and all handlers wait meanwhile."""
_EVERY: Final = 0.25
_TASK: Final = "handler of "


def task_name(topic: str) -> str:
    """Return the name of an asyncio task that runs a handler of a topic."""
    return f"{_TASK}{topic}"


@dataclass(slots=True)
class _Block:
    topic: str | None
    reported_at: float
    counted: float = 0.0


class LoopWatch:
    """Watches the loop from a thread of its own. `late` returns by how many seconds the loop is late.

    `observe` gets the seconds that a topic ("" where none is known) has blocked the loop. A block is reported again
    whenever it has lasted twice as long. The watch costs the loop nothing.
    """

    def __init__(
        self,
        late: Callable[[], float],
        journal: Journal,
        topics: Mapping[str, Topic[Any, Any]],
        observe: Callable[[str, float], None],
    ) -> None:
        self._late = late
        self._journal = journal
        self._topics = topics
        self._observe = observe
        self._files: dict[str, list[str]] = {}
        for name, topic in topics.items():
            self._files.setdefault(topic.handler.__code__.co_filename, []).append(name)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
        self._block: _Block | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Watch the loop that runs in this thread, until `stop`."""
        self.attach()
        threading.Thread(target=self._run, name="loop-watch", daemon=True).start()

    def attach(self) -> None:
        """Watch the loop that runs in this thread."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()

    def sample(self) -> None:
        """Check once, from another thread than the loop's."""
        late, block = self._late(), self._block
        if late < BLOCKED_AFTER:
            if block is not None:
                self._block = None
                self._journal.write("event_loop_unblocked", topic=block.topic, seconds=round(block.counted, 3))
            return
        if block is None or late >= 2 * block.reported_at:
            topic, where = self._sample()
            counted = 0.0 if block is None else block.counted
            block = self._block = _Block(topic, late, counted)
            self._journal.write(
                "event_loop_blocked", level=Level.WARNING, topic=topic, seconds=round(late, 3), where=where
            )
        self._observe(block.topic or "", max(0.0, late - block.counted))
        block.counted = max(block.counted, late)

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            self.sample()

    def _sample(self) -> tuple[str | None, str | None]:
        """Return the topic whose handler blocks the loop, and the innermost line of its file, or else of any."""
        running = None if self._loop is None else asyncio.current_task(self._loop)
        named = None if running is None else running.get_name().removeprefix(_TASK)
        innermost = None if self._thread is None else sys._current_frames().get(self._thread)
        frame = innermost
        while frame is not None and frame.f_code.co_filename not in self._files:
            frame = frame.f_back
        topics = [] if frame is None else self._files[frame.f_code.co_filename]
        topic = named if named in self._topics else topics[0] if len(topics) == 1 else None
        return topic, _line(frame or innermost)


def _line(frame: FrameType | None) -> str | None:
    if frame is None:
        return None
    return f"{PurePath(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}"
