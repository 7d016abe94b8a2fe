"""The gateway as a process of its own, as an operator would run it."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp

from sandbox import process
from sandbox.build import tail
from sandbox.demo.errors import GatewayFailed
from sandbox.demo.servers import Say
from sandbox.ports import LOOPBACK
from sandbox.probes import listening
from sandbox.process import Started

DEFAULT_PORT = "18090"
COMMAND = (sys.executable, "-m", "gateway", "serve")
READY_WITHIN = 60.0
POLL_EVERY = 0.5
# More than the gateway grants itself (SHUTDOWN_GRACE).
GRACE = 40.0

MADE_UP = "demo-"
"""How the login made up for a demo begins; the store keeps those of earlier ones, whose passwords are gone."""

_LIKE_THIS = {"PORT": DEFAULT_PORT, "HOST": LOOPBACK, "RETRY_DELAY": "1", "RETRY_DELAY_MAX": "3", "LOG_FORMAT": "json"}
# The samples count on these: how often a failure is retried, and that their topics are served.
_FIXED = {"TASK_RETRY_LIMIT": "3", "TOPICS_PACKAGE": "sandbox.demo.topics", "SUPPORTED_TOPICS": ""}


def environment(servers: Mapping[str, str]) -> dict[str, str]:
    """Return the gateway's environment: what the user set stands, but for what the samples count on.

    The dashboard needs a login, and here it is reached by http.
    """
    admin = {"GATEWAY_ADMIN_USER": MADE_UP + secrets.token_hex(3), "GATEWAY_ADMIN_PASSWORD": secrets.token_urlsafe(12)}
    defaults = {**_LIKE_THIS, "INSECURE_COOKIES": "true", **({} if _names_admin(servers) else admin)}
    chosen = {name: value for name, value in servers.items() if value or name not in defaults}
    return {**defaults, **chosen, **_FIXED}


def _names_admin(servers: Mapping[str, str]) -> bool:
    return any(servers.get(name) for name in ("GATEWAY_ADMIN_USER", "GATEWAY_ADMIN_PASSWORD"))


@dataclass(frozen=True, slots=True)
class Gateway:
    """A started gateway: where it listens, and where it writes."""

    url: str
    log: Path
    started: Started

    def require(self) -> None:
        """Raise `GatewayFailed` where the process has ended."""
        if self.started.leader() is None:
            raise GatewayFailed(self._failure("the gateway ended"))

    async def ready(self, session: aiohttp.ClientSession, within: float = READY_WITHIN) -> None:
        """Return when it says that it's ready; raise `GatewayFailed` where it ends, or isn't in time."""
        deadline = time.monotonic() + within
        last = "nothing answers"
        while True:
            self.require()
            answer = await probe(session, f"{self.url}/health/ready")
            if answer == HTTPStatus.OK:
                return
            last = last if answer is None else f"it answers {answer}"
            if time.monotonic() > deadline:
                raise GatewayFailed(self._failure(f"/health/ready isn't 200 after {within:.0f} s ({last})"))
            await asyncio.sleep(POLL_EVERY)

    def _failure(self, what: str) -> str:
        return (
            f"{what}; the end of {self.log}:\n{tail(self.log)}\n"
            "Fix what the last lines name (a server, a setting, a topic) and start the demo again."
        )


@contextmanager
def gateway(env: Mapping[str, str], log: Path, say: Say, command: tuple[str, ...] = COMMAND) -> Iterator[Gateway]:
    """Start the gateway; at the end ask it by SIGTERM to finish, and kill it only where it doesn't."""
    port = int(env["PORT"])
    if listening(port):
        raise GatewayFailed(f"port {port} is taken, perhaps by another demo: end that, or choose one by PORT=…")
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))  # else the tail of a failure could be that of an earlier run
    started = process.spawn(command, dict(env), log)
    try:
        yield Gateway(f"http://{LOOPBACK}:{port}", log, started)
    finally:
        if started.leader() is not None:
            say("ending the gateway")
        begun = time.monotonic()
        started.end(GRACE)
        if time.monotonic() - begun > GRACE:
            say(f"the gateway didn't end within {GRACE:.0f} s of SIGTERM and was killed; see {log}")


def login_of(env: Mapping[str, str]) -> str:
    """Return how to log in to the dashboard, without a password that the user himself has set."""
    name, password = env["GATEWAY_ADMIN_USER"], env["GATEWAY_ADMIN_PASSWORD"]
    return f"{name} / {password}" if name.startswith(MADE_UP) else f"{name} / GATEWAY_ADMIN_PASSWORD"


async def probe(session: aiohttp.ClientSession, url: str) -> int | None:
    """Return the status that an address answers with, or None where nothing answers."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as response:
            return response.status
    except (aiohttp.ClientError, TimeoutError):
        return None
