"""Work in threads of our own goes on though asyncio's pool, which the handlers have, is taken."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from bridge.runtime.own_threads import OwnThreads

WHO: ContextVar[str] = ContextVar("who", default="nobody")


async def test_a_pool_that_is_taken_holds_up_nothing() -> None:
    loop, hung, end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    stuck = asyncio.create_task(asyncio.to_thread(lambda: (loop.call_soon_threadsafe(hung.set), end.wait())))
    await hung.wait()
    threads = OwnThreads("own", 1)
    try:
        assert (await threads.run(lambda: threading.current_thread().name)).startswith("own")
    finally:
        end.set()
        await stuck
        threads.close()


async def test_the_function_sees_the_callers_context_and_its_error_is_raised() -> None:
    threads = OwnThreads("own", 1)
    WHO.set("caller")
    assert await threads.run(WHO.get) == "caller"
    with pytest.raises(ValueError, match="many"):
        await threads.run(int, "many")
    threads.close()
    with pytest.raises(RuntimeError):
        await threads.run(WHO.get)
