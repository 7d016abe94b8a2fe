"""The breaker opens on silence, tries with one call, and closes on any answer."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from bridge.domain.errors import (
    AnswerTooLarge,
    EngineForbidden,
    EngineRejected,
    EngineUnavailable,
    ForeignAnswer,
    PayloadRefused,
)
from bridge.flow.engine.breaker import Breaker, Circuit
from tests.unit.fakes import Notes


class Watch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Engine:
    """Answers by the error that it was given last, or well."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return "answer"


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def breaker(watch: Watch) -> Breaker:
    return Breaker(Notes(), limit=3, monotonic=watch, chance=random.Random(1))


async def silence(breaker: Breaker, engine: Engine, times: int) -> None:
    engine.error = EngineUnavailable("cut")
    for _ in range(times):
        with pytest.raises(EngineUnavailable):
            await breaker.guard(engine)


async def test_it_opens_after_silence_and_lets_nothing_through(breaker: Breaker) -> None:
    engine = Engine()
    await silence(breaker, engine, 2)
    assert breaker.is_closed
    await silence(breaker, engine, 1)
    assert breaker.circuit is Circuit.OPEN
    await silence(breaker, engine, 5)
    assert engine.calls == 3


async def test_an_answer_in_between_starts_the_count_anew(breaker: Breaker) -> None:
    engine = Engine()
    await silence(breaker, engine, 2)
    engine.error = None
    assert await breaker.guard(engine) == "answer"
    await silence(breaker, engine, 2)
    assert breaker.is_closed


async def test_one_call_tries_and_tells_who_waits(breaker: Breaker, watch: Watch) -> None:
    told: list[str] = []
    breaker.when_closed(lambda: told.append("again"))
    engine = Engine()
    await silence(breaker, engine, 3)
    watch.now += 0.5
    await silence(breaker, engine, 1)
    assert (engine.calls, breaker.circuit) == (4, Circuit.OPEN)
    # The wait has grown.
    watch.now += 0.4
    await silence(breaker, engine, 1)
    assert engine.calls == 4
    watch.now += 1
    engine.error = None
    assert await breaker.guard(engine) == "answer"
    assert breaker.is_closed
    assert told == ["again"]


async def test_while_one_tries_the_others_wait(breaker: Breaker, watch: Watch) -> None:
    engine = Engine()
    await silence(breaker, engine, 3)
    watch.now += 1

    async def trial() -> str:
        with pytest.raises(EngineUnavailable):
            await breaker.guard(engine)
        return "tried"

    assert await breaker.guard(trial) == "tried"
    assert engine.calls == 3


async def test_a_refusal_is_an_answer(breaker: Breaker, watch: Watch) -> None:
    engine = Engine()
    await silence(breaker, engine, 3)
    watch.now += 1
    engine.error = EngineRejected("no", status=500)
    with pytest.raises(EngineRejected):
        await breaker.guard(engine)
    assert breaker.is_closed
    assert breaker.error_rate > 0


async def test_a_try_that_is_cancelled_leaves_the_next_one_to_try(breaker: Breaker, watch: Watch) -> None:
    class Stop(BaseException): ...

    engine = Engine()
    await silence(breaker, engine, 3)
    watch.now += 1
    engine.error = Stop()
    with pytest.raises(Stop):
        await breaker.guard(engine)
    engine.error = None
    assert await breaker.guard(engine) == "answer"


async def test_optimistic_locking_is_no_sign_of_trouble(breaker: Breaker) -> None:
    engine = Engine()
    engine.error = EngineRejected("lost the race", status=500, code=1)
    with pytest.raises(EngineRejected):
        await breaker.guard(engine)
    assert breaker.error_rate == 0


async def test_an_answer_of_another_is_silence(breaker: Breaker, watch: Watch) -> None:
    engine = Engine()
    engine.error = ForeignAnswer("complete: the engine's address answers 401", status=401)
    for _ in range(3):
        with pytest.raises(ForeignAnswer):
            await breaker.guard(engine)
    assert breaker.circuit is Circuit.OPEN
    with pytest.raises(
        EngineUnavailable, match="tried again soon: complete: the engine's address answers 401"
    ) as caught:
        await breaker.guard(engine)
    assert not isinstance(caught.value, ForeignAnswer)
    watch.now += 60
    with pytest.raises(ForeignAnswer):
        await breaker.guard(engine)
    assert (engine.calls, breaker.circuit) == (4, Circuit.OPEN)


async def test_an_answer_that_is_too_large_tells_nothing_of_the_engine(breaker: Breaker) -> None:
    engine = Engine()
    engine.error = AnswerTooLarge("more than 10 bytes")
    for _ in range(10):
        with pytest.raises(AnswerTooLarge):
            await breaker.guard(engine)
    assert breaker.is_closed
    assert breaker.error_rate == 0


