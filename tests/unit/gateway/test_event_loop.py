"""What raises `SystemExit` beside the main coroutine doesn't end the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from gateway.event_loop import run_to_end

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
EXITS = [SystemExit(3), KeyboardInterrupt()]


async def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("factory", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("error", EXITS, ids=repr)
def test_an_exit_in_a_task_is_told_and_reaches_who_awaits_it(
    factory: Callable[[], asyncio.AbstractEventLoop], error: BaseException
) -> None:
    told: list[BaseException] = []

    async def main() -> str:
        beside = asyncio.create_task(asyncio.sleep(0, "beside"))
        child = asyncio.create_task(_raise(error))
        with pytest.raises(type(error)) as caught:
            await child
        assert caught.value is error
        return await beside

    with asyncio.Runner(loop_factory=factory) as runner:
        assert run_to_end(runner, main(), told.append) == "beside"
    assert told == [error]


@pytest.mark.parametrize("factory", LOOPS.values(), ids=LOOPS)
def test_an_exit_in_a_task_of_a_group_or_in_a_callback_is_survived(
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    told: list[BaseException] = []

    async def main() -> None:
        with pytest.raises(SystemExit):
            async with asyncio.TaskGroup() as group:
                group.create_task(_raise(SystemExit("in a group")))
        called = asyncio.Event()

        def leave() -> None:
            called.set()
            raise SystemExit("in a callback")

        asyncio.get_running_loop().call_soon(leave)
        await called.wait()

    with asyncio.Runner(loop_factory=factory) as runner:
        run_to_end(runner, main(), told.append)
    assert [str(error) for error in told] == ["in a group", "in a callback"]


@pytest.mark.parametrize("error", [*EXITS, ValueError("of its own")], ids=repr)
def test_the_main_coroutines_own_error_ends_the_loop(error: BaseException) -> None:
    told: list[BaseException] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(type(error)):
        run_to_end(runner, _raise(error), told.append)
    assert told == []
