"""Time that jumps: to the next timer, but not over what happens outside the loop."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from bridge.testing.simulated_time import SimulatedClock, SimulatedLoop, seconds_of

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(work)


def test_a_long_pause_is_over_at_once() -> None:
    async def pause() -> tuple[float, float]:
        loop, began = asyncio.get_running_loop(), time.monotonic()
        clock = SimulatedClock(loop)
        await asyncio.gather(asyncio.sleep(86_400), asyncio.sleep(10))
        return seconds_of(clock.now()), time.monotonic() - began

    simulated, real = run(pause())
    assert simulated == 86_400
    assert real < 60


def test_a_thread_is_waited_for() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(3600):
            await loop.run_in_executor(None, time.sleep, 0.05)
        return loop.time()

    taken = run(work())
    assert 0.04 < taken < 3600


def test_threads_are_waited_for_at_the_close_of_the_loop() -> None:
    ended = threading.Event()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        released = threading.Event()

        def outlive() -> None:
            released.wait(60)
            time.sleep(0.05)
            ended.set()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await loop.run_in_executor(None, outlive)
        released.set()

    run(work())  # `asyncio` gives the threads 300 s, which must not be over at once
    assert ended.is_set()


def test_a_thread_that_nobody_waits_for_runs_in_real_time() -> None:
    async def work() -> tuple[bool, float]:
        loop = asyncio.get_running_loop()
        ended = threading.Event()

        def outlive() -> None:
            time.sleep(0.1)
            ended.set()

        running = loop.run_in_executor(None, outlive)
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.sleep(3600)
        return ended.is_set(), loop.time()

    ended, taken = run(work())
    assert ended
    assert taken >= 3600


def test_a_connection_is_waited_for() -> None:
    async def work() -> bytes:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        sending = threading.Timer(0.05, theirs.send, [b"x"])
        sending.start()
        async with asyncio.timeout(3600):
            got = await reader.read(1)
        writer.close()
        theirs.close()
        return got

    assert run(work()) == b"x"
