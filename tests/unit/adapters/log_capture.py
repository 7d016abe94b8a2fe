"""A journal at work, and what it writes about."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bridge.adapters.logging.journal import StructlogJournal, configure_logging
from bridge.domain.task import Completion, State, Task, TypedValue

CANARY = "c4nary-S3cret"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass
class LogCapture:
    """A journal at work, its time in the test's hand, and what it wrote."""

    level: str = "DEBUG"
    as_json: bool = True
    time: float = 0.0
    stream: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        # the test runner's own handlers: one of them raises for a record that can't be formatted
        logging.getLogger().handlers.clear()
        configure_logging(level=self.level, json=self.as_json, stream=self.stream, monotonic=lambda: self.time)
        self.journal = StructlogJournal(monotonic=lambda: self.time)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


def task(**fields: Any) -> Task:
    whole: dict[str, Any] = {
        "id": "t1",
        "topic": "charge_card",
        "worker_id": "w1",
        "lease_until": NOW,
        "created_at": NOW,
        "updated_at": NOW,
        "retries": 3,
        "variables": {"card": TypedValue("String", CANARY), "order": TypedValue("Json", {"x": CANARY})},
        "state": State.RUNNING,
        "epoch": 2,
        "attempts": 4,
        "business_key": "order-7",
        "process_instance_id": "p1",
        "outcome": Completion({"receipt": TypedValue("String", CANARY)}),
        "trace": f"00-{TRACE}-b7ad6b7169203331-01",
    }
    return Task(**{**whole, **fields})


def failure(text: str) -> Exception:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error
