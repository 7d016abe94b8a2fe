"""The breaker opens on silence, tries with one call, and closes on any answer."""

from __future__ import annotations

import random

import pytest

from bridge.errors import EngineForbidden, EngineRejected, EngineUnavailable, ForeignAnswer, PayloadRefused
from bridge.flow.breaker import Breaker, Circuit
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
