"""The stubs behind the web, as the tests of the web have them, and a real provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.openid.server import Provider
from tests.web.conftest import Stub


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    provider = Provider(tmp_path)
    await provider.start()
    yield provider
    await provider.stop()
