"""Somebody logged in at the pages of tasks, with all that stands behind them in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar.testing import AsyncTestClient

from bridge.domain.access import Role
from tests.web.auth.access_lab import AccessLab, browser
from tests.web.dashboard.dashboard_lab import DashboardLab


@pytest.fixture
def access() -> AccessLab:
    return AccessLab()


@pytest.fixture
def lab(access: AccessLab) -> DashboardLab:
    return DashboardLab(access, jaeger="https://jaeger.example", cockpit="https://cockpit.example/default")


@pytest.fixture
async def secret(access: AccessLab) -> str:
    return await access.session(Role.OPERATOR)


@pytest.fixture
async def client(lab: DashboardLab, secret: str) -> AsyncIterator[AsyncTestClient[Any]]:
    async with browser(lab.app(), secret) as client:
        yield client


@pytest.fixture
async def admin(lab: DashboardLab, access: AccessLab) -> AsyncIterator[tuple[AsyncTestClient[Any], str]]:
    secret = await access.session(Role.ADMIN)
    async with browser(lab.app(), secret) as client:
        yield client, secret
