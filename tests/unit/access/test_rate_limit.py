"""How many requests a key and an address may make: over all replicas, and off the store while nobody is near."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from litestar.testing import AsyncTestClient

from bridge.access.rate_limit import MOST_SIDES, RateLimit, Side
from bridge.adapters.memory.access import MemoryAccessStore
from bridge.domain.access import Scope
from bridge.domain.errors import TooManyRequests
from tests.web.auth.access_lab import AccessLab, HandClock
from tests.web.conftest import Stub
from web.app import create_app


class CountedStore(MemoryAccessStore):
    """Counts how often it is asked."""

    asked = 0

    async def count_requests(self, side: str, window_end: datetime, count: int) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        return await super().count_requests(side, window_end, count)


async def passed(limit: RateLimit, tries: int, name: str = "ada") -> int:
    """Return how many requests got through."""
    through = 0
    for _ in range(tries):
        try:
            await limit.admit(name)
        except TooManyRequests:
            continue
        through += 1
    return through


async def test_the_limit_holds_and_the_next_minute_begins_anew() -> None:
    clock, store = HandClock(), CountedStore()
    limit = RateLimit(Side.KEY, 100, store, clock)
    clock.pass_(seconds=20)
    assert await passed(limit, 150) == 100
    assert await passed(limit, 10, "eve") == 10
    with pytest.raises(TooManyRequests, match=r"^An API key may make 100 requests a minute: wait 40 s") as caught:
        await limit.admit("ada")
    assert caught.value.wait == 40
    clock.pass_(seconds=40)
    assert await passed(limit, 150) == 100


async def test_the_store_hears_nothing_while_nobody_is_near() -> None:
    clock, store = HandClock(), CountedStore()
    limit = RateLimit(Side.ADDRESS, 1000, store, clock)
    for address in range(200):
        assert await passed(limit, 99, str(address)) == 99
    assert store.asked == 0
    assert await passed(limit, 2000, "busy") == 1000
    assert store.asked <= 50


async def test_it_holds_over_replicas() -> None:
    clock, store = HandClock(), CountedStore()
    replicas = [RateLimit(Side.KEY, 1000, store, clock) for _ in range(4)]
    through = 0
    for _ in range(150):
        through += sum([await passed(limit, 10) for limit in replicas])
    assert 1000 <= through <= 1000 + 4 * 20


async def test_it_holds_for_many_at_once() -> None:
    clock, store = HandClock(), CountedStore()
    limit = RateLimit(Side.KEY, 100, store, clock)
    ends = await asyncio.gather(*(limit.admit("ada") for _ in range(300)), return_exceptions=True)
    assert sum(end is None for end in ends) == 100
    assert store.asked <= 50


async def test_zero_limits_nothing_and_many_sides_stay_bounded() -> None:
    store = CountedStore()
    assert await passed(RateLimit(Side.KEY, 0, store, HandClock()), 500) == 500
    limit = RateLimit(Side.KEY, 100, store, HandClock())
    for number in range(MOST_SIDES + 5):
        await limit.admit(str(number))
    assert len(limit._sides) == MOST_SIDES
    assert store.asked == 0


async def test_a_key_and_an_address_are_sent_away_with_a_problem() -> None:
    store, clock = CountedStore(), HandClock()
    limits = {"key_limit": RateLimit(Side.KEY, 2, store, clock)}
    lab = AccessLab(address_limit=RateLimit(Side.ADDRESS, 5, store, clock), **limits)
    app = create_app(Stub().dependencies(lab.dependencies))
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        ada, bob = [{"x-api-key": await lab.key(Scope.READ)} for _ in range(2)]
        assert [(await client.get("/tasks/", headers=ada)).status_code for _ in range(3)] == [200, 200, 429]
        answer = await client.get("/tasks/", headers=bob)
        assert answer.status_code == 200
        refused = await client.get("/tasks/", headers={"x-api-key": "wag_none"})
        assert refused.status_code == 401  # the address's fifth
        answer = await client.get("/tasks/", headers=bob)
        assert answer.status_code == 429
        assert answer.json()["type"].endswith(":too-many-requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await client.get("/health/live")).status_code == 200
