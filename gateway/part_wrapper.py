"""The hook by which tests inject faults into the parts of a gateway."""

from __future__ import annotations

from typing import Protocol, TypeVar

T = TypeVar("T")


class PartWrapper(Protocol):
    """Wraps the store, engine, publisher and consumer before anything uses them."""

    def __call__(self, name: str, part: T, /) -> T:
        """Return what stands in the place of `part`; `name` is its attribute of `Gateway`."""
        ...


def unwrapped(_name: str, part: T, /) -> T:
    """Return the part itself."""
    return part
