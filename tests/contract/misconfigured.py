"""What the test of misconfigurations stands on: servers that are misused, and what a start and the doctor find."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web
from pymongo import AsyncMongoClient
from yarl import URL

from bridge.adapters.mongo.replicas import to_replica
from bridge.domain.errors import GatewayError
from bridge.domain.replica import Replica
from bridge.registry import Registry, load_topics
from bridge.testing import RecordingLog
from gateway.checks.broker import check_broker
from gateway.checks.endpoints import PORT, PROVIDER, TRACES
from gateway.checks.engine import check_engine
from gateway.checks.finding import Finding, failed
from gateway.checks.settings import check_settings
from gateway.checks.store import check_store
from gateway.doctor import Silence
from gateway.settings import Role, read_settings
from gateway.settings_file import settings_file
from gateway.wiring import Gateway
from sandbox.ports import LOOPBACK
from sandbox.proxies.store import Fault, refusal, spoiling
from tests.certificates import HOST, Certificates, tls_relay


@dataclass
class Ground:
    """Misused servers, each made when a case names it; all end with `stack`. `env` is the process's environment."""

    servers: Mapping[str, str]
    folder: Path
    certificates: Certificates
    env: dict[str, str] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def database(self) -> str:
        return self.env["MONGODB_DATABASE"]

    async def place(self, name: str) -> str:
        """Return the address, or the file, that a case's settings name in braces."""
        match name:
            case "engine" | "store" | "broker":
                return self._real(name)
            case "closed":
                return f"{LOOPBACK}:1"
            case "taken":
                return str(self._taken())
            case "folder":
                return str(self.folder)
            case "ca":
                return self.certificates.other_ca_file
            case "engine_by_tls" | "store_by_tls" | "broker_by_tls":
                target = URL(f"//{self._real(name.removesuffix('_by_tls'))}")
                relay = tls_relay(self.certificates.server(), (target.host or "", target.port or 0))
                return f"{HOST}:{await self.stack.enter_async_context(relay)}"
            case "store_without_right" | "store_with_password" | "store_ahead":
                return await self._spoiled(name)
        return await self.stack.enter_async_context(serving(SITES[name]))

    def _real(self, name: str) -> str:
        setting = {"engine": "CAMUNDA_URL", "store": "MONGODB_URI", "broker": "RABBITMQ_URL"}[name]
        address = URL(self.servers[setting])
        return f"{address.host}:{address.port}"

    def _taken(self) -> int:
        listener = self.stack.enter_context(socket.create_server((LOOPBACK, 0)))
        return int(listener.getsockname()[1])

    async def _spoiled(self, name: str) -> str:
        proxy = await self.stack.enter_async_context(spoiling(self.servers["MONGODB_URI"]))
        faults = {
            "store_without_right": Fault("createIndexes", refusal(13, "Unauthorized"), asked=False, times=None),
            "store_with_password": Fault("saslStart", refusal(18, "AuthenticationFailed"), asked=False, times=None),
            "store_ahead": Fault(
                "isMaster", lambda told: {**told, "localTime": told["localTime"] + timedelta(minutes=5)}, times=None
            ),
        }
        proxy.spoil(faults[name])
        return f"{LOOPBACK}:{proxy.port}"

    async def prepared(self, kind: str) -> None:
        """Put something into the database that is not the gateway's, or is a newer one's."""
        async with AsyncMongoClient[dict[str, Any]](self.servers["MONGODB_URI"]) as client:
            database = client[self.database]
            match kind:
                case "index":  # as the older gateway has it
                    await database.tasks.create_index("task_id", unique=True)
                case "documents":
                    await database.tasks.insert_one({"task_id": "a", "status": "pending"})
                case "schema":
                    await database.schema.insert_one({"_id": "schema", "version": 9, "least": 8})
                case "process":
                    now = datetime.now(UTC)
                    other = Replica(
                        "other", "1.0", ("work",), now, now, exchange="the exchange b of the virtual host /"
                    )
                    await database.replicas.insert_one(to_replica(other))

    async def findings(self, part: str) -> Sequence[Finding]:
        """Return what a start and `gateway doctor` find of one part, by the environment and the file of settings."""
        try:
            settings = read_settings()
            if part == "topics":
                load_topics(settings.topics_package, settings.supported_topics)
            log = RecordingLog()
            gateway = Gateway(settings, frozenset({Role.WEB}), Registry({}), Silence(), lambda _task, _secrets: log)
        except GatewayError as error:
            return (failed(part, error),)
        self.stack.push_async_callback(gateway.engine.close)
        await gateway.engine.open()
        match part:
            case "settings":
                return tuple(check_settings(settings, self.env, settings_file(self.env)))
            case "engine":
                return await check_engine(gateway)
            case "store":
                return await check_store(gateway)
            case "broker":
                return await check_broker(gateway)
            case "http":
                return await PORT.findings(gateway)
            case "provider":
                return await PROVIDER.findings(gateway)
        return await TRACES.findings(gateway)


def answers(**paths: Any) -> Mapping[str, Any]:
    """Return the JSON that a site answers, by the end of the path; `_` stands for `/`."""
    return {name.replace("__", "-").replace("_", "/"): answer for name, answer in paths.items()}


SITES: Mapping[str, Mapping[str, Any]] = {
    "other_issuer": answers(openid__configuration={"issuer": "https://elsewhere.example"}),
    "engine_without_history": answers(
        version={"version": "7.24.0"}, count={"count": 1}, check={"authorized": True}, deployment=[],
        external__task=[{"id": "t1"}], external__task__log=[], fetchAndLock=[],
    ),
    "engine_behind_a_short_proxy": answers(
        version={"version": "7.24.0"}, count={"count": 0}, check={"authorized": True}, deployment=[],
        external__task=[], fetchAndLock=504,
    ),
}  # fmt: skip


@asynccontextmanager
async def serving(site: Mapping[str, Any]) -> AsyncIterator[str]:
    """Serve a site on a port of its own; give host and port. A number is the status of an answer that is no JSON."""

    async def answer(request: web.Request) -> web.Response:
        found = site.get(request.path.rpartition("/")[2])
        if isinstance(found, int):
            return web.Response(status=found, text="<h1>Gateway Time-out</h1>", content_type="text/html")
        return web.Response(status=404) if found is None else web.json_response(found)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site_ = web.TCPSite(runner, LOOPBACK, 0)
        await site_.start()
        yield f"{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def new_name() -> str:
    return f"test_{uuid4().hex}"
