"""A 404 counts only where the engine that gave it is ours, be it one or a thousand."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta

import pytest

from bridge.adapters.memory.store import MemoryStore
from bridge.domain.engine_identity import MOST_DEFINITIONS, EngineIdentity
from bridge.domain.errors import EngineChanged, EngineForbidden, EngineUnavailable, StoreUnavailable, TaskGone
from bridge.flow.engine.identity import IdentityCheck
from tests.unit.fakes import SECOND, HandClock, Notes

OURS, OTHER = "ours", "other"


class Probe:
    """An address that leads to engines by their databases' ids; `told` is whether it tells the id."""

    def __init__(self) -> None:
        self.at = OURS
        self.told = True
        self.definitions = {OURS: {"order:1:a", "mail:1:b"}, OTHER: {"order:1:z"}}
        self.asked = 0
        self.error: Exception | None = None

    async def installation(self) -> str | None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.at if self.told else None

    async def existing_definitions(self, ids: Collection[str]) -> Collection[str]:
        if self.error is not None:
            raise self.error
        return self.definitions[self.at] & set(ids)


class Flow:
    def __init__(self) -> None:
        self.probe = Probe()
        self.store = MemoryStore()
        self.clock = HandClock()
        self.notes = Notes()
        self.check = IdentityCheck(self.probe, self.store, self.clock, self.notes)
        self.calls: list[str] = []

    async def call(self) -> str:
        """Ask for a task that only ours has."""
        self.calls.append(self.probe.at)
        if self.probe.at != OURS:
            raise TaskGone("gone", status=404)
        return "found"

    async def gone(self) -> str:
        self.calls.append(self.probe.at)
        raise TaskGone("gone", status=404)


async def test_the_first_engine_is_ours_and_is_kept() -> None:
    flow = Flow()
    await flow.check.run_once()
    assert flow.store.identity == EngineIdentity(OURS)
    assert await flow.check.guard(flow.call) == "found"
    assert flow.probe.asked == 1, "a call that succeeds asks nothing"


async def test_another_engines_404_is_none_and_is_told_of_once() -> None:
    flow = Flow()
    await flow.check.run_once()
    flow.probe.at = OTHER
    for _ in range(3):
        with pytest.raises(EngineChanged, match="another engine answers: its database is other"):
            await flow.check.guard(flow.call)
    assert flow.calls == [OTHER], "it is asked nothing more"
    assert len(flow.notes.of("engine_changed")) == 1
    flow.probe.at = OURS
    assert await flow.check.guard(flow.call) == "found"
    assert flow.check.trouble is None
    assert len(flow.notes.of("engine_restored")) == 1
    assert flow.store.identity == EngineIdentity(OURS)


async def test_ours_says_404_twice_and_then_it_counts() -> None:
    flow = Flow()
    await flow.check.run_once()
    with pytest.raises(TaskGone):
        await flow.check.guard(flow.gone)
    assert (flow.calls, flow.probe.asked) == ([OURS, OURS], 2)


async def test_an_address_that_comes_back_between_a_404_and_the_check_cancels_nothing() -> None:
    flow = Flow()
    await flow.check.run_once()
    flow.probe.at = OTHER

    async def then_ours() -> str:
        try:
            return await flow.call()
        finally:
            flow.probe.at = OURS

    assert await flow.check.guard(then_ours) == "found"


async def test_a_wave_of_404s_shares_its_checks_and_each_counts() -> None:
    flow = Flow()
    await flow.check.run_once()
    ends = await asyncio.gather(*(flow.check.guard(flow.gone) for _ in range(1000)), return_exceptions=True)
    assert {type(end) for end in ends} == {TaskGone}
    assert flow.probe.asked < 10


async def test_a_check_that_began_before_a_404_proves_nothing() -> None:
    flow = Flow()
    await flow.check.run_once()
    await asyncio.gather(*(flow.check.confirm() for _ in range(3)))
    assert flow.probe.asked == 3, "the start's, the first's, and one for both that came while it was under way"


async def test_where_the_engine_tells_no_id_its_definitions_do() -> None:
    flow = Flow()
    flow.probe.told = False
    await flow.check.run_once()
    await flow.check.admit(["order:1:a"])
    await flow.check.admit(["mail:1:b", "order:1:a", "unseen:1:c"])
    assert flow.store.identity == EngineIdentity(None, ("mail:1:b", "order:1:a"))
    flow.probe.definitions[OURS].discard("order:1:a")
    await flow.check.confirm()
    flow.probe.at = OTHER
    with pytest.raises(EngineChanged, match="none of the process definitions"):
        await flow.check.admit(["order:1:z"])
    flow.probe.at = OURS
    await flow.check.confirm()


async def test_an_engine_that_tells_its_id_later_is_known_by_it_from_then_on() -> None:
    flow = Flow()
    flow.probe.told = False
    await flow.check.run_once()
    await flow.check.admit(["order:1:a"])
    flow.probe.told = True
    await flow.check.confirm()
    assert flow.store.identity == EngineIdentity(OURS, ("order:1:a",))
    await flow.check.confirm()
    assert flow.store.identity == EngineIdentity(OURS, ("order:1:a",))


async def test_no_more_definitions_are_kept_than_that() -> None:
    many = tuple(f"d:{number}" for number in range(MOST_DEFINITIONS))
    assert EngineIdentity(OURS, many).with_definitions(("new", "d:3")).definitions == (
        "new", "d:3", *[one for one in many if one != "d:3"][: MOST_DEFINITIONS - 2],
    )  # fmt: skip


@pytest.mark.parametrize("error", [EngineUnavailable("away"), EngineForbidden("no", status=403)])
async def test_what_can_not_be_told_ends_no_task(error: Exception) -> None:
    flow = Flow()
    await flow.check.run_once()
    flow.probe.error = error
    with pytest.raises(EngineUnavailable):
        await flow.check.guard(flow.gone)
    assert flow.check.trouble is None


async def test_a_store_that_is_away_can_not_tell_either() -> None:
    flow = Flow()

    async def away() -> EngineIdentity | None:
        raise StoreUnavailable("away")

    flow.store.engine_identity = away  # type: ignore[method-assign]
    with pytest.raises(EngineUnavailable, match="can't be told"):
        await flow.check.guard(flow.gone)
    await flow.check.run_once()


async def test_it_is_compared_now_and_again_and_soon_while_another_answers() -> None:
    flow = Flow()
    await flow.check.run_once()
    await flow.check.run_once()
    assert flow.probe.asked == 1
    flow.clock.advance(timedelta(minutes=1))
    flow.probe.at = OTHER
    await flow.check.run_once()
    flow.clock.advance(SECOND)
    await flow.check.run_once()
    assert (flow.probe.asked, flow.check.trouble is None) == (3, False)


async def test_an_engine_that_was_replaced_on_purpose_is_accepted() -> None:
    flow = Flow()
    await flow.check.run_once()
    flow.probe.at = OTHER
    await IdentityCheck(flow.probe, flow.store, flow.clock, flow.notes).accept()
    await flow.check.confirm()
    assert flow.store.identity == EngineIdentity(OTHER)
