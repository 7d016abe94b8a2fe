"""An engine whose rows are not what an engine sends, one by one among good ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Spoil:
    """What a row has instead of what the engine sent; None for a field takes it away.

    `reason` is part of what is told; `is_released`: the row says which lock is to be let go.
    """

    name: str
    fields: Mapping[str, Any]
    reason: str
    is_released: bool = True

    def __str__(self) -> str:
        return self.name

    def of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row so spoiled."""
        return {**row, **self.fields}


SPOILED: Final = (
    Spoil("a priority that is a text", {"priority": "high"}, "priority is no whole number"),
    Spoil("a priority beyond what the engine holds", {"priority": 2**63}, "priority is no whole number"),
    Spoil("a priority that is true", {"priority": True}, "priority is no whole number"),
    Spoil("retries that are a fraction", {"retries": 1.5}, "retries is no whole number"),
    Spoil("retries beyond what the engine holds", {"retries": 2**31}, "retries is no whole number"),
    Spoil("a foreign topic", {"topicName": "nobody asked"}, "topic was not asked for"),
    Spoil("no topic", {"topicName": None}, "no topicName"),
    Spoil("a topic that is a list", {"topicName": ["a"]}, "topicName is no text"),
    Spoil("a topic of a megabyte", {"topicName": "a" * 1_000_000}, "topicName has 1000000 characters"),
    Spoil("no id", {"id": None}, "no id", is_released=False),
    Spoil("an empty id", {"id": ""}, "no id", is_released=False),
    Spoil("a number for an id", {"id": 7}, "id is no text", is_released=False),
    Spoil("an id of 300 bytes", {"id": "x" * 300}, "id has 300 characters", is_released=False),
    Spoil("a lock's end that is no date", {"lockExpirationTime": "soon"}, "lockExpirationTime is no moment"),
    Spoil("a lock's end that is a number", {"lockExpirationTime": 1_700_000_000}, "lockExpirationTime is no text"),
    Spoil("a thirteenth month", {"createTime": "2026-13-01T00:00:00.000+0000"}, "createTime is no moment"),
    Spoil("a business key that is an object", {"businessKey": {"$gt": ""}}, "businessKey is no text"),
    Spoil("a tenant of 300 bytes", {"tenantId": "t" * 300}, "tenantId has 300 characters"),
    Spoil("suspended by a text", {"suspended": "no"}, "suspended is neither"),
    Spoil("variables that are a list", {"variables": [1]}, "variables are not"),
    Spoil("a variable that is null", {"variables": {"a": None}}, "variables are not"),
    Spoil("a variable of type 5", {"variables": {"a": {"type": 5, "value": 1}}}, "variables are not"),
    Spoil("a variable's valueInfo is a text", {"variables": {"a": {"valueInfo": "x"}}}, "variables are not"),
    Spoil("properties that are numbers", {"extensionProperties": {"a": 1}}, "extensionProperties are not"),
)
"""Rows that cost themselves alone."""
ODD: Final = (
    Spoil("null variables", {"variables": None}, ""),
    Spoil("a lock that ends before the calendar", {"lockExpirationTime": "0001-01-01T00:00:00.000+0000"}, ""),
    Spoil("a lock that ends beyond the calendar", {"lockExpirationTime": "292278994-08-17T07:12:55.807+0000"}, ""),
    Spoil("a field that nobody knows", {"__proto__": {"a": [1]}}, ""),
)
"""Rows that are read all the same."""
