"""What ends a measurement."""

from __future__ import annotations


class BenchError(Exception):
    """A measurement can't be made, or what was counted is not as it must be; the text says why."""
