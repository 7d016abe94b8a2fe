"""The composition root: builds every part from the settings. No other module knows the adapter behind a port."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from typing import Final, TypeVar
from uuid import uuid4

from bridge.access.accounts import Accounts
from bridge.access.sessions import SessionService
from bridge.adapters.mongo.clock import SharedClock
from bridge.adapters.passwords import Argon2Passwords
from bridge.adapters.telemetry.metered import MeteredTracer
from bridge.adapters.telemetry.metrics import CountingJournal, Metrics
from bridge.documents.task_codec import size_of
from bridge.domain.replica import Replica
from bridge.domain.task import Task
from bridge.flow.deliver.deliver import OutcomeDelivery
from bridge.flow.deliver.in_flight import Deadlines
from bridge.flow.edit_check import EditCheck
from bridge.flow.engine.breaker import Breaker
from bridge.flow.engine.foreign_answers import ForeignAnswers
from bridge.flow.engine.identity import IdentityCheck
from bridge.flow.engine.product import ProductCheck
from bridge.flow.engine.rights import RightsCheck
from bridge.flow.handle.claims import Claims
from bridge.flow.handle.handle import Handle, HandleConfig
from bridge.flow.handle.renew import Renew
from bridge.flow.handle.run import Run
from bridge.flow.handle.threads import Threads
from bridge.flow.intake import Intake
from bridge.flow.lease import Lease
from bridge.flow.poll.credit import Bounds, Credit
from bridge.flow.poll.poll import Poll, PollConfig
from bridge.flow.poll.unreadable_rows import UnreadableRows
from bridge.flow.reconcile.dead_letters import DeadLetterReconciler
from bridge.flow.reconcile.offer import Offer
from bridge.flow.reconcile.reacquire import Reacquire
from bridge.flow.reconcile.reconcile import ReconcilePolicy, Reconciler, reconciled_states
from bridge.flow.relay import Relay
from bridge.flow.scope import context_of
from bridge.flow.submit import Submit
from bridge.flow.unreadable import UnreadableLog
from bridge.operations.attention import Attention
from bridge.operations.bulk import Bulk
from bridge.operations.engine_backlog import EngineBacklog
from bridge.operations.heartbeat import Heartbeat
from bridge.operations.queue_depths import Measure
from bridge.operations.retry import Operate
from bridge.operations.statistics import StatisticsCollector, StatisticsJournal
from bridge.operations.task_counts import Recount
from bridge.ports.journal import Journal
from bridge.ports.tracer import Tracer
from bridge.registry import Registry
from bridge.runtime.lag import Lag
from bridge.runtime.loop_watch import LoopWatch
from bridge.topic import Context, Log
from gateway.adapter_warnings import AdapterWarnings
from gateway.adapters import Servers, exchange_of
from gateway.neighbours import Neighbours
from gateway.part_wrapper import PartWrapper, unwrapped
from gateway.settings import Role, Settings
from gateway.version import gateway_version

TaskLog = Callable[[Task, Collection[str]], Log]
"""Gives the logger that a handler's context has: bound to the task, with the topic's secrets masked."""

T = TypeVar("T")

MIN_INTERVAL: Final = timedelta(milliseconds=10)
"""How long a busy process gathers claims, and outcomes, for one write. A task that comes alone does not wait."""
LINGER: Final = timedelta(milliseconds=50)
"""The same for facts that no task waits for: that the engine has an outcome, and that the broker has a message."""


def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


class Gateway:
    """All parts of one process. They are connected to nothing yet: `gateway.process` opens, runs and ends them."""

    def __init__(
        self,
        settings: Settings,
        roles: frozenset[Role],
        topics: Registry,
        journal: Journal,
        log: TaskLog,
        *,
        wrap: PartWrapper = unwrapped,
        neighbours: Neighbours = Servers(),
    ) -> None:
        self.settings, self.roles, self.topics = settings, roles, topics
        self.version = gateway_version()
        self.replica = f"{socket.gethostname()[:40]}-{uuid4().hex[:8]}"
        self.metrics = Metrics()
        self.metrics.expect(topics.names)
        self.journal: Journal = CountingJournal(journal, self.metrics)
        self._log = log
        self._build_adapters(neighbours, wrap)
        self.statistics = StatisticsCollector(self.dashboard_store, self.clock)
        self.journal = StatisticsJournal(self.journal, self.statistics)
        self._build_flow()
        self._build_operations()
        passwords = Argon2Passwords()
        self.session_service = SessionService(
            self.access_store, passwords, self.clock, self.journal, lifetime=_seconds(settings.session_lifetime)
        )
        self.accounts = Accounts(self.access_store, passwords, self.clock, self.journal)

    def _build_adapters(self, neighbours: Neighbours, wrap: PartWrapper) -> None:
        settings = self.settings
        self.breaker = Breaker(self.journal, trial_within=2 * _seconds(settings.camunda_timeout))
        warnings = AdapterWarnings(self.journal)
        self.unreadable_rows = UnreadableRows(self.journal, self.metrics.observe_unreadable_row)
        self.foreign_answers = ForeignAnswers(self.journal, self.metrics.observe_foreign_answer)
        self.store = wrap("store", neighbours.store(settings))
        engine = neighbours.engine(
            settings,
            headers=self._trace_headers,
            observe=self.metrics.observe_engine,
            foreign=self.foreign_answers.observe,
            guard=self._guarded,
            on_token_not_renewed=warnings.token_not_renewed,
            on_string_limit=warnings.string_limit_lowered,
            on_unreadable_row=self.unreadable_rows.observe,
        )
        self.engine = wrap("engine", engine)
        self.publisher = wrap("publisher", neighbours.publisher(settings, self.topics, warnings.queue_failed))
        consumer = neighbours.consumer(
            settings,
            self.topics,
            warnings.queue_failed,
            on_undecodable=lambda message: self.dead_letters.keep_undecodable(message),  # noqa: PLW0108 - it is made later
        )
        self.consumer = wrap("consumer", consumer)
        self.clock = SharedClock(self.store.server_time, on_difference=warnings.clock_differs)
        self.telemetry = neighbours.telemetry(
            settings,
            self.topics,
            self.clock,
            version=self.version,
            replica=self.replica,
            dropped=self.metrics.drop_spans,
        )
        self.tracer: Tracer = MeteredTracer(self.telemetry.tracer, self.metrics, self.clock)
        self.lag = Lag(self.metrics.observe_lag)
        self.loop_watch = LoopWatch(self.lag.late, self.journal, self.topics, self.metrics.observe_block)
        self.access_store = neighbours.access_store(settings)
        self.dashboard_store = neighbours.dashboard_store(settings)
        self.store.on_unreadable = self.dashboard_store.on_unreadable = UnreadableLog(self.journal)

    async def _guarded(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call to the engine, unless the circuit is open or another engine answers."""
        return await self.breaker.guard(lambda: self.identity.guard(call))

    def _build_flow(self) -> None:
        settings, clock, journal, store = self.settings, self.clock, self.journal, self.store
        self.identity = IdentityCheck(self.engine.identity, store, clock, journal)
        self.lease = Lease(self.engine, clock, self.topics, settings.lock, self.tracer)
        self.delivery = OutcomeDelivery(
            self.engine,
            store,
            clock,
            journal,
            first_delay=_seconds(settings.report_retry_delay),
            most_delay=_seconds(settings.report_retry_delay_max),
            limit=settings.report_limit,
            concurrency=settings.report_concurrency,
            breaker=self.breaker,
            tracer=self.tracer,
            min_interval=LINGER,
            replicas=store,
            deadlines=Deadlines(
                _seconds(settings.camunda_timeout),
                _seconds(max(settings.camunda_timeout, settings.camunda_timeout_max)),
            ),
        )
        self.relay = Relay(
            store,
            self.publisher,
            clock,
            journal,
            again_after=_seconds(settings.publish_timeout),
            look_after=settings.lock / 3,
            tracer=self.tracer,
            linger=LINGER,
        )
        self.product = ProductCheck(self.engine, clock, journal)
        self.rights = RightsCheck(self.engine, clock, journal, self.topics.definitions)
        self._build_work()
        self._build_intake()

    def _build_work(self) -> None:
        settings, clock, journal, store = self.settings, self.clock, self.journal, self.store
        works = Role.WORK in self.roles
        threads = Threads(journal)
        slots = {topic.name: topic.concurrency for topic in self.topics.values()} if works else {}
        self.claims = Claims(slots, threads.stuck)
        self.run = Run(
            threads=threads,
            timeout=_seconds(settings.task_timeout),
            first_delay=_seconds(settings.retry_delay),
            most_delay=_seconds(settings.retry_delay_max),
            engine_format=settings.engine_format,
        )
        self.handle = Handle(
            store=store,
            lease=self.lease,
            run=self.run,
            delivery=self.delivery,
            claims=self.claims,
            topics=self.topics,
            context=self._context,
            clock=clock,
            journal=journal,
            config=HandleConfig(
                self.replica, settings.claim, _seconds(settings.report_within), min_interval=MIN_INTERVAL
            ),
            tracer=self.tracer,
            begun=self.relay.begun,
        )
        self.renew = Renew(store, self.lease, self.claims, clock, journal, claim=settings.claim)
        now = clock.now()
        roles = tuple(sorted(role.value for role in self.roles))
        self.heartbeat = Heartbeat(
            store,
            clock,
            self.claims,
            Replica(self.replica, self.version, roles, now, now, exchange=exchange_of(settings)),
            lambda: self.delivery.pending,
            gap=settings.claim / 3,
            lag=lambda: self.lag.recent,
            foreign_answer=self.wrong_answer,
        )

    def _build_intake(self) -> None:
        settings, clock, journal, store = self.settings, self.clock, self.journal, self.store
        publish_within = 2 * _seconds(settings.publish_timeout)
        self.credit = Credit(
            publisher=self.publisher,
            replicas=store,
            store=store,
            lease=self.lease,
            topics=self.topics,
            clock=clock,
            bounds=Bounds(settings.backlog_limit, settings.received_limit),
            takes_writes=self.has_recent_heartbeat,
            error_rate=lambda: self.breaker.error_rate,
            failing=self.relay.is_failing,
            paused=self._paused,
        )
        self.intake = Intake(
            engine=self.engine,
            store=store,
            relay=self.relay,
            delivery=self.delivery,
            topics=self.topics,
            clock=clock,
            journal=journal,
            replica=self.replica,
            retry_limit=settings.task_retry_limit,
            publish_within=publish_within,
            admit=self.identity.admit,
            edits=EditCheck(audit=self.dashboard_store.write, clock=clock, journal=journal, replica=self.replica),
            tracer=self.tracer,
        )
        self.poll = Poll(
            engine=self.engine,
            intake=self.intake,
            credit=self.credit,
            lease=self.lease,
            topics=self.topics,
            clock=clock,
            journal=journal,
            replica=self.replica,
            config=PollConfig(_seconds(settings.poll_wait), settings.fetch_size),
            held_back=self._outcomes_first,
            tracer=self.tracer,
        )
        self.submit = Submit(
            engine=self.engine,
            store=store,
            relay=self.relay,
            lease=self.lease,
            topics=self.topics,
            clock=clock,
            journal=journal,
            retry_limit=settings.task_retry_limit,
            publish_within=publish_within,
            size_of=size_of,
            size_limit=settings.document_limit,
            replica=self.replica,
            tracer=self.tracer,
        )
        self.offer = Offer(self.engine, store, clock, journal, self.delivery.end_of)
        reacquire = Reacquire(
            engine=self.engine,
            store=store,
            intake=self.intake,
            lease=self.lease,
            topics=self.topics,
            paused=self._paused,
            clock=clock,
            journal=journal,
            replica=self.replica,
        )
        self.reconciler = Reconciler(
            store=store,
            engine=self.engine,
            offer=self.offer,
            reacquire=reacquire.try_once,
            publisher=self.publisher,
            relay=self.relay,
            delivery=self.delivery,
            submit=self.submit,
            lease=self.lease,
            nudge=self.poll.nudge,
            sees_renewals=lambda: self.heartbeat.in_reach_for() >= settings.claim,
            clock=clock,
            journal=journal,
            replica=self.replica,
            states=reconciled_states(polls=Role.INTAKE in self.roles, publishes=Role.WEB in self.roles),
            tracer=self.tracer,
            policy=ReconcilePolicy(
                _seconds(settings.stale_after), settings.lost_claim_limit, _seconds(settings.report_within)
            ),
        )
        self.measure = Measure(self.publisher, store, self.dashboard_store, self.topics.names, clock=clock)
        self.dead_letters = DeadLetterReconciler(self.publisher.dead_letters(), store, store, clock, journal)
        self.operate = Operate(
            engine=self.engine,
            store=store,
            lease=self.lease,
            offer=self.offer,
            topics=self.topics,
            nudge=self.poll.nudge,
            clock=clock,
            journal=journal,
            retry_limit=settings.task_retry_limit,
            engine_format=settings.engine_format,
        )

    async def _outcomes_first(self) -> bool:
        """Return whether fetching waits for outcomes that an outage held up; with an open circuit, try the engine."""
        if not self.breaker.is_closed:
            await self.engine.version()
        return self.delivery.backlogged

    def _build_operations(self) -> None:
        dashboard_store, clock = self.dashboard_store, self.clock
        self.bulk = Bulk(
            operations=dashboard_store,
            search=dashboard_store,
            store=self.store,
            operate=self.operate,
            audit=dashboard_store.write,
            clock=clock,
            journal=self.journal,
            replica=self.replica,
        )
        self.recount = Recount(dashboard_store, clock, self.journal, self.replica)
        self.engine_backlog = EngineBacklog(
            self.engine,
            dashboard_store,
            self.topics.names,
            clock=clock,
            journal=self.journal,
            replica=self.replica,
        )
        self.attention = Attention(
            search=dashboard_store,
            replicas=self.store,
            pauses=dashboard_store,
            publisher=self.publisher,
            topics=self.topics.names,
            clock=clock,
        )

    async def _paused(self) -> frozenset[str]:
        return frozenset(pause.topic for pause in await self.dashboard_store.pauses())

    def wrong_answer(self) -> str | None:
        """Return which other engine or server answers in the engine's place; None where the right engine answers."""
        return self.identity.trouble or self.foreign_answers.latest

    def has_recent_heartbeat(self) -> bool:
        """Return whether the store took this process's heartbeat not long ago."""
        at = self.heartbeat.at
        return at is not None and self.clock.now() - at < _seconds(15)

    def _context(self, task: Task) -> Context:
        log = self._log(task, self.topics[task.topic].secrets)
        return context_of(task, engine=self.engine, records=self.store, log=log)

    def _trace_headers(self) -> Mapping[str, str]:
        return self.tracer.headers()
