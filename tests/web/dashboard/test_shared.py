"""What several readers look at is put together once: for one version, and for as long as it has one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from web.dashboard.shared import Shared


@dataclass
class Maker:
    """Makes a number; waits until it may, and fails where it is to."""

    made: int = 0
    error: Exception | None = None
    may: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> int:
        self.made += 1
        await self.may.wait()
        if self.error is not None:
            raise self.error
        return self.made


@pytest.fixture
def make() -> Maker:
    maker = Maker()
    maker.may.set()
    return maker


async def test_all_who_ask_at_once_get_what_one_made() -> None:
    shared, make = Shared[int](), Maker()
    asking = [asyncio.create_task(shared.get("k", "v", make)) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()  # the one that began leaves
    make.may.set()
    assert await asyncio.gather(*asking[1:]) == [1] * 19
    assert await shared.get("k", "v", make) == 1


async def test_another_key_or_version_is_made_anew(make: Maker) -> None:
    shared = Shared[int]()
    asked = [("k", "v"), ("k", "v"), ("other", "v"), ("k", "w"), ("k", "w"), ("k", "v")]
    assert [await shared.get(key, version, make) for key, version in asked] == [1, 1, 2, 3, 3, 4]


async def test_without_a_version_nothing_is_shared(make: Maker) -> None:
    shared = Shared[int]()
    assert [await shared.get("k", "", make) for _ in range(3)] == [1, 2, 3]
    assert await shared.get("k", "v", make) == 4


async def test_a_fault_reaches_all_who_wait_and_nobody_after() -> None:
    shared, make = Shared[int](), Maker(error=ValueError("no"))
    asking = [asyncio.create_task(shared.get("k", "v", make)) for _ in range(3)]
    await asyncio.sleep(0)
    make.may.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(each) for each in found] == ["no"] * 3
    make.error = None
    assert await shared.get("k", "v", make) == 2


async def test_only_so_many_are_kept(make: Maker) -> None:
    shared = Shared[int]()
    for key in range(1000):
        await shared.get(key, "v", make)
    assert len(shared._made) == 64
    assert await shared.get(999, "v", make) == 1000
    assert await shared.get(0, "v", make) == 1001
