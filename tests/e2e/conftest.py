"""A lab for each test: topics, database and exchange of its own, on the session's real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.gateways import Lab


@pytest.fixture
async def lab(servers: dict[str, str], tmp_path: Path) -> AsyncIterator[Lab]:
    async with aiohttp.ClientSession() as session:
        lab = Lab(servers, tmp_path, session)
        try:
            yield lab
        finally:
            await lab.close()
