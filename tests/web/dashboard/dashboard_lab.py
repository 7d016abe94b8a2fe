"""The pages of tasks on fakes: a store, an engine and a broker in memory, and short ways to fill them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from datetime import datetime, timedelta
from html import unescape
from typing import Any

from litestar import Litestar
from pydantic import BaseModel

from bridge.adapters.memory.broker import MemoryBroker
from bridge.adapters.memory.dashboard import MemoryDashboardStore
from bridge.adapters.memory.engine import MemoryEngine
from bridge.adapters.memory.store import MemoryStore
from bridge.domain.replica import Replica
from bridge.domain.task import Attempt, State, Task, TypedValue
from bridge.flow.lease import Lease
from bridge.flow.reconcile.offer import Offer
from bridge.operations.attention import Attention
from bridge.operations.bulk import Bulk
from bridge.operations.health import Component, Health
from bridge.operations.retry import Operate
from bridge.ports.clock import Clock
from bridge.ports.engine import TopicPoll
from bridge.topic import Topic, topic
from tests.web.auth.access_lab import AccessLab, Journal, with_token
from tests.web.conftest import Stub
from web.app import create_app
from web.components.live import LiveConfig
from web.components.page import PageConfig
from web.dashboard.dependencies import DashboardDependencies, TopicDefaults
from web.dashboard.mount import dashboard_router
from web.dashboard.pages import dashboard_pages

LOCK = timedelta(minutes=1)
STACK = """Traceback (most recent call last):
  File "/app/bridge/flow/handle/run.py", line 98, in _call
    return await handler(given, context)
  File "/app/topics/charge_card.py", line 41, in charge
    response = await bank.charge(order.amount_cents)
