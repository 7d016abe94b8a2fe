"""A handler that blocks the event loop is named while it does, with its line."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bridge.ports.journal import Level
from bridge.runtime.loop_watch import BLOCKED_AFTER, LoopWatch, task_name
from bridge.topic import Topic, topic
from tests.unit.fakes import Notes
from tests.unit.flow_lab import Order


class Rig:
    """A watch whose loop is as late as the test says."""

    def __init__(self, *names: str) -> None:
        self.late = 0.0
        self.notes = Notes()
        self.observed: list[tuple[str, float]] = []

        async def handler(order: Order) -> None:
            self.look_from_another_thread()

        self.topics: dict[str, Topic[object, object]] = {name: topic(name)(handler) for name in names}  # type: ignore[type-var]
        self.watch = LoopWatch(lambda: self.late, self.notes, self.topics, lambda *seen: self.observed.append(seen))
        self.watch.attach()

    def look_from_another_thread(self) -> None:
        """Block the loop for as long as the look takes."""
        thread = threading.Thread(target=self.watch.sample)
        thread.start()
        thread.join(10)

    async def block(self, name: str, *, task: str | None = None) -> None:
        await asyncio.create_task(self.topics[name](Order()), name=task or task_name(name))


async def test_a_loop_that_is_on_time_is_not_told_of() -> None:
    rig = Rig("orders")
    rig.late = BLOCKED_AFTER / 2
    await rig.block("orders")
    assert (rig.notes.lines, rig.observed) == ([], [])


async def test_the_topic_and_the_line_that_block_are_named_and_again_when_it_lasts() -> None:
    rig = Rig("orders", "mail")
    for rig.late in (0.6, 0.9, 1.3, 0.0):
        await rig.block("orders")
    first, again, over = rig.notes.lines
    assert (first.event, first.level) == ("event_loop_blocked", Level.WARNING)
    assert (first.values["topic"], first.values["seconds"]) == ("orders", 0.6)
    assert str(first.values["where"]).startswith("test_loop_watch.py:")
    assert (again.event, again.values["seconds"]) == ("event_loop_blocked", 1.3)
    assert (over.event, over.values) == ("event_loop_unblocked", {"topic": "orders", "seconds": 1.3})
    assert [topic for topic, _ in rig.observed] == ["orders"] * 3
    assert sum(seconds for _, seconds in rig.observed) == pytest.approx(1.3)


async def test_what_a_handler_starts_is_found_by_its_file() -> None:
    rig = Rig("orders")
    rig.late = 1.0
    await rig.block("orders", task="of the handler's own")
    (line,) = rig.notes.lines
    assert line.values["topic"] == "orders"


async def test_where_no_topic_is_known_none_is_named() -> None:
    rig = Rig("orders", "mail")
    rig.late = 1.0
    await rig.block("orders", task="one of two in that file")
    (line,) = rig.notes.lines
    assert line.values["topic"] is None
    assert rig.observed == [("", 1.0)]


async def test_the_watch_looks_by_itself_until_it_is_stopped() -> None:
    rig = Rig("orders")
    looked = threading.Event()
    rig.watch._late = lambda: looked.set() or 0.0  # type: ignore[func-returns-value]
    rig.watch.start()
    assert await asyncio.to_thread(looked.wait, 10)
    rig.watch.stop()
