"""What a gateway may need for its tasks, counted on real servers: no clock is in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.counted import Counts, count
from bench.engine import Engine
from bench.servers import Servers

TASKS = 300


def port_of(address: str) -> int:
    port = urlsplit(address).port
    assert port is not None
    return port


async def test_a_backlog_needs_no_more_calls_commands_connections_and_locks_than_it_may(
    servers: dict[str, str], tmp_path: Path
) -> None:
    addresses = {"engine": "CAMUNDA_URL", "store": "MONGODB_URI", "broker": "RABBITMQ_URL"}
    ports = {name: port_of(servers[key]) for name, key in addresses.items()}
    there = Servers(servers, {}, ports, tmp_path)
    async with Engine(there.engine) as engine:
        counts = await count(engine, there, TASKS)
    assert counts.faults() == []
    assert counts.engine_calls["complete"] == TASKS
    assert counts.connections["engine"] > 1
    assert counts.locked > 10


GOOD = Counts(
    tasks=100,
    engine_calls={"fetch": 3, "complete": 100, "topic_names": 2, "count": 40, "oldest": 40},
    store_commands={
        "createIndexes tasks": 9,
        "find tasks": 50,
        "insert tasks": 2,
        "update tasks": 90,
        "find tasks by id": 20,
    },
    connections={"engine": 17, "store": 10, "broker": 2},
    locked=30,
    bound=30,
)


@pytest.mark.parametrize(
    ("worse", "says"),
    [
        (replace(GOOD, engine_calls={"fetch": 3, "complete": 101}), "101 completions"),
        (replace(GOOD, engine_calls={"fetch": 40, "complete": 100}), "40 other calls"),
        (replace(GOOD, store_commands={"update tasks": 251}), "2.51 store commands"),
        (replace(GOOD, connections={"broker": 3}), "3 connections to the broker"),
        (replace(GOOD, locked=31), "31 tasks were locked"),
    ],
)
def test_what_is_too_much_is_told(worse: Counts, says: str) -> None:
    assert GOOD.faults() == []
    (fault,) = worse.faults()
    assert says in fault


def test_commands_of_a_start_or_by_the_clock_are_not_those_of_a_task() -> None:
    assert GOOD.commands_a_task == pytest.approx(1.12)
    assert GOOD.calls_a_task == pytest.approx(1.03)