httpx.ConnectTimeout: the bank did not answer within 30 s"""


class Order(BaseModel):
    amount_cents: int = 0


@topic("charge_card", secrets=["card_code"])
async def charge_card(order: Order) -> Order:
    return order


@topic("ship", business_key="A-17", process_variables={"country": "<BR>"}, without_tenant_id=True)
async def ship(order: Order) -> Order:
    return order


async def _end_unknown(task: Task) -> None:
    """Tell nothing of a task that is gone."""


class DashboardLab:
    """All that stands behind the pages; `health` is what the parts answer."""

    def __init__(self, access: AccessLab, clock: Clock | None = None, **urls: str) -> None:
        self.access, self.clock = access, clock or access.clock
        self.topics: dict[str, Topic[Any, Any]] = {"charge_card": charge_card, "ship": ship}
        self.store = MemoryStore()
        self.dashboard_store = MemoryDashboardStore(self.store)
        self.engine, self.broker = MemoryEngine(self.clock), MemoryBroker(list(self.topics))
        self.journal, self.nudged = Journal(), list[Collection[str]]()
        self.health = Health(True, (Component("engine", True, "7.24.0"), Component("mongodb", True, "8.0")))
        lease = Lease(self.engine, self.clock, self.topics, LOCK)
        operate = Operate(
            engine=self.engine, store=self.store, lease=lease,
            offer=Offer(self.engine, self.store, self.clock, self.journal, _end_unknown),
            topics=self.topics, nudge=self.nudged.append, clock=self.clock, journal=self.journal, retry_limit=3,
        )  # fmt: skip
        bulk = Bulk(
            operations=self.dashboard_store, search=self.dashboard_store, store=self.store, operate=operate,
            audit=self.dashboard_store.write, clock=self.clock, journal=self.journal, replica="replica-a",
        )  # fmt: skip
        attention = Attention(
            search=self.dashboard_store, replicas=self.store, pauses=self.dashboard_store, publisher=self.broker,
            topics=list(self.topics), clock=self.clock,
        )  # fmt: skip
        self.dependencies = DashboardDependencies(
            store=self.dashboard_store, reader=self.store, replicas=self.store, dead_letter_store=self.store,
            engine=self.engine, operate=operate, bulk=bulk, depth=self.broker.depth, depths=self.broker.depths,
            needs=attention.needs, health=self._health, circuit=lambda: "closed", topics=self.topics,
            topic_defaults=TopicDefaults(timedelta(minutes=5), LOCK, 3), clock=self.clock,
            jaeger_url=urls.get("jaeger"), cockpit_url=urls.get("cockpit"),
        )  # fmt: skip

    async def _health(self) -> Health:
        return self.health

    def app(
        self,
        page_config: PageConfig | None = None,
        *,
        live_config: LiveConfig | None = None,
        ending: asyncio.Event | None = None,
    ) -> Litestar:
        """Return the application with these pages; without `live_config` a stream of changes ends at once."""
        at_once = LiveConfig(lifetime=timedelta(0))
        pages = dashboard_router(
            self.access.dependencies,
            page_config,
            changes=self.dashboard_store,
            live_config=live_config or at_once,
            ending=ending,
            mounted=dashboard_pages(self.dependencies),
        )
        return create_app(Stub().dependencies(self.access.dependencies), [pages])

    def task(self, task_id: str = "t1", **changes: Any) -> Task:
        """Keep a task, and return it."""
        now = self.clock.now()
        fields: dict[str, Any] = {
            "topic": "charge_card", "worker_id": "w1", "lease_until": now + LOCK, "created_at": now - 5 * LOCK,
            "updated_at": now - LOCK, "retries": 3, "business_key": f"order-{task_id}",
            "process_instance_id": f"instance-{task_id}", "process_definition_key": "payment",
        }  # fmt: skip
        task = Task(**{"id": task_id, **fields, **changes})
        self.store.tasks[task.id] = task
        return task

    async def failed(self, task_id: str | None = None, **changes: Any) -> Task:
        """Keep a task that failed, with its incident in the engine where no id is given."""
        name = changes.get("topic", "charge_card")
        if task_id is None:
            task_id = self.engine.add(name, {"amount_cents": TypedValue("Integer", 1200)})
            await self.engine.fetch_and_lock("w1", 1, [TopicPoll(name, LOCK)], timedelta(0))
            await self.engine.fail(task_id, "w1", message="no", details="", retries=0, retry_timeout=timedelta(0))
            changes = {"process_instance_id": (await self.engine.get(task_id)).process_instance_id, **changes}
        now = self.clock.now()
        fields: dict[str, Any] = {
            "state": State.FAILED, "attempts": 2, "retries": 0, "next_at": None, "finished_at": now - LOCK,
            "error": "ConnectTimeout: the bank did not answer within 30 s", "error_type": "ConnectTimeout",
            "error_fp": "0123456789abcdef", "variables": {"amount_cents": TypedValue("Integer", 1200)},
            "history": tuple(self.attempt(number, now - (4 - number) * LOCK) for number in (1, 2)),
        }  # fmt: skip
        return self.task(task_id, **{**fields, **changes})

    @staticmethod
    def attempt(number: int, at: datetime, **changes: Any) -> Attempt:
        """Return a run that failed."""
        fields: dict[str, Any] = {
            "claim_id": f"c{number}", "replica": "replica-a", "started_at": at,
            "ended_at": at + timedelta(seconds=30), "ended": "failed", "error": "ConnectTimeout",
            "message": "the bank did not answer within 30 s", "details": STACK,
        }  # fmt: skip
        return Attempt(number, **{**fields, **changes})

    async def replica(self, name: str = "replica-a", seconds: float = 0, foreign_answer: str | None = None) -> None:
        """Let a replica have been seen so many seconds ago."""
        now = self.clock.now()
        seen_at = now - timedelta(seconds=seconds)
        await self.store.heartbeat(Replica(name, "1.2.3", ("web",), now, seen_at, foreign_answer=foreign_answer))


def seen(task: Task, secret: str, **fields: str) -> dict[str, str]:
    """Return a form as the page of this task has it."""
    shown = {"state": task.state.value, "epoch": str(task.epoch), "updated_at": task.updated_at.isoformat()}
    return with_token(secret, **{**shown, "reason": "because", **fields})


async def page_of(client: Any, task: Task, query: str = "") -> str:
    response = await client.get(f"/dashboard/tasks/{task.id}{query}")
    assert response.status_code == 200, response.text[:300]
    return str(response.text)


async def flash(client: Any, response: Any) -> str:
    """Follow the answer to a form, and return what the next page says of it."""
    assert response.status_code == 303, response.text[:300]
    text = (await client.get(response.headers["location"])).text
    found = re.search(r'<div class="flash".*?<p[^>]*>(.*?)</p>', text, re.DOTALL)
    return "" if found is None else unescape(found[1])
