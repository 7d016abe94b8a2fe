"""The pages of topics, workers, bulk operations and the audit on fakes, beside those of tasks."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

from litestar import Litestar

from bridge.domain.access import Principal, Role
from bridge.domain.errors import BrokerUnavailable
from bridge.domain.operation import Item, Operation, OperationKind
from bridge.domain.records import AuditEntry, AuditFilter
from bridge.domain.replica import Load, Replica
from tests.web.auth.access_lab import AccessLab, browser, with_token
from tests.web.conftest import Stub
from tests.web.dashboard.dashboard_lab import DashboardLab
from web.app import create_app
from web.components.live import LiveConfig
from web.components.page import PageConfig
from web.dashboard.mount import dashboard_router
from web.dashboard.pages import dashboard_pages

OPERATION = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
HOSTILE = '<script>alert("x")</script>{{ 7 * 7 }}<img src=x onerror=alert(1)>'


class OperationsLab:
    """All that stands behind these pages; `away` is whether the broker doesn't answer."""

    def __init__(self, access: AccessLab | None = None, **urls: str) -> None:
        self.access = access or AccessLab()
        self.parts = DashboardLab(self.access, None, **urls)
        self.dashboard_store, self.store, self.clock = self.parts.dashboard_store, self.parts.store, self.parts.clock
        self.away, self.circuit = False, "closed"
        self.bulk = self.parts.dependencies.bulk
        self.dependencies = replace(self.parts.dependencies, depths=self._depths, circuit=lambda: self.circuit)

    async def _depths(self, topics: Any) -> Any:
        if self.away:
            raise BrokerUnavailable("the broker is away")
        return await self.parts.broker.depths(topics)

    def app(self, page_config: PageConfig | None = None) -> Litestar:
        """Return the application with all pages."""
        mounted = dashboard_pages(self.dependencies)
        pages = dashboard_router(
            self.access.dependencies, page_config, live_config=LiveConfig(lifetime=timedelta(0)), mounted=mounted
        )
        return create_app(Stub().dependencies(self.access.dependencies), [pages])

    async def worker(self, name: str = "replica-a", seconds: float = 0, lag: float = 0.01) -> None:
        """Let a replica that works both topics have been seen so many seconds ago."""
        now = self.clock.now()
        loads = {topic: Load(16, 2, 0.25) for topic in self.parts.topics}
        seen = now - timedelta(seconds=seconds)
        await self.store.heartbeat(Replica(name, "1.2.3", ("intake", "work"), now, seen, loads, reporting=3, lag=lag))

    async def begin(self, operation_id: str) -> None:
        """Keep an operation that has one task."""
        now = self.clock.now()
        operation = Operation(operation_id, OperationKind.RETRY, "state:failed", "mended", "ada", 10, now)
        await self.dashboard_store.create(operation, [Item("t1", 1)])

    async def fail_many(self, count: int) -> list[str]:
        """Keep so many failed tasks, with their incidents in the engine; return their ids."""
        return [(await self.parts.failed()).id for _ in range(count)]


class Person:
    """Somebody logged in, whose browser knows no JavaScript: it fills in forms as they are, and follows redirects."""

    def __init__(self, lab: OperationsLab, secret: str, **headers: str) -> None:
        self.client = browser(lab.app(), secret)
        self.client.follow_redirects = True
        self.client.headers.update(headers)
        self.secret = secret

    async def get(self, path: str, status: int = 200) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    async def post(self, path: str, fields: dict[str, Any], status: int = 200) -> str:
        answer = await self.client.post(path, data={**with_token(self.secret), **fields})
        assert answer.status_code == status, answer.text
        return answer.text


async def person(lab: OperationsLab, role: Role = Role.OPERATOR, **headers: str) -> Person:
    """Return somebody with that role."""
    return Person(lab, await lab.access.session(role), **headers)


def audited() -> OperationsLab:
    """Return a lab whose changes of people and keys are audited in the dashboard store."""
    lab = OperationsLab()
    lab.access.dependencies = replace(lab.access.dependencies, audit=lab.dashboard_store.write)
    return lab


async def entries_of(lab: OperationsLab, actions: str) -> list[AuditEntry]:
    """Return what the audit has of actions that begin so."""
    return [entry for entry in await lab.dashboard_store.entries(AuditFilter(), 20) if entry.action.startswith(actions)]


def bound_to(lab: OperationsLab, *topics: str) -> None:
    """Have everybody who is logged in see these topics alone."""
    by_session = lab.access.session_service.by_session

    async def bound(secret: str) -> Principal | None:
        found = await by_session(secret)
        return None if found is None else replace(found, topics=frozenset(topics))

    lab.access.session_service.by_session = bound  # type: ignore[method-assign]


def form_of(html: str, action: str) -> dict[str, Any]:
    """Return the fields of the form with that action, as a browser would send them untouched."""
    found = re.search(rf'<form[^>]*action="{re.escape(action)}".*?</form>', html, re.S)
    assert found is not None, action
    fields: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", found[0]):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name is not None:
            fields.setdefault(name[1], []).append("" if value is None else value[1])
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def told(html: str) -> str:
    """Return what the page says was just done."""
    found = re.search(r'class="flash".*?<p[^>]*>(.*?)</p>', html, re.S)
    return "" if found is None else found[1]
