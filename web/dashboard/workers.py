"""The gateway's processes and what they rest on: who lives, who works what, and what the broker gave up on."""

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
from web.dashboard.desk_operations import OperationsDesk

LETTERS: Final = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """A process, with the topics of it that somebody may see; `stale` where it gave no sign of life lately."""

    replica: Replica
    stale: bool
    loads: tuple[tuple[str, Load], ...]

    @property
    def running(self) -> int:
        return sum(load.running for _, load in self.loads)

    @property
    def slots(self) -> int:
        return sum(load.slots for _, load in self.loads)


def seen_by(principal: Principal, replicas: Sequence[Replica], door: OperationsDesk, now: datetime) -> list[Seen]:
    """Return the processes, those that live first."""
    found = [
        Seen(
            replica,
            now - replica.seen_at > door.life,
            tuple((topic, load) for topic, load in sorted(replica.loads.items()) if may(principal, Scope.READ, topic)),
        )
        for replica in replicas
    ]
    return sorted(found, key=lambda one: (one.stale, one.replica.id))


def workers_routes(door: OperationsDesk) -> tuple[HTTPRouteHandler, ...]:
    """Return the route of the page."""

    @get("/workers", opt=needs(Scope.READ))
    async def workers(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        now = door.clock.now()
        replicas, health, letters = await asyncio.gather(
            door.replicas.replicas(now - door.memory), door.health(), door.dead_letters(LETTERS)
        )
        seen = seen_by(principal, replicas, door, now)
        topics = sorted({topic for one in seen if not one.stale for topic, _ in one.loads})
        by_topic = [
            (topic, [(one, load) for one in seen if not one.stale for name, load in one.loads if name == topic])
            for topic in topics
        ]
        return render(
            request,
            "workers.html",
            seen=seen,
            by_topic=by_topic,
            health=health,
            circuit=door.circuit(),
            letters=[letter for letter in letters if may(principal, Scope.READ, letter.topic)],
            life=door.life,
            memory=door.memory,
        )

    return (workers,)
