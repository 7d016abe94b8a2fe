"""The real store's clock, by which all replicas go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.adapters.mongo.clock import SharedClock
from bridge.adapters.mongo.reader import StoreReader
from bridge.domain.errors import StoreUnavailable
from sandbox.ports import LOOPBACK

NEAR = timedelta(seconds=5)


async def test_the_stores_clock_is_near_ours(servers: dict[str, str]) -> None:
    async with StoreReader(servers["MONGODB_URI"], "clock") as reader:
        for _ in range(2):
            moment = await reader.server_time()
            assert moment.tzinfo is UTC
            assert abs(moment - datetime.now(UTC)) < NEAR
        clock = SharedClock(reader.server_time)
        assert abs(await clock.sync()) < NEAR
        assert abs(clock.now() - await reader.server_time()) < timedelta(seconds=1)


async def test_a_store_that_is_not_open_has_no_clock() -> None:
    with pytest.raises(StoreUnavailable, match="not open"):
        await StoreReader(f"mongodb://{LOOPBACK}:1/", "clock").server_time()
