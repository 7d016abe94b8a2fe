"""Fetching where calls can not wait for long: a proxy ends them, or two engine nodes share a database."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.domain.task import State
from bridge.flow.poll.poll_wait import Why
from sandbox import Part, Sandbox
from tests.conftest import base_port
from tests.faults.lab import FaultLab
from tests.faults.timing_out import TimingOutProxy

LONG: Mapping[str, Any] = {"LOCK_DURATION": "60", "CLAIM_DURATION": "20", "CAMUNDA_TIMEOUT": "30"}


async def test_a_proxy_that_ends_waiting_calls_makes_them_short(faults: FaultLab) -> None:
    key = await faults.counted()
    async with TimingOutProxy(faults.engine_url, timedelta(seconds=2)) as proxy:
        gateway = await faults.faulty(**LONG, CAMUNDA_URL=proxy.url, POLL_WAIT="8")
        told = await gateway.until("poll_shortened")
        assert told["why"] == Why.CUT.value
        assert proxy.cut["fetchAndLock"] >= 1
        # The engine holds the call that was cut, and locks these for it; by itself their lock would end after a minute.
        tasks = await faults.begin(key, 3)
        await faults.until_finished(key, 3)
        await faults.assert_each_once(key, tasks)
        assert sum(line["tasks"] for line in gateway.events("orphaned_locks_released")) >= 1
        cut = proxy.cut["fetchAndLock"]
        asked = proxy.asked["fetchAndLock"]
        tasks += await faults.begin(key, 10)
        await faults.until_finished(key, 13)
        assert proxy.asked["fetchAndLock"] > asked
        assert proxy.cut["fetchAndLock"] == cut, "a second is short enough"
        assert not gateway.events("loop_failed", loop="poll")
        assert not gateway.events("circuit_opened")
        assert len(gateway.events("poll_shortened")) == 1


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The addresses of two engine nodes on one database."""
    home = tmp_path_factory.mktemp("nodes")
    first = Sandbox(home / "first", base_port=base_port(1500), shared=True)
    second = Sandbox(home / "second", base_port=base_port(1600), node_of=str(home / "first"))
    try:
        first.up((Part.ENGINE,))
        second.up((Part.ENGINE,))
        yield first.env()["CAMUNDA_URL"], second.env()["CAMUNDA_URL"]
    finally:
        second.down()
        first.down()


@pytest.fixture
async def elsewhere(
    servers: dict[str, str], nodes: tuple[str, str], tmp_path: Path
) -> AsyncIterator[tuple[FaultLab, str]]:
    """A lab that starts instances on the second node, and the address of the first."""
    async with aiohttp.ClientSession() as session:
        lab = FaultLab({**servers, "CAMUNDA_URL": nodes[1]}, tmp_path, session)
        await lab.open()
        try:
            yield lab, nodes[0]
        finally:
            await lab.close()


async def test_tasks_of_another_node_are_fetched_within_a_second(elsewhere: tuple[FaultLab, str]) -> None:
    lab, first = elsewhere
    key = await lab.counted()
    gateway = await lab.faulty(**LONG, CAMUNDA_URL=first, POLL_WAIT="10")
    delays: list[float] = []
    for number in range(1, 41):
        (task_id,) = await lab.begin(key)
        task = await lab.until_kept(task_id, State.COMPLETED)
        assert task.engine_created_at is not None
        delays.append((task.created_at - task.engine_created_at).total_seconds())
        if number == 3:
            told = await gateway.until("poll_shortened")
            assert told["why"] == Why.NOT_WOKEN.value
    before, after = delays[:2], delays[3:]
    assert min(before) > 0.5, "the engine didn't wake the call"
    assert statistics.quantiles(after, n=20)[-1] <= 1.0, sorted(after)
    assert len(lab.runs()) == 40
