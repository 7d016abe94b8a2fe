"""One process from start to end: connect, run the loops of its roles, and shut down in an order that loses nothing."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

from litestar import Litestar
from litestar.types import ControllerRouterHandler

from bridge.access.rate_limit import RateLimit, Side
from bridge.adapters.telemetry.gauges import Gauges, StatusSnapshot
from bridge.domain.errors import GatewayError, QueueMismatch, Refusal, ServerEnded, SetupError, StoreTooNew
from bridge.flow.handle.renew import PAUSE, REPEAT_AFTER
from bridge.operations.engine_backlog import EVERY
from bridge.operations.health import Health, Purpose, Readiness, check
from bridge.ports.journal import Level
from bridge.ports.probe import Probe
from bridge.runtime.http_limits import Connections, HttpLimits
from bridge.runtime.loop import Loop, delay_after
from gateway.checks.causes import cause_of
from gateway.checks.startup import StartupChecks
from gateway.dashboard_parts import dashboard_dependencies
from gateway.http_protocol import BoundedConfig
from gateway.identity_provider import openid_config
from gateway.readiness import ReadinessCheck
from gateway.server import Server, listen_on_all, possible_connections
from gateway.settings import Role
from gateway.shutdown import Shutdown
from gateway.status import broker_version, engine_warnings, status_snapshot
from gateway.wiring import Gateway
from web.alpine import alpine_from
from web.app import create_app
from web.components.page import PageConfig
from web.dashboard.mount import dashboard_router
from web.dashboard.pages import dashboard_pages
from web.dependencies import AccessDependencies, WebDependencies
from web.hosts import AllowedHosts

_PROBE_WITHIN: Final = timedelta(seconds=3)
_SLOW_RETRY: Final = timedelta(seconds=15)
_HEARTBEAT: Final = timedelta(seconds=2)
_WORKERS_SWEEP: Final = 5
"""A worker's sweeps have so many times the pause of an intake's."""


class Process:
    """Runs a `Gateway` until `stop` is set. `routes` are served besides those of the API and the dashboard."""

    def __init__(
        self,
        gateway: Gateway,
        stop: asyncio.Event,
        routes: Sequence[ControllerRouterHandler] = (),
        checks: StartupChecks | None = None,
    ) -> None:
        self._gateway = gateway
        self._routes = routes
        self._checks = checks
        self._stop = stop
        self._consuming = False
        self._server: Server | None = None
        self._fault: GatewayError | None = None
        self._running: list[asyncio.Task[None]] = []
        self._loops: list[Loop] = []
        self._poll_loop: Loop | None = None
        self._reconcile_loop: Loop | None = None
        self._readiness = ReadinessCheck(gateway, self._loops, stop)
        gateway.metrics.registry.register(Gauges(self._status_snapshot))

    async def run(self) -> None:
        """Start, wait for the signal, and end.

        Raises `SetupError` for a fault that only a change of settings can mend, `StoreTooNew` where a newer gateway
        works on the store by now beside which this one must not, and `ServerEnded` where the web server ended by
        itself: the process then shuts down in order.
        """
        gateway = self._gateway
        gateway.journal.write(
            "starting",
            version=gateway.version,
            replica=gateway.replica,
            roles=sorted(gateway.roles),
            topics=list(gateway.topics.names),
        )
        if self._checks is not None:
            self._checks.check_settings()
        try:
            self._serve_http()
            if await self._connect():
                self._start_loops()
                _settle_memory()
                gateway.journal.write("started", replica=gateway.replica)
                await self._stop.wait()
        finally:
            if self._server is not None:
                self._server.should_exit = True
            end = Shutdown(gateway, self._loops, self._running, poll=self._poll_loop, consuming=self._consuming)
            await end.run()
            gateway.journal.write("stopped", replica=gateway.replica)
        if self._fault is not None:
            raise self._fault

    # -- start

    def _serve_http(self) -> None:
        gateway, settings = self._gateway, self._gateway.settings
        serves_api = Role.WEB in gateway.roles
        name, port = ("PORT", settings.port) if serves_api else ("METRICS_PORT", settings.metrics_port)
        if port is None:
            return
        limits = HttpLimits(
            bodies=4 * settings.body_limit,
            connections=possible_connections(settings.connection_limit),
            of_address=settings.connection_limit_address,
        )
        proxies = settings.trusted_proxies or ()
        config = BoundedConfig(
            self._app(serves_api),
            Connections(limits, proxies=proxies, observe=gateway.metrics.observe_refused_connection),
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=5,
            server_header=False,
            proxy_headers=settings.trusted_proxies is not None,
            forwarded_allow_ips=list(proxies),
        )
        listeners = listen_on_all(settings.addresses, port, name)
        self._server = Server(config)
        self._running.append(asyncio.create_task(self._serve(self._server, listeners)))
        gateway.journal.write("listening", host=settings.host, port=listeners[0].getsockname()[1])

    async def _serve(self, server: Server, listeners: list[socket.socket]) -> None:
        """Serve until the process ends; where the server ends before that, the process ends with it."""
        fault: BaseException | None = None
        try:
            await server.serve(sockets=listeners)
        except SystemExit as error:  # uvicorn's where the application didn't start; it would tear the loop down
            fault = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the process is not to go on unseen
            fault = error
        finally:
            for listener in listeners:
                listener.close()
        if not server.should_exit:
            self._fault = ServerEnded(f"the web server ended by itself: {fault!r}" if fault else "the web server ended")
            self._fault.__cause__ = fault
            self._gateway.journal.write("server_ended", level=Level.ERROR, error=str(self._fault), stack=self._fault)
            self._stop.set()
        elif fault is not None:
            raise ServerEnded(f"the web server did not end well: {fault!r}") from fault

    def _app(self, serves_api: bool) -> Litestar:
        gateway, settings = self._gateway, self._gateway.settings
        access = self._access()
        dashboard = dashboard_dependencies(gateway, self.health)
        dependencies = WebDependencies(
            reader=gateway.store,
            store=gateway.dashboard_store,
            bulk=gateway.bulk,
            submit=gateway.submit.submit,
            observe=gateway.metrics.observe_http,
            retry=gateway.operate.retry,
            dead_letters=gateway.store.dead_letters,
            health=self.health,
            ready=self.ready,
            access=access,
            registry=gateway.metrics.registry,
            version=gateway.version,
            now=gateway.clock.now,
            secrets_of=dashboard.secrets_of,
            offload=dashboard.offload,
            body_limit=settings.body_limit,
            debug=settings.debug,
        )
        page_config = PageConfig(settings.environment or "", gateway.version, settings.debug)
        router = dashboard_router(
            access,
            page_config,
            changes=gateway.dashboard_store,
            ending=self._stop,
            mounted=dashboard_pages(dashboard),
        )
        return create_app(dependencies, [router, *self._routes], api=serves_api)

    def _access(self) -> AccessDependencies:
        gateway, settings = self._gateway, self._gateway.settings
        if settings.auth == "open":
            hint = "everybody who reaches this port may read and change everything by the API: AUTH=required asks"
            gateway.journal.write("access_open", level=Level.WARNING, hint=hint)
        if settings.insecure_cookies:
            hint = "logins can be read on the way: serve https, and set INSECURE_COOKIES=false"
            gateway.journal.write("cookies_insecure", level=Level.WARNING, hint=hint)
        return AccessDependencies(
            gateway.session_service,
            gateway.accounts,
            open_api=settings.auth == "open",
            open_metrics=settings.metrics_open,
            insecure_cookies=settings.insecure_cookies,
            allowed_hosts=AllowedHosts(settings.hosts),
            alpine=alpine_from(settings.alpine_url, settings.alpine_integrity),
            openid=openid_config(settings),
            audit=gateway.dashboard_store.write,
            key_limit=RateLimit(Side.KEY, settings.rate_limit_key, gateway.access_store, gateway.clock),
            address_limit=RateLimit(Side.ADDRESS, settings.rate_limit_address, gateway.access_store, gateway.clock),
        )

    async def _open_access(self) -> None:
        """Open the store of people and keys, and keep the admin that the environment names."""
        gateway, settings = self._gateway, self._gateway.settings
        await gateway.access_store.open(partial(self._tell_build, "access"))
        if settings.gateway_admin_user is not None and settings.gateway_admin_password is not None:
            password = settings.gateway_admin_password.get_secret_value()
            try:
                await gateway.accounts.first_admin(settings.gateway_admin_user, password)
            except Refusal as error:
                raise SetupError(f"GATEWAY_ADMIN_USER and GATEWAY_ADMIN_PASSWORD can't be used: {error}") from error

    async def _connect(self) -> bool:
        """Connect part by part, each as long as it takes; False when the process is to end before that."""
        gateway, roles = self._gateway, self._gateway.roles
        await gateway.engine.open()
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "mongodb": lambda: gateway.store.open(partial(self._tell_build, "mongodb")),
            "clock": gateway.clock.sync,
            "store": gateway.heartbeat.run_once,
            "identity": gateway.identity.run_once,
            "dashboard_store": lambda: gateway.dashboard_store.open(partial(self._tell_build, "dashboard_store")),
        }
        if self._server is not None:
            steps["access"] = self._open_access
        for name, step in steps.items():
            if not await self._attempt(name, step):
                return False
        # Before RabbitMQ is there: a process with the role web takes requests already, as long as MongoDB does.
        often = min(_HEARTBEAT, gateway.settings.claim / 6)
        self._loop("heartbeat", gateway.heartbeat.run_once, often, most_delay=often)
        if roles & {Role.WEB, Role.INTAKE} and not await self._attempt("rabbitmq", gateway.publisher.open):
            return False
        if Role.WORK in roles:
            if not await self._attempt("consumers", lambda: gateway.consumer.start(gateway.handle)):
                return False
            self._consuming = True
        self._readiness.missing = {}
        return True

    async def _attempt(self, name: str, step: Callable[[], Awaitable[object]]) -> bool:
        failures, chance = 0, random.Random()  # noqa: S311 - it spreads load, it keeps no secret
        self._readiness.missing = {name: "it is being connected"}
        while not self._stop.is_set():
            try:
                await step()
            except QueueMismatch as error:
                self._miss(name, error, failures)
                delay = _SLOW_RETRY
            except SetupError:
                raise
            except GatewayError as error:
                self._miss(name, error, failures)
                delay = delay_after(failures + 1, timedelta(milliseconds=200), timedelta(seconds=5), chance)
            else:
                return True
            failures += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(delay.total_seconds()):
                    await self._stop.wait()
        return False

    def _miss(self, name: str, error: GatewayError, failures: int) -> None:
        self._readiness.missing = {name: str(error)}
        cause = cause_of(name, error)
        self._gateway.journal.write(
            "connect_failed",
            level=Level.WARNING,
            part=name,
            error=str(error),
            code=cause.code,
            hint=cause.change,
            failures=failures + 1,
        )

    def _tell_build(self, name: str, progress: str) -> None:
        self._readiness.missing = {name: f"indexes are being built: {progress}"}
        self._gateway.journal.write("indexes_being_built", part=name, progress=progress)

    def _start_loops(self) -> None:
        gateway, settings = self._gateway, self._gateway.settings
        self._loop("lag", gateway.lag.run_once, timedelta(0))
        gateway.loop_watch.start()
        self._loop("clock", gateway.clock.sync, timedelta(seconds=30))
        self._loop("identity", gateway.identity.run_once, timedelta(seconds=5))
        self._loop("product", gateway.product.run_once, timedelta(seconds=5))
        self._loop("schema", self._check_schema, timedelta(seconds=30))
        if self._checks is not None:
            self._running.append(asyncio.create_task(self._checks.run_once(), name="checks"))
        self._loop("rights", gateway.rights.run_once, timedelta(seconds=5))
        self._loop("statistics", gateway.statistics.flush, timedelta(seconds=2))
        if Role.WORK in gateway.roles:
            locks = [gateway.lease.duration(topic) for topic in gateway.topics]
            self._loop(
                "renew",
                gateway.renew.run_once,
                min([settings.claim, *locks]) * PAUSE,
                most_delay=settings.claim * REPEAT_AFTER,
            )
            self._loop("consumers", self._watch_consumers, timedelta(seconds=3))
        if gateway.roles & {Role.INTAKE, Role.WORK}:
            # Workers sweep as well, in case no intake lives; an intake sweeps more often, and so comes first.
            seldom = 1 if Role.INTAKE in gateway.roles else _WORKERS_SWEEP
            self._reconcile_loop = self._loop(
                "reconcile", self._sweep, seldom * timedelta(seconds=settings.sweep_every)
            )
        if Role.WEB in gateway.roles:
            self._loop("recount", gateway.recount.run_once, timedelta(seconds=1))
        if Role.INTAKE in gateway.roles:
            self._loop("dead letters", gateway.dead_letters.run_once, timedelta(seconds=5))
            release_rows = partial(gateway.unreadable_rows.release, gateway.engine)
            self._loop("unreadable rows", release_rows, timedelta(seconds=5))
            self._loop("measure", gateway.measure.run_once, timedelta(seconds=15))
            self._loop("engine backlog", gateway.engine_backlog.run_once, EVERY)
            self._loop("bulk", gateway.bulk.run_once, timedelta(seconds=0.5))
            self._poll_loop = self._loop("poll", gateway.poll.run_once, timedelta(0))

    def _loop(
        self, name: str, step: Callable[[], Awaitable[object]], every: timedelta, *, most_delay: timedelta = _SLOW_RETRY
    ) -> Loop:
        loop = Loop(name, step, self._gateway.journal, every=every, most_delay=most_delay)
        self._loops.append(loop)
        self._running.append(asyncio.create_task(loop.run(), name=name))
        return loop

    async def _sweep(self) -> None:
        await self._gateway.reconciler.run_once()
        if self._gateway.reconciler.is_behind and self._reconcile_loop is not None:
            self._reconcile_loop.wake()

    async def _check_schema(self) -> None:
        """End the process where a newer gateway has made the store one that this version must not work on."""
        try:
            await self._gateway.store.check_schema()
        except StoreTooNew as error:
            self._gateway.journal.write("schema_refused", level=Level.ERROR, error=str(error))
            self._fault = error
            self._stop.set()

    async def _watch_consumers(self) -> None:
        self._readiness.attached = await self._gateway.consumer.consuming()

    # -- health

    async def health(self) -> Health:
        """Probe every part."""
        gateway = self._gateway
        probes: Mapping[str, Probe] = {
            "engine": gateway.engine.version,
            "mongodb": gateway.store.version,
            "rabbitmq": partial(broker_version, gateway),
        }
        return await check(probes, _PROBE_WITHIN, {"engine": partial(engine_warnings, gateway)})

    async def ready(self, purpose: Purpose | None = None) -> Readiness:
        """Return whether the process is ready for a purpose, or for all that its roles do (None), and why not."""
        return self._readiness.check(purpose)

    def _status_snapshot(self) -> StatusSnapshot:
        return status_snapshot(
            self._gateway, ready=self._readiness.check().ok, loops=self._loops, attached=self._readiness.attached
        )


def _settle_memory() -> None:
    """Exempt the objects of the start from garbage collection, and collect less often: a tenth less CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
