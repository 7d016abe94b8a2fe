"""A lab for each test: topics, database and exchange of its own, on the session's real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import engine_session
from tests.e2e.gateways import Lab

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder: each speaks with an engine."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.engine)


@pytest.fixture
async def lab(servers: dict[str, str], tmp_path: Path) -> AsyncIterator[Lab]:
    async with engine_session() as session:
        lab = Lab(servers, tmp_path, session)
        try:
            yield lab
        finally:
            await lab.close()
