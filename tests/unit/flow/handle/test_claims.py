"""A claim ends as its handler does, unless it is lost before: then the handler is cancelled and its result dropped."""

from __future__ import annotations

import asyncio

import pytest

from bridge.domain.replica import Load
from bridge.domain.task import Completion, Outcome
from bridge.flow.handle.claims import Claim, Claims, HandlerCancelled
from tests.unit.fakes import LOCK, NOW, SECOND, a_task
from tests.unit.flow_lab import NEEDS_RENEWAL, Lab


def a_claim(claim_id: str = "c1", topic: str = "orders") -> Claim:
    return Claim(a_task(topic=topic), claim_id, NOW)


class Handler:
    """Work that waits for `go`; `stubborn` it goes on when it is cancelled."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.cancelled = False
        self._stubborn = stubborn

    async def __call__(self) -> Outcome:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            if not self._stubborn:
                raise
        return Completion()


async def test_a_claim_that_is_kept_has_the_outcome_of_its_handler() -> None:
    claim, handler = a_claim(), Handler()
    handler.go.set()
    before = claim.decided
    assert await claim.run(asyncio.create_task(handler())) == Completion()
    assert (before, claim.decided) == (False, True)
    assert claim.lease_until == NOW + LOCK


async def test_a_claim_lost_before_its_handler_began_never_begins_it() -> None:
    claim, handler = a_claim(), Handler()
    claim.lose("stolen")
    assert await claim.run(asyncio.create_task(handler())) is None
    assert not handler.begun.is_set()


async def test_a_claim_lost_in_mid_run_cancels_the_handler() -> None:
    claim, handler = a_claim(), Handler()
    running = asyncio.create_task(claim.run(asyncio.create_task(handler())))
    await handler.begun.wait()
    claim.lose("stolen")
    claim.lose("and again")
    assert await running is None
    assert handler.cancelled
    assert claim.lost == "stolen"


async def test_what_a_handler_returns_in_spite_of_being_cancelled_is_dropped() -> None:
    claim, handler = a_claim(), Handler(stubborn=True)
    running = asyncio.create_task(claim.run(asyncio.create_task(handler())))
    await handler.begun.wait()
    claim.lose("stolen")
    assert await running is None
    assert handler.cancelled


async def test_the_end_of_the_process_passes_through_even_when_the_claim_is_lost_as_well() -> None:
    for lost in (False, True):
        claim, handler = a_claim(), Handler()
        running = asyncio.create_task(claim.run(asyncio.create_task(handler())))
        await handler.begun.wait()
        if lost:
            claim.lose("stolen")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert handler.cancelled


async def test_a_handler_that_ignores_its_cancellation_does_not_hold_the_end_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bridge.flow.handle.claims.UNWIND", 0)
    stubborn = Handler(stubborn=True)
    go = asyncio.Event()

    async def handler() -> Outcome:
        await stubborn()
        await go.wait()
        return Completion()

    claim, work = a_claim(), asyncio.create_task(handler())
    running = asyncio.create_task(claim.run(work))
    await stubborn.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not work.done()
    go.set()
    await work
    assert stubborn.cancelled


async def test_a_handler_that_is_cancelled_from_within_is_not_taken_for_the_end_of_the_process() -> None:
    async def handler() -> Outcome:
        inner = asyncio.get_running_loop().create_future()
        inner.cancel()
        await inner
        raise AssertionError

    with pytest.raises(HandlerCancelled):
        await a_claim().run(asyncio.create_task(handler()))


def test_claims_are_held_until_they_are_dropped_and_may_be_dropped_while_looked_through() -> None:
    claims = Claims({"orders": 2})
    first, second = a_claim("c1"), a_claim("c2")
    claims.add(first)
    claims.add(second)
    for claim in claims:
        assert claim in claims
        claims.drop(claim)
    claims.drop(first)
    assert len(claims) == 0
    assert first not in claims


def test_a_claim_of_the_same_name_is_not_the_one_that_is_held() -> None:
    claims = Claims({"orders": 2})
    claims.add(a_claim("c1"))
    assert a_claim("c1") not in claims


def test_the_load_tells_what_runs_and_how_long_runs_take() -> None:
    claims = Claims({"orders": 2, "mail": 1})
    claims.add(a_claim("c1"))
    claims.add(a_claim("c2"))
    assert claims.loads() == {"orders": Load(2, 2, None), "mail": Load(1, 0, None)}
    claims.measure("orders", 1.0)
    claims.measure("orders", 2.0)
    assert claims.loads()["orders"].seconds == pytest.approx(1.1)


def test_the_load_tells_how_long_a_task_takes_its_slot() -> None:
    claims = Claims({"orders": 2})
    claims.measure("orders", 1.0)
    claims.occupy("orders", 3.0)
    claims.occupy("orders", 4.0)
    (load,) = claims.loads().values()
    assert load.seconds == 1.0
    assert load.occupied == pytest.approx(3.1)


async def test_a_slot_is_taken_from_the_claim_to_the_stored_outcome() -> None:
    """A slow engine, which has to be asked for the lock first, makes slots scarce, however short the handler."""
    lab = Lab()
    task = await lab.task()
    lab.clock.advance(NEEDS_RENEWAL)
    lab.engine.before["extend_lock"] = lambda: lab.clock.advance(3 * SECOND)
    lab.store.before["move"] = lambda: lab.clock.advance(2 * SECOND)
    await lab.deliver(task)
    load = lab.claims.loads()["orders"]
    assert (load.seconds, load.occupied) == (0.0, 5.0)


async def test_a_slot_was_taken_by_a_task_whose_lock_was_lost_too() -> None:
    lab = Lab()
    task = await lab.task()
    await lab.steal(task)
    lab.clock.advance(NEEDS_RENEWAL)
    lab.engine.before["extend_lock"] = lambda: lab.clock.advance(3 * SECOND)
    await lab.deliver(task)
    assert lab.work.runs == []
    assert lab.claims.loads()["orders"].occupied == 3.0
