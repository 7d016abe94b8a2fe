"""Counts the keys that MongoDB writes into a collection's indexes as a document changes: one for each that is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import IndexModel

Document = Mapping[str, Any]


def keys_written(before: Document | None, after: Document, indexes: Sequence[IndexModel]) -> Counter[str]:
    """Return by an index's name how many keys the change writes there: each takes the place of one, or is further."""
    found: Counter[str] = Counter()
    for index in indexes:
        key = _key(index, after)
        if key is not None and (before is None or key != _key(index, before)):
            found[index.document["name"]] += 1
    return found


def _key(index: IndexModel, document: Document) -> tuple[Any, ...] | None:
    """Return the document's key in the index; None where a partial or sparse one leaves it out."""
    described = index.document
    values = tuple(document.get(name) for name in described["key"])
    if described.get("sparse") and all(value is None for value in values):
        return None
    for name, test in described.get("partialFilterExpression", {}).items():
        ((operator, bound),) = test.items()
        value = document.get(name)
        if value is None or not (value > bound if operator == "$gt" else value == bound):
            return None
    return values
