"""The stubs behind the web, as the tests of the web have them."""

from __future__ import annotations

import pytest

from tests.web.conftest import Stub


@pytest.fixture
def stub() -> Stub:
    return Stub()
