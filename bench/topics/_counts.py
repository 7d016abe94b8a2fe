"""Counts the commands that this process sends to the store, where BENCH_COUNTS names a file for them.

Only in rounds that count: the listener costs time, and what is timed runs without it.
"""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from pathlib import Path

from pymongo import monitoring


class Counting(monitoring.CommandListener):
    """Counts by the command's name and its collection, also those that fail; a `find` by id is told from others."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Count one."""
        name, command = event.command_name, event.command
        where = command.get(name)
        parts = [name, where] if isinstance(where, str) else [name]
        if name == "find" and "_id" in command.get("filter", {}):
            parts.append("by id")
        self.sent[" ".join(parts)] += 1

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Counted when it started."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Counted when it started."""


def count_commands() -> None:
    """Begin to count, if that is asked for; the counts are written when the process ends."""
    folder = os.environ.get("BENCH_COUNTS")
    if folder is None:
        return
    counting = Counting()
    monitoring.register(counting)
    path = Path(folder) / f"{os.getpid()}.json"
    atexit.register(lambda: path.write_text(json.dumps(counting.sent)))
