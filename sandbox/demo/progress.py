"""Watches the run in the engine, and shows it: a live table in a terminal, else a line every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table

from sandbox.demo.definitions import DEFINITIONS, Definition
from sandbox.demo.engine import EngineApi
from sandbox.demo.errors import DemoError, EngineUnreachable
from sandbox.demo.history import InstanceCounts, count_instances

POLL_EVERY = 0.5
LINE_EVERY = 3.0

Counts = Mapping[Definition, InstanceCounts]


class GaveUp(DemoError):
    """The run didn't settle in time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a run may take as a whole, and without any progress; in seconds."""

    total: float = 600.0
    stall: float = 120.0


@dataclass(slots=True)
class Board:
    """Shows counts on a console."""

    console: Console
    planned: int
    begun: float = field(default_factory=time.monotonic)
    _live: Live | None = None
    _next_line: float = 0.0

    def shown(self) -> AbstractContextManager[object]:
        """Return what must be entered while counts are shown."""
        if not self.console.is_terminal:
            return nullcontext()
        self._live = Live(console=self.console, auto_refresh=False)
        return self._live

    def show(self, counts: Counts, *, last: bool = False) -> None:
        """Show where the run is now; without a terminal only now and then, and the last time."""
        now = time.monotonic()
        if self._live is not None:
            self._live.update(self._table(counts, now - self.begun), refresh=True)
        elif last or now >= self._next_line:
            self._next_line = now + LINE_EVERY
            self.console.print(self._line(counts, now - self.begun), highlight=False)

    def _line(self, counts: Counts, seconds: float) -> str:
        every = counts.values()
        return (
            f"{seconds:6.1f} s  started {sum(t.started for t in every)}/{self.planned}"
            f"  completed {sum(t.completed for t in every)}  BPMN errors {sum(t.errors for t in every)}"
            f"  incidents {sum(t.incidents for t in every)}  under way {sum(t.waiting for t in every)}"
        )

    def _table(self, counts: Counts, seconds: float) -> Table:
        settled = sum(each.settled for each in counts.values())
        rate = settled / seconds if seconds > 0 else 0.0
        table = Table(title=f"{settled}/{self.planned} settled after {seconds:.1f} s ({rate:.0f}/s), by the engine")
        table.add_column("topic")
        for name in ("started", "under way", "completed", "BPMN errors", "incidents"):
            table.add_column(name, justify="right")
        for definition, each in counts.items():
            numbers = (each.started, each.waiting, each.completed, each.errors, each.incidents)
            table.add_row(definition.topic, *map(str, numbers))
        return table


async def watch(
    engine: EngineApi, business_keys: str, *, planned: int, board: Board, limits: Limits, require: Callable[[], None]
) -> None:
    """Return when all `planned` instances have settled.

    Raises `GaveUp` where a limit is reached, and what `require` raises, which is asked before each look.
    """
    begun = moved = time.monotonic()
    counts: Counts = {definition: InstanceCounts() for definition in DEFINITIONS}
    trouble = ""
    with board.shown():
        while True:
            require()
            try:
                seen = {
                    definition: await count_instances(engine, business_keys, definition) for definition in DEFINITIONS
                }
            except EngineUnreachable as error:
                # It may be restarting: the limits decide how long that is borne.
                seen, trouble = dict(counts), f"; {error}"
            else:
                trouble = ""
            now = time.monotonic()
            moved, counts = (moved if seen == counts else now), seen
            done = sum(each.settled for each in counts.values()) >= planned
            board.show(counts, last=done)
            if done:
                return
            if now - begun > limits.total or now - moved > limits.stall:
                raise GaveUp(_why(counts, planned, now - begun, now - moved) + trouble)
            await asyncio.sleep(POLL_EVERY)


def _why(counts: Counts, planned: int, seconds: float, still: float) -> str:
    settled = sum(each.settled for each in counts.values())
    return (
        f"gave up after {seconds:.0f} s, {still:.0f} s of them without progress: {settled} of {planned} instances have"
        " settled. See the gateway's log, or allow more by --time-limit and --stall"
    )
