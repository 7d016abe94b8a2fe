"""Failures grouped by cause: how often, since when, and a link to retry all tasks of a group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from bridge.domain.access import Scope, may
from bridge.domain.failure_groups import FailureOrder, failures_within, is_new, ordered
from bridge.domain.redaction import mask_start
from bridge.domain.statistics import FailureGroup, Range, Step
from web.api.schemas import LONGEST_ERROR
from web.auth.guard import GivenPrincipal, needs
from web.components.charts import Sparkline, sparkline
from web.components.page import render
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.task_view import without_type

_MOST: Final = 200
_HOURS: Final[dict[Range, int]] = {Range.HOUR: 24, Range.SIX_HOURS: 24, Range.DAY: 24, Range.WEEK: 168}
"""How many hours a group's line shows: of less than a day it would show nothing."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group as it is shown: its sample without secrets, and what it failed in the range that was asked for."""

    group: FailureGroup
    sample: str
    count: int
    line: Sparkline
    new: bool


def range_of(text: str | None) -> Range:
    """Return the range that a URL names; a day where it names none."""
    return Range(text) if text in set(Range) else Range.DAY


def groups_of(
    groups: Sequence[FailureGroup],
    order: FailureOrder,
    wanted: Range,
    now: datetime,
    secrets_of: Callable[[str], Collection[str]],
    *,
    most: int | None = None,
) -> list[Group]:
    """Return `most` groups as they are shown, in that order."""
    found = ordered(groups, order, wanted, now, most=most)
    return [_shown(group, wanted, now, secrets_of(group.topic)) for group in found]


def _shown(group: FailureGroup, wanted: Range, now: datetime, also: Collection[str]) -> Group:
    last = Step.HOUR.floor(now)
    hours = [last - timedelta(hours=back) for back in reversed(range(_HOURS[wanted]))]
    return Group(
        group,
        mask_start(without_type(group.sample, group.error), LONGEST_ERROR, also),
        failures_within(group, wanted, now),
        sparkline([group.hours.get(hour, 0) for hour in hours]),
        is_new(group, wanted, now),
    )


def failures_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the route of the page."""

    @get("/failures", opt=needs(Scope.READ))
    async def failures(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        given = request.query_params.get
        wanted = range_of(given("range"))
        order = next((each for each in FailureOrder if each == given("sort")), FailureOrder.COUNT)
        topic = given("topic") or None
        now = dashboard.clock.now()
        found = await dashboard.store.failure_groups(now - wanted.span, now, topic, _MOST)
        visible = [group for group in found if may(principal, Scope.READ, group.topic)]
        ever = bool(found) or bool(await dashboard.store.failure_groups(now - Range.WEEK.span, now, None, 1))
        return render(
            request,
            "failures.html",
            range=wanted,
            ranges=tuple(Range),
            sort=order,
            topic=topic,
            topics=sorted(dashboard.topics if principal.topics is None else principal.topics),
            groups=groups_of(visible, order, wanted, now, dashboard.secrets_of),
            capped=len(found) == _MOST,
            most=_MOST,
            ever=ever,
        )

    return (failures,)
