"""Labs for faults: on the session's servers, or on servers of their own that may be stopped, killed and frozen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from sandbox import Part, Sandbox
from tests.conftest import base_port
from tests.faults.lab import FaultLab

PARTS = (Part.ENGINE, Part.STORE, Part.BROKER)


@pytest.fixture
async def faults(servers: dict[str, str], tmp_path: Path) -> AsyncIterator[FaultLab]:
    """A lab on servers that nobody disturbs."""
    async with aiohttp.ClientSession() as session:
        lab = FaultLab(servers, tmp_path, session)
        await lab.open()
        try:
            yield lab
        finally:
            await lab.close()


@pytest.fixture(scope="session")
def own_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("disturbed"), base_port=base_port(1000))
    try:
        sandbox.up(PARTS)
        yield sandbox
    finally:
        sandbox.down()


@pytest.fixture
def disturbed(own_sandbox: Sandbox) -> Iterator[Sandbox]:
    """Servers that a test may disturb; they are whole again after it."""
    try:
        yield own_sandbox
    finally:
        for status in own_sandbox.status():
            if status.state == "paused":
                own_sandbox.resume(status.part)
        own_sandbox.up(PARTS)


@pytest.fixture
async def outage(disturbed: Sandbox, tmp_path: Path) -> AsyncIterator[FaultLab]:
    """A lab on the servers that a test may disturb. Those that it left stopped are started before the lab ends."""
    async with aiohttp.ClientSession() as session:
        lab = FaultLab(disturbed.env(), tmp_path, session)
        await lab.open()
        try:
            yield lab
        finally:
            disturbed.up(PARTS)
            await lab.close()
