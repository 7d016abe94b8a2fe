"""The first page: what needs attention, then numbers of runs, their durations, and failures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from bridge.domain.access import Principal, Scope
from bridge.domain.failure_groups import FailureOrder
from bridge.domain.operation import Operation
from bridge.domain.statistics import Count, Overview, Range, beginning, overview
from bridge.domain.task import State
from bridge.operations.attention import Needs
from bridge.operations.health import Health
from bridge.ports.dashboard import COUNT_CAP
from bridge.search.query import EVERYTHING, Field, among
from web.auth.guard import GivenPrincipal, needs
from web.components.charts import lines, sparkline, stacked
from web.components.page import pages_of, render_in_thread
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.failures import Group, groups_of, range_of
from web.dashboard.shared import Shared

_RANGES: Final = tuple(Range)
_MOST_GROUPS: Final = 5
_MOST_OPERATIONS: Final = 5
_HEALTH_KEPT: Final = timedelta(seconds=5)
SINCE: Final[Mapping[Range, str]] = {Range.HOUR: "1h", Range.SIX_HOURS: "6h", Range.DAY: "24h", Range.WEEK: "7d"}
"""What the list of tasks calls each range."""


def topic_of(text: str | None, principal: Principal) -> str | None:
    """Return the topic that a URL names, if its reader may see it."""
    allowed = principal.topics is None or text in principal.topics
    return text if text and allowed else None


@dataclass(slots=True)
class _Kept:
    at: datetime
    health: Health


@dataclass(frozen=True, slots=True)
class _Found:
    """What the page shows to all who may see the same topics."""

    needs: Needs
    counts: Mapping[State, int | None]
    health: Health
    shown: Overview
    charts: Mapping[str, Any]
    groups: Sequence[Group]
    operations: Sequence[Operation]
    calm: bool


class OverviewPage:
    """Shows the overview. Health is probed at most once in five seconds, for any number of readers."""

    def __init__(self, dashboard: DashboardDependencies) -> None:
        self._dashboard = dashboard
        self._health: _Kept | None = None
        self._shared: Shared[_Found] = Shared()

    async def show(self, request: Request[Any, Any, Any], principal: Principal) -> Response[str]:
        """Show the page as the URL has it."""
        wanted = range_of(request.query_params.get("range"))
        topic = topic_of(request.query_params.get("topic"), principal)
        pages = pages_of(request)
        found = await self._shared.get(
            (wanted, topic, principal.topics),
            pages.version_for(request),
            lambda: self._find(wanted, topic, principal, partial(pages.in_thread, request)),
        )
        counts, shown = found.counts, found.shown
        return await render_in_thread(
            request,
            "overview.html",
            range=wanted,
            ranges=_RANGES,
            since=SINCE[wanted],
            topic=topic,
            topics=sorted(self._dashboard.topics if principal.topics is None else principal.topics),
            needs=found.needs,
            counts=counts,
            waiting=_sum(counts, State.RECEIVED, State.QUEUED),
            working=_sum(counts, State.RUNNING, State.REPORTING),
            health=found.health,
            calm=found.calm,
            totals={count.value: number for count, number in shown.counts.items()},
            shown=shown,
            charts=found.charts,
            groups=found.groups,
            operations=found.operations,
            cap=COUNT_CAP,
            nothing=not shown.counts[Count.RECEIVED] and not shown.counts[Count.COMPLETED] and not any(counts.values()),
        )

    async def _find(
        self,
        wanted: Range,
        topic: str | None,
        principal: Principal,
        in_thread: Callable[[Callable[[], _Found]], Awaitable[_Found]],
    ) -> _Found:
        store, now = self._dashboard.store, self._dashboard.clock.now()
        found_needs, counts, health, rows, groups, operations = await asyncio.gather(
            self._dashboard.needs(),
            self._counts(principal, topic, now),
            self._recent_health(now),
            store.rollups(wanted.step, beginning(wanted, now), topic),
            store.failure_groups(now - wanted.span, now, topic, within=wanted.span),
            store.operations(_MOST_OPERATIONS),
        )

        def found() -> _Found:
            shown = overview([row for row in rows if _visible(row.topic, principal)], wanted, topic, now, split=False)
            visible = [group for group in groups if _visible(group.topic, principal)]
            return _Found(
                needs=_narrowed(found_needs, principal),
                counts=counts,
                health=health,
                shown=shown,
                charts=_charts(shown),
                groups=groups_of(
                    visible, FailureOrder.COUNT, wanted, now, self._dashboard.secrets_of, most=_MOST_GROUPS
                ),
                operations=operations if principal.topics is None else [],
                calm=_is_calm(found_needs, counts, health),
            )

        return await in_thread(found)

    async def _counts(self, principal: Principal, topic: str | None, now: datetime) -> Mapping[State, int | None]:
        names = [topic] if topic is not None else None if principal.topics is None else sorted(principal.topics)
        query = EVERYTHING if names is None else among(Field.TOPIC, names)
        return (await self._dashboard.store.counts(query, now=now)).by_state

    async def _recent_health(self, now: datetime) -> Health:
        kept = self._health
        if kept is None or not timedelta(0) <= now - kept.at < _HEALTH_KEPT:
            kept = self._health = _Kept(now, await self._dashboard.health())
        return kept.health


def _visible(topic: str, principal: Principal) -> bool:
    return principal.topics is None or topic in principal.topics


def _narrowed(found: Needs, principal: Principal) -> Needs:
    if principal.topics is None:
        return found
    unattended = tuple(topic for topic in found.unattended if topic in principal.topics)
    pauses = tuple(pause for pause in found.pauses if pause.topic in principal.topics)
    return Needs(found.by_state, unattended, found.stale, found.alive, pauses, found.depths, found.foreign_answers)


def _sum(counts: Mapping[State, int | None], *states: State) -> int | None:
    numbers = [counts[state] for state in states]
    known = [number for number in numbers if number is not None]
    return min(COUNT_CAP, sum(known)) if len(known) == len(numbers) else None


def _is_calm(found: Needs, counts: Mapping[State, int | None], health: Health) -> bool:
    warned = any(part.warnings for part in health.components)
    troubles = found.unattended or found.stale or found.foreign_answers or found.unreadable or warned
    return health.ok and bool(found.alive) and counts[State.FAILED] == 0 and not troubles


def _charts(shown: Overview) -> Mapping[str, Any]:
    moments = [point.at for point in shown.points]
    done = [point.counts[Count.COMPLETED] for point in shown.points]
    failed = [point.counts[Count.FAILED] for point in shown.points]
    waiting = {"p50": [point.waiting.p50 for point in shown.points], "p95": [p.waiting.p95 for p in shown.points]}
    running = {"p50": [point.running.p50 for point in shown.points], "p95": [p.running.p95 for p in shown.points]}
    return {
        "throughput": stacked(moments, {"completed": done, "failed": failed}),
        "waiting": lines(moments, waiting),
        "running": lines(moments, running),
        "completed": sparkline(done),
        "failed": sparkline(failed),
    }


def overview_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the route of the page."""
    page = OverviewPage(dashboard)

    @get("/", opt=needs(Scope.READ))
    async def first(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        return await page.show(request, principal)

    return (first,)
