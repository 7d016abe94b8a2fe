"""The topics: their queues, consumers, times and failures; and the switch that pauses one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import quote

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from bridge.domain.access import Principal, Scope, may
from bridge.domain.errors import BrokerError
from bridge.domain.records import Pause
from bridge.domain.replica import Load, Replica, alive
from bridge.domain.statistics import Count, Overview, Range, TopicFigures, beginning, overview
from bridge.domain.task import State, Task
from bridge.ports.broker import Depth
from bridge.ports.dashboard import Found
from bridge.search.page import Sort, SortKey
from bridge.search.query import Field, all_of, among
from bridge.topic import Topic
from web.auth.audit import audit_entry
from web.auth.guard import GivenPrincipal, needs, require
from web.components.charts import Sparkline, lines, sparkline, stacked
from web.components.flash import Flash
from web.components.forms import changing, read_form
from web.components.page import go_on, missing, render_in_thread
from web.components.page_urls import from_segment, segment
from web.dashboard.dependencies import DashboardDependencies
from web.dashboard.query_parameters import choice_parameter
from web.i18n.texts import msg

MOST_REASON: Final = 500
GROUPS: Final = 5

_WAITS: Final = (State.RECEIVED.value, State.QUEUED.value)

TopicName = Annotated[str, PathParameter(min_length=1, max_length=1000)]


@dataclass(frozen=True, slots=True)
class Workers:
    """A replica that works a topic, and how much it does."""

    replica: Replica
    load: Load


@dataclass(frozen=True, slots=True)
class TopicRow:
    """The state of a topic. `depth` is None while the broker doesn't answer; `oldest`: since when the oldest waits."""

    name: str
    pause: Pause | None
    depth: Depth | None
    workers: tuple[Workers, ...]
    oldest: datetime | None
    figures: TopicFigures | None
    spark: Sparkline | None
    served: bool

    @property
    def running(self) -> int:
        return sum(one.load.running for one in self.workers)

    @property
    def slots(self) -> int:
        return sum(one.load.slots for one in self.workers)

    @property
    def consumers(self) -> int:
        """The number of consumers: by the broker, or while it doesn't answer, by the heartbeats of replicas."""
        return len(self.workers) if self.depth is None else self.depth.consumers

    @property
    def state(self) -> str:
        """The name of the state: paused, unattended, up, or unknown."""
        if self.pause is not None:
            return "paused"
        if self.consumers:
            return "up"
        return "unknown" if self.depth is None and not self.workers else "unattended"


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of all topics at once."""

    pauses: Mapping[str, Pause]
    replicas: tuple[Replica, ...]
    depths: Mapping[str, Depth] | None
    figures: Overview


class TopicsPages:
    """The list, and one topic."""

    def __init__(self, dashboard: DashboardDependencies) -> None:
        self._dashboard = dashboard

    async def listed(self, request: Request[Any, Any, Any], principal: Principal) -> Response[str]:
        """Show all topics that the person may see."""
        wanted = choice_parameter(request, "range", Range, Range.HOUR)
        known = await self._known(wanted, None)
        names = {*self._dashboard.topics, *known.pauses, *known.figures.by_topic}
        names |= {topic for replica in known.replicas for topic in replica.loads}
        rows = await self._rows([name for name in sorted(names) if may(principal, Scope.READ, name)], known)
        return await render_in_thread(
            request, "topics.html", rows=rows, range=wanted.value, ranges=[*Range], away=known.depths is None,
            minutes=wanted.span / timedelta(minutes=1), counts=Count,
        )  # fmt: skip

    async def one(self, request: Request[Any, Any, Any], principal: Principal, name: str) -> Response[str]:
        """Show a topic."""
        require(principal, Scope.READ, name)
        wanted, now = choice_parameter(request, "range", Range, Range.HOUR), self._dashboard.clock.now()
        known = await self._known(wanted, name)
        counts = await self._dashboard.store.counts(among(Field.TOPIC, [name]), now=now)
        (row,) = await self._rows([name], known)
        if not (row.served or row.workers or row.pause or row.figures or any(counts.by_state.values())):
            text = msg("No gateway serves a topic with this name, and no task uses it.")
            return missing(request, msg("No such topic"), text, back="/dashboard/topics")
        figures = known.figures
        moments = [point.at for point in figures.points]
        return await render_in_thread(
            request,
            "topic.html",
            row=row,
            range=wanted.value,
            ranges=[*Range],
            away=known.depths is None,
            by_state=counts.by_state,
            states=[*State],
            groups=await self._dashboard.store.failure_groups(now - wanted.span, now, name, GROUPS),
            figures=figures,
            throughput=stacked(moments, {key: [p.counts[count] for p in figures.points] for key, count in _DRAWN}),
            waiting=lines(moments, _quantiles([p.waiting for p in figures.points])),
            running=lines(moments, _quantiles([p.running for p in figures.points])),
            minutes=wanted.span / timedelta(minutes=1),
            counts=Count,
            topic=self._dashboard.topics.get(name),
            filters=_further_filters(self._dashboard.topics.get(name)),
            topic_defaults=self._dashboard.topic_defaults,
            may_steer=may(principal, Scope.OPERATE, name),
            most_reason=MOST_REASON,
        )

    async def pause(self, request: Request[Any, Any, Any], principal: Principal, name: str) -> Response[Any]:
        """Pause the fetching of a topic."""
        require(principal, Scope.OPERATE, name)
        reason = (await read_form(request, {"reason": MOST_REASON}))["reason"].strip()
        path = f"/dashboard/topics/{quote(segment(name))}"
        if not reason:
            return go_on(request, path, Flash(msg("Give a reason: others see it with the topic."), level="error"))
        if name not in self._dashboard.topics and not await self._is_known(name):
            return await self.one(request, principal, name)
        before = await self._pause_of(name)
        pause = Pause(name, principal.name, reason, self._dashboard.clock.now())
        entry = audit_entry(
            request, principal, "topic.pause", f"topic:{name}", pause.at, reason=reason,
            before={"paused": before is not None}, after={"paused": True},
        )  # fmt: skip
        await self._dashboard.store.write(entry)
        await self._dashboard.store.pause(pause)
        said = msg("Topic %(topic)s paused: no more of its tasks are fetched.")
        return go_on(request, path, Flash(said, {"topic": name}))

    async def resume(self, request: Request[Any, Any, Any], principal: Principal, name: str) -> Response[Any]:
        """Resume the fetching of a topic."""
        require(principal, Scope.OPERATE, name)
        reason = (await read_form(request, {"reason": MOST_REASON}))["reason"]
        path = f"/dashboard/topics/{quote(segment(name))}"
        if await self._pause_of(name) is None:
            return go_on(request, path, Flash(msg("The topic was no longer paused."), level="note"))
        entry = audit_entry(
            request, principal, "topic.resume", f"topic:{name}", self._dashboard.clock.now(), reason=reason,
            before={"paused": True}, after={"paused": False},
        )  # fmt: skip
        await self._dashboard.store.write(entry)
        await self._dashboard.store.resume(name)
        return go_on(request, path, Flash(msg("Topic %(topic)s resumed."), {"topic": name}))

    async def _pause_of(self, name: str) -> Pause | None:
        return next((pause for pause in await self._dashboard.store.pauses() if pause.topic == name), None)

    async def _is_known(self, name: str) -> bool:
        replicas = await self._dashboard.replicas.replicas(self._dashboard.clock.now() - self._dashboard.stale_after)
        return any(name in replica.loads for replica in replicas)

    async def _known(self, wanted: Range, topic: str | None) -> _Known:
        dashboard, now = self._dashboard, self._dashboard.clock.now()
        pauses, replicas, rows = await asyncio.gather(
            dashboard.store.pauses(),
            dashboard.replicas.replicas(now - dashboard.stale_after),
            dashboard.store.rollups(wanted.step, beginning(wanted, now), topic),
        )
        living = alive(tuple(replicas), now, dashboard.stale_after)
        names = {*dashboard.topics, *(name for replica in living for name in replica.loads)}
        try:
            depths = await dashboard.depths(sorted(names if topic is None else {topic}))
        except BrokerError:
            depths = None
        return _Known({pause.topic: pause for pause in pauses}, living, depths, overview(rows, wanted, topic, now))

    async def _rows(self, names: Sequence[str], known: _Known) -> list[TopicRow]:
        oldest = await asyncio.gather(*(self._oldest(name) for name in names))
        return [self._row(name, since, known) for name, since in zip(names, oldest, strict=True)]

    def _row(self, name: str, since: datetime | None, known: _Known) -> TopicRow:
        figures = known.figures.by_topic.get(name)
        # a depth that is left out is a queue that there isn't: nothing waits in it, and nobody consumes it
        depth = None if known.depths is None else known.depths.get(name, Depth(0, 0))
        return TopicRow(
            name,
            known.pauses.get(name),
            depth,
            tuple(Workers(one, one.loads[name]) for one in known.replicas if name in one.loads),
            since,
            figures,
            None if figures is None else sparkline(figures.series),
            name in self._dashboard.topics,
        )

    async def _oldest(self, name: str) -> datetime | None:
        wanted = all_of([among(Field.STATE, _WAITS), among(Field.TOPIC, [name])])
        sort = Sort(SortKey.UPDATED, descending=False)
        found = await self._dashboard.store.search(wanted, sort, 1, now=self._dashboard.clock.now())
        if not isinstance(found, Found) or not found.tasks:
            return None
        oldest = found.tasks[0]
        return oldest.updated_at if isinstance(oldest, Task) else oldest.fields.get("updated_at")


_DRAWN: Final = (("completed", Count.COMPLETED), ("failed", Count.FAILED))


def _quantiles(times: Sequence[Any]) -> dict[str, list[float | None]]:
    return {name: [getattr(one, name) for one in times] for name in ("p50", "p95")}


def _further_filters(topic: Topic[Any, Any] | None) -> list[str]:
    """Return the filters that have no place of their own on the page."""
    shown = {"process_definition_keys", "tenant_ids", "without_tenant_id"}
    return [] if topic is None else [f"{name}={value}" for name, value in topic.filters.items() if name not in shown]


def topics_routes(dashboard: DashboardDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of the list, of a topic, and of what stops and starts its fetching."""
    pages = TopicsPages(dashboard)
    change = changing(Scope.OPERATE)

    @get("/topics", opt=needs(Scope.READ))
    async def topics(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        return await pages.listed(request, principal)

    @get("/topics/{name:str}", opt=needs(Scope.READ))
    async def topic(request: Request[Any, Any, Any], principal: GivenPrincipal, name: TopicName) -> Response[str]:
        return await pages.one(request, principal, from_segment(name))

    @post("/topics/{name:str}/pause", **change)
    async def pause(request: Request[Any, Any, Any], principal: GivenPrincipal, name: TopicName) -> Response[Any]:
        return await pages.pause(request, principal, from_segment(name))

    @post("/topics/{name:str}/resume", **change)
    async def resume(request: Request[Any, Any, Any], principal: GivenPrincipal, name: TopicName) -> Response[Any]:
        return await pages.resume(request, principal, from_segment(name))

    return topics, topic, pause, resume
