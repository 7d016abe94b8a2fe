"""A function that hangs keeps its own thread and slot, and takes neither from the tasks that come after it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.domain.errors import ProcessEnding
from bridge.domain.task import State
from bridge.flow.handle.threads import Threads
from bridge.ports.journal import Level
from bridge.topic import Topic, topic
from tests.unit.fakes import Notes, a_task
from tests.unit.flow_lab import Lab, Order

INSTANT = 1e-3


class Hanging:
    """A plain handler that hangs in its first runs, as many as `hanging`, until `go`; `runs` counts them all."""

    def __init__(self, hanging: int = 1, *, concurrency: int = 2, timeout: float = INSTANT) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.runs = 0
        self.names: set[str] = set()
        self._left = hanging
        self._options: dict[str, Any] = {"concurrency": concurrency, "timeout": timeout}

    def topic(self) -> Topic[Any, Any]:
        def handler(order: Order) -> None:
            self.runs += 1
            self.names.add(threading.current_thread().name)
            self.begun.set()
            if self._left > 0:
                self._left -= 1
                assert self.go.wait(10)

        return topic("orders", **self._options)(handler)


@pytest.fixture
async def notes() -> Notes:
    return Notes()


@pytest.fixture
async def threads(notes: Notes) -> AsyncIterator[Threads]:
    made = Threads(notes)
    yield made
    made.close()


async def test_a_thread_is_a_daemon_and_is_used_again(threads: Threads) -> None:
    plain = Hanging(0).topic()
    seen = set()
    for _ in range(3):
        async with threads.slot(plain) as slot:
            seen.add(await slot.call(threading.current_thread, a_task()))
    assert len(seen) == 1
    (thread,) = seen
    assert thread.daemon


async def test_so_many_run_at_once_as_the_topic_says_and_the_next_waits_its_turn(threads: Threads) -> None:
    plain, turns = Hanging(0, concurrency=2).topic(), list[int]()

    async def take(number: int, until: asyncio.Event) -> None:
        async with threads.slot(plain):
            turns.append(number)
            await until.wait()

    gates = [asyncio.Event() for _ in range(4)]
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        taking = [group.create_task(take(number, gate)) for number, gate in enumerate(gates)]
        await asyncio.wait(taking, timeout=0)
        assert turns == [0, 1]
        taking[2].cancel()
        gates[1].set()
        await taking[1]
        await asyncio.wait(taking, timeout=0)
        assert turns == [0, 1, 3], "one that waits no longer is passed over"
        gates[0].set()
        gates[3].set()


async def test_a_turn_that_comes_too_late_goes_to_the_next(threads: Threads) -> None:
    plain = Hanging(0, concurrency=1).topic()

    async def take() -> None:
        async with threads.slot(plain):
            pass

    async with asyncio.timeout(10):
        async with threads.slot(plain):
            late, next_one = asyncio.create_task(take()), asyncio.create_task(take())
            await asyncio.wait([late], timeout=0)
        late.cancel()  # it has been given the slot in this very turn of the loop
        await next_one
        async with threads.slot(plain):
            assert late.cancelled()


async def test_a_thread_that_is_given_up_keeps_its_slot_until_its_function_ends(threads: Threads, notes: Notes) -> None:
    plain, go = Hanging(0, concurrency=1).topic(), threading.Event()
    with pytest.raises(TimeoutError):
        async with threads.slot(plain) as slot, asyncio.timeout(INSTANT):
            await slot.call(lambda: go.wait(10), a_task())
    assert threads.stuck() == {"orders": 1}
    (line,) = notes.of("thread_stuck")
    assert (line.level, line.values) == (Level.WARNING, {"stuck": 1, "slots": 1})

    async def next_one() -> str:
        async with threads.slot(plain) as slot:
            return str(await slot.call(lambda: "ran", a_task()))

    waiting = asyncio.create_task(next_one())
    await asyncio.wait([waiting], timeout=0)
    assert not waiting.done()
    go.set()
    async with asyncio.timeout(10):
        assert await waiting == "ran"
    assert threads.stuck() == {}
    assert [line.values["stuck"] for line in notes.of("thread_freed")] == [0]


@pytest.mark.parametrize("error", [KeyError("a"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_whatever_a_function_raises_is_its_callers(threads: Threads, error: BaseException) -> None:
    def function() -> None:
        raise error

    with pytest.raises(type(error)):
        async with threads.slot(Hanging(0).topic()) as slot:
            await slot.call(function, a_task())
    assert threads.stuck() == {}


async def test_a_run_without_a_thread_fails_and_leaves_its_slot(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, ran = Hanging(0, concurrency=1).topic(), threading.Event()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        async with threads.slot(plain) as slot:
            with pytest.raises(RuntimeError, match="new thread"):
                await slot.call(ran.set, a_task())
    async with asyncio.timeout(5), threads.slot(plain) as slot:
        await slot.call(lambda: None, a_task())
    assert not ran.is_set(), "it was given up, and its retry is another run"


async def test_at_the_end_nobody_waits_for_a_slot_nor_for_a_stuck_thread(threads: Threads) -> None:
    plain, go = Hanging(0, concurrency=1).topic(), threading.Event()
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            async with threads.slot(plain) as slot, asyncio.timeout(INSTANT):
                await slot.call(lambda: go.wait(10), a_task())
        waiting = asyncio.create_task(enter(threads, plain))
        settling = asyncio.create_task(slot.settled())
        await asyncio.wait([waiting, settling], timeout=0)
        threads.stop()
        with pytest.raises(ProcessEnding):
            await waiting
        with pytest.raises(ProcessEnding):
            await enter(threads, plain)
        await settling
    assert threads.stuck() == {"orders": 1}
    go.set()


async def enter(threads: Threads, plain: Topic[Any, Any]) -> None:
    async with threads.slot(plain):
        pass


# with the rest of the flow


async def test_a_function_that_hangs_burns_no_retry_of_those_after_it() -> None:
    plain = Hanging(1, concurrency=1, timeout=30)
    lab = Lab(topics=[plain.topic()])
    first, *others = [await lab.task() for _ in range(4)]
    hanging = asyncio.create_task(lab.deliver(first))
    await asyncio.to_thread(plain.begun.wait, 10)
    (claim,) = lab.claims
    claim.lose("stolen")
    await lab.notes.until("handler_cancelled")
    waiting = [asyncio.create_task(lab.deliver(task)) for task in others]
    await asyncio.wait(waiting, timeout=0)
    assert [lab.state(task) for task in others] == [State.RECEIVED] * 3, "no time of theirs runs"
    assert lab.claims.loads()["orders"].stuck == 1
    assert lab.claims.loads()["orders"].slots == 3
    plain.go.set()
    async with asyncio.timeout(10):
        acknowledgers = await asyncio.gather(hanging, *waiting)
    assert [acknowledger.given for acknowledger in acknowledgers] == [["ack"]] * 4
    await lab.delivery.drain()
    assert [lab.state(task) for task in others] == [State.COMPLETED] * 3
    assert plain.runs == 4
    assert not lab.notes.of("handler_failed")
    assert lab.claims.loads()["orders"].stuck == 0


async def test_the_message_of_a_stuck_thread_is_acknowledged_when_the_process_ends() -> None:
    plain = Hanging(1, concurrency=1)
    lab = Lab(topics=[plain.topic()])
    first, second = [await lab.task() for _ in range(2)]
    hanging = asyncio.create_task(lab.deliver(first))
    await lab.notes.until("thread_stuck")
    waiting = asyncio.create_task(lab.deliver(second))
    await asyncio.wait([hanging, waiting], timeout=0)
    lab.handle.stop()
    async with asyncio.timeout(10):
        assert (await hanging).given == ["ack"]
        assert (await waiting).given == ["requeue"], "another process has a thread for it"
    assert [attempt.ended for attempt in lab.now(first).history] == ["failed"]
    assert lab.state(second) is State.RECEIVED
    plain.go.set()
