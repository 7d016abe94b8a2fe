"""How much more CPU a longer text takes: whether each further sign costs as much as the others, on any machine."""

from __future__ import annotations

import time
from collections.abc import Callable

_TOO_SHORT = 0.02
"""Seconds of CPU that the clock can't tell from nothing."""


def grows_evenly(work: Callable[[int], object], size: int) -> bool:
    """Tell whether eight times the size takes about eight times the CPU; of a square it would be sixty-four."""
    return _effort(work, 8 * size) < max(_TOO_SHORT, 24 * _effort(work, size))


def _effort(work: Callable[[int], object], size: int) -> float:
    efforts: list[float] = []
    for _ in range(3):
        began = time.process_time()
        work(size)
        efforts.append(time.process_time() - began)
    return min(efforts)
