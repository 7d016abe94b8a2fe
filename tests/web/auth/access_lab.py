"""Access in memory: people and keys to log in with, a clock moved by hand, and a count of passwords compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import Litestar
from litestar.testing import AsyncTestClient

from bridge.access.accounts import Accounts
from bridge.access.sessions import SessionService
from bridge.adapters.memory.access import MemoryAccessStore
from bridge.domain.access import Role, Scope, csrf_token
from bridge.domain.errors import ProviderUnavailable
from bridge.domain.openid import ClaimMapping, Identity, LoginRequest
from bridge.domain.task import Task
from bridge.ports.journal import Level
from web.dependencies import AccessDependencies, OpenIdConfig

ORIGIN = "https://testserver.local"
PASSWORD = "correct horse battery"
LIFETIME = timedelta(hours=10)


@dataclass
class HandClock:
    """A clock that stands until it's moved."""

    moment: datetime = datetime(2026, 1, 31, 8, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def pass_(self, **span: float) -> None:
        self.moment += timedelta(**span)


@dataclass
class CountingPasswords:
    """Passwords kept as they are, and every comparison counted."""

    compared: list[str | None] = field(default_factory=list)

    async def make(self, password: str) -> str:
        return f"hash of {password}"

    async def verify(self, kept: str | None, password: str) -> bool:
        self.compared.append(kept)
        return kept == f"hash of {password}"


@dataclass
class Journal:
    """Keeps what is told."""

    told: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def write(self, event: str, *, task: Task | None = None, level: Level = Level.INFO, **values: object) -> None:
        self.told.append((event, values))

    def events(self) -> list[str]:
        return [event for event, _ in self.told]


class AccessLab:
    """All parts of access, and short ways to log in."""

    def __init__(self, **terms: Any) -> None:
        self.store, self.clock = MemoryAccessStore(), HandClock()
        self.passwords, self.journal = CountingPasswords(), Journal()
        parts = (self.store, self.passwords, self.clock, self.journal)
        self.session_service = SessionService(*parts, lifetime=LIFETIME)
        self.accounts = Accounts(*parts)
        self.dependencies = AccessDependencies(self.session_service, self.accounts, **terms)

    async def key(self, *scopes: Scope, topics: list[str] | None = None) -> str:
        """Make a key; return what its holder sends."""
        return (await self.accounts.create_key("courier", scopes, topics))[1]

    async def session(self, role: Role, name: str = "") -> str:
        """Make a person and log him in; return the browser's secret."""
        name = name or role.value
        await self.accounts.add_user(name, role, PASSWORD)
        return (await self.session_service.login(name, PASSWORD, address="10.0.0.1", agent="test")).secret


class AwayProvider:
    """An identity provider that doesn't answer."""

    async def begin(self) -> LoginRequest:
        raise ProviderUnavailable("away")

    async def complete(self, code: str, request: LoginRequest) -> Identity:
        raise ProviderUnavailable("away")

    async def logout_url(self, id_token: str) -> str | None:
        raise ProviderUnavailable("away")


def company_login(*, hide_password: bool = False) -> OpenIdConfig:
    """Return the login at a provider that is away."""
    return OpenIdConfig(AwayProvider(), ClaimMapping("name", "groups", {}), hide_password)


def open_access() -> AccessDependencies:
    """Return access to an API that is open to all."""
    return AccessLab(open_api=True).dependencies


def browser(app: Litestar, secret: str | None = None, name: str = "__Host-session") -> AsyncTestClient[Litestar]:
    """Return a client that behaves like a browser on a page of ours, with a session's cookie."""
    client = AsyncTestClient(app, base_url=ORIGIN, raise_server_exceptions=False)
    client.headers.update({"sec-fetch-site": "same-origin"})
    client.follow_redirects = False
    if secret is not None:
        client.cookies.set(name, secret)
    return client


def with_token(secret: str, **fields: str) -> dict[str, str]:
    """Return the fields of a form of this session."""
    return {"csrf_token": csrf_token(secret), **fields}