async def test_a_refused_payload_tells_nothing_of_the_engine(breaker: Breaker, watch: Watch) -> None:
    engine = Engine()
    await silence(breaker, engine, 2)
    engine.error = PayloadRefused("too large", status=413)
    for _ in range(5):
        with pytest.raises(PayloadRefused):
            await breaker.guard(engine)
    assert breaker.is_closed
    await silence(breaker, engine, 1)
    assert breaker.circuit is Circuit.OPEN, "the silence before still counts"
    watch.now += 60
    engine.error = PayloadRefused("too large", status=413)
    with pytest.raises(PayloadRefused):
        await breaker.guard(engine)
    assert breaker.circuit is Circuit.OPEN
    engine.error = None
    assert await breaker.guard(engine) == "answer", "the next one may try at once"


async def test_who_forbids_is_there_and_well(breaker: Breaker) -> None:
    engine = Engine()
    await silence(breaker, engine, 2)
    rate = breaker.error_rate
    engine.error = EngineForbidden("no UPDATE", status=403)
    with pytest.raises(EngineForbidden):
        await breaker.guard(engine)
    await silence(breaker, engine, 2)
    assert breaker.is_closed
    assert rate < 0.1


class Held:
    """Calls that are under way until they are let go, by a failure or an answer."""

    def __init__(self) -> None:
        self.under_way = 0
        self._ends: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.under_way += 1
        return await asyncio.shield(self._ends)

    def fail(self) -> None:
        self._ends.set_exception(EngineUnavailable("cut"))

    def answer(self) -> None:
        self._ends.set_result("late")


async def under_way(breaker: Breaker, calls: Held, count: int) -> list[asyncio.Task[str]]:
    made = [asyncio.create_task(breaker.guard(calls)) for _ in range(count)]
    await asyncio.sleep(0)
    assert calls.under_way == count
    return made


async def test_calls_under_way_when_it_opens_do_not_lengthen_the_wait(breaker: Breaker, watch: Watch) -> None:
    calls, engine = Held(), Engine()
    made = await under_way(breaker, calls, 27)
    calls.fail()
    ends = await asyncio.gather(*made, return_exceptions=True)
    assert [type(end) for end in ends] == [EngineUnavailable] * 27
    assert breaker.circuit is Circuit.OPEN
    watch.now += 0.5
    assert await breaker.guard(engine) == "answer"
    assert breaker.is_closed


async def test_calls_that_outlast_an_outage_do_not_open_it_again(breaker: Breaker, watch: Watch) -> None:
    calls, engine = Held(), Engine()
    made = await under_way(breaker, calls, 27)
    await silence(breaker, engine, 3)
    watch.now += 0.5
    engine.error = None
    assert await breaker.guard(engine) == "answer"
    calls.fail()
    await asyncio.gather(*made, return_exceptions=True)
    assert breaker.is_closed
    await silence(breaker, engine, 2)
    assert breaker.is_closed


async def test_an_answer_from_before_does_not_close_it(breaker: Breaker, watch: Watch) -> None:
    calls, engine = Held(), Engine()
    made = await under_way(breaker, calls, 1)
    await silence(breaker, engine, 3)
    calls.answer()
    assert await made[0] == "late"
    assert breaker.circuit is Circuit.OPEN


@pytest.mark.parametrize("end", ["fails", "is answered", "is cancelled"])
async def test_what_is_not_the_trial_does_not_end_it(breaker: Breaker, watch: Watch, end: str) -> None:
    old, trial, engine = Held(), Held(), Engine()
    (before,) = await under_way(breaker, old, 1)
    await silence(breaker, engine, 3)
    watch.now += 0.5
    (trying,) = await under_way(breaker, trial, 1)
    if end == "fails":
        old.fail()
    elif end == "is answered":
        old.answer()
    else:
        before.cancel()
    await asyncio.gather(before, return_exceptions=True)
    assert breaker.circuit is Circuit.HALF_OPEN
    await silence(breaker, engine, 1)
    assert engine.calls == 3, "there is one trial at a time"
    trial.answer()
    assert await trying == "late"
    assert breaker.is_closed


async def test_a_trial_that_hangs_is_given_up_for_another(watch: Watch) -> None:
    breaker = Breaker(Notes(), limit=3, trial_within=timedelta(seconds=40), monotonic=watch, chance=random.Random(1))
    hanging, engine = Held(), Engine()
    await silence(breaker, engine, 3)
    watch.now += 0.5
    (trying,) = await under_way(breaker, hanging, 1)
    watch.now += 39
    await silence(breaker, engine, 1)
    assert engine.calls == 3
    watch.now += 1
    engine.error = None
    assert await breaker.guard(engine) == "answer"
    assert breaker.is_closed
    hanging.fail()
    await asyncio.gather(trying, return_exceptions=True)
    await silence(breaker, engine, 2)
    assert breaker.is_closed
