"""The engine that answers is named once, and again when it is another."""

from __future__ import annotations

from datetime import timedelta

from bridge.adapters.memory.engine import MemoryEngine
from bridge.domain.engine_product import Brand, EngineProduct
from bridge.domain.errors import EngineUnavailable
from bridge.flow.engine.product import ProductCheck
from bridge.ports.journal import Level
from tests.unit.fakes import HandClock, Notes

OLD = EngineProduct(Brand.CAMUNDA, "7.14.0")
NEW = EngineProduct(Brand.CAMUNDA, "7.24.0")


class Engine(MemoryEngine):
    """The engine in memory, under the name of another."""

    found = OLD

    async def product(self) -> EngineProduct:
        await super().product()
        return self.found


async def test_an_engine_is_named_with_what_it_is_too_old_for_and_after_an_upgrade_anew() -> None:
    clock, notes = HandClock(), Notes()
    engine = Engine(clock)
    check = ProductCheck(engine, clock, notes)
    for _ in range(2):
        await check.run_once()
    (found,) = notes.of("engine_found")
    assert (found.values["engine"], found.values["brand"], found.values["version"]) == (str(OLD), "Camunda", "7.14.0")
    assert [(note.values["lacks"], note.level) for note in notes.of("engine_too_old")] == [
        ("sorting", Level.WARNING),
        ("lock", Level.WARNING),
    ]
    engine.found = NEW
    await check.run_once()
    assert check.product == OLD, "it is asked every ten minutes"
    clock.advance(timedelta(minutes=10))
    await check.run_once()
    assert check.product == NEW
    assert len(notes.of("engine_found")) == len(notes.of("engine_too_old")) == 2


async def test_an_engine_that_is_away_is_asked_again() -> None:
    clock, notes = HandClock(), Notes()
    engine = Engine(clock)
    engine.fail_next("product", EngineUnavailable("the engine is away"))
    check = ProductCheck(engine, clock, notes)
    await check.run_once()
    assert (check.product, notes.of("engine_found")) == (None, [])
    await check.run_once()
    assert check.product == OLD
