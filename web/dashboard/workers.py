"""The gateway's processes with their topics, the state of engine, store and broker, and the dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from bridge.domain.access import Principal, Scope, may
from bridge.domain.replica import Load, Replica
from web.auth.guard import GivenPrincipal, needs
from web.components.page import render
from web.dashboard.dependencies import DashboardDependencies

LETTERS: Final = 20


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A process, with those of its topics that the person may see; `stale` without a recent heartbeat."""

    replica: Replica
    stale: bool
    loads: tuple[tuple[str, Load], ...]

    @property
    def running(self) -> int:
        return sum(load.running for _, load in self.loads)

    @property
    def slots(self) -> int:
        return sum(load.slots for _, load in self.loads)


def worker_rows(
    principal: Principal, replicas: Sequence[Replica], dashboard: DashboardDependencies, now: datetime
) -> list[WorkerRow]:
    """Return the processes, those that live first."""
    found = [
        WorkerRow(
            replica,
            now - replica.seen_at > dashboard.stale_after,
            tuple((topic, load) for topic, load in sorted(replica.loads.items()) if may(principal, Scope.READ, topic)),
        )
        for replica in replicas
    ]
    return sorted(found, key=lambda one: (one.stale, one.replica.id))


def workers_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the route of the page."""

    @get("/workers", opt=needs(Scope.READ))
    async def workers(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        now = dashboard.clock.now()
        replicas, health, letters = await asyncio.gather(
            dashboard.replicas.replicas(now - dashboard.shown_for),
            dashboard.health(),
            dashboard.dead_letter_store.dead_letters(LETTERS),
        )
        rows = worker_rows(principal, replicas, dashboard, now)
        topics = sorted({topic for one in rows if not one.stale for topic, _ in one.loads})
        by_topic = [
            (topic, [(one, load) for one in rows if not one.stale for name, load in one.loads if name == topic])
            for topic in topics
        ]
        return render(
            request,
            "workers.html",
            rows=rows,
            by_topic=by_topic,
            health=health,
            circuit=dashboard.circuit(),
            letters=[letter for letter in letters if may(principal, Scope.READ, letter.topic)],
            stale_after=dashboard.stale_after,
            shown_for=dashboard.shown_for,
        )

    return (workers,)
