"""Samples where this process's CPU goes, where BENCH_STACKS names a file: from one SIGUSR1 to the next.

By the CPU's clock, not the wall's: on a busy machine a process that waits for its turn looks as if it ran, and then
the calls that wake others, such as a write to a socket, look expensive. Stacks are written folded, outermost first.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

EVERY: Final = 0.002
"""Seconds of CPU between two samples; the kernel's own tick may be coarser."""


class Sampler:
    """Counts stacks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stacks: Counter[str] = Counter()
        self._on = False

    def switch(self, _number: int, _frame: FrameType | None) -> None:
        """Begin, or end and write."""
        self._on = not self._on
        signal.setitimer(signal.ITIMER_PROF, EVERY if self._on else 0, EVERY)
        if not self._on:
            fresh = self._path.with_suffix(".tmp")
            fresh.write_text("".join(f"{stack} {seen}\n" for stack, seen in self._stacks.items()))
            fresh.replace(self._path)

    def sample(self, _number: int, frame: FrameType | None) -> None:
        """Count the stack that the signal met."""
        names: list[str] = []
        while frame is not None:
            code = frame.f_code
            names.append(f"{code.co_qualname} ({code.co_filename})")
            frame = frame.f_back
        self._stacks[";".join(reversed(names))] += 1


def sample_cpu() -> None:
    """Stand by to sample, if that is asked for."""
    path = os.environ.get("BENCH_STACKS")
    if path is not None:
        sampler = Sampler(Path(path))
        signal.signal(signal.SIGPROF, sampler.sample)
        signal.signal(signal.SIGUSR1, sampler.switch)
