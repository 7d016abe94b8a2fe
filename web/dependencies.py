"""The parts of the gateway that the web depends on, passed in by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from bridge.access.accounts import Accounts
from bridge.access.rate_limit import RateLimit
from bridge.access.sessions import SessionService
from bridge.domain.dead_letter import DeadLetter
from bridge.domain.openid import ClaimMapping
from bridge.domain.records import AuditEntry
from bridge.domain.submission import Submission
from bridge.domain.task import Task
from bridge.operations.bulk import Bulk
from bridge.operations.health import Health, Purpose, Readiness
from bridge.ports.dashboard import DashboardStore
from bridge.ports.identity_provider import IdentityProvider
from bridge.ports.reader import TaskReader
from web.alpine import Alpine
from web.hosts import AllowedHosts
from web.offload import Offload


@dataclass(frozen=True, slots=True)
class OpenIdConfig:
    """The identity provider that people log in at, and what its claims grant; `hide_password` hides the other way."""

    provider: IdentityProvider
    mapping: ClaimMapping
    hide_password: bool = False


@dataclass(frozen=True, slots=True)
class AccessDependencies:
    """How people and programs are authenticated, and what is open to all.

    `open_api`: the API needs no key (the dashboard always needs a login); `open_metrics`: everybody may read /metrics;
    `insecure_cookies` is for a gateway that browsers reach by http. `audit` keeps logins, and failed attempts.
    `key_limit` and `address_limit` bound how many requests one of them makes; None bounds nothing.
    """

    session_service: SessionService
    accounts: Accounts
    open_api: bool = False
    open_metrics: bool = True
    insecure_cookies: bool = False
    allowed_hosts: AllowedHosts = field(default_factory=lambda: AllowedHosts(None))
    alpine: Alpine = field(default_factory=Alpine)
    openid: OpenIdConfig | None = None
    audit: Callable[[AuditEntry], Awaitable[None]] | None = None
    key_limit: RateLimit | None = None
    address_limit: RateLimit | None = None


@dataclass(frozen=True, slots=True)
class WebDependencies:
    """What the routes of the API depend on.

    `store` finds tasks, failures and bulk operations, which `bulk` starts and changes.
    `submit` returns the task as kept; it raises `UnknownTask`, `TaskConflict`, `UnacceptableTask`, `VariableError`,
    `TaskTooLarge` or an `…Unavailable`. `retry` takes a task's id and raises `UnknownTask`, `TaskConflict` or an
    `…Unavailable`. `health` and `ready` never raise; `ready` is asked for a
    purpose, or for all of the process's roles (None). `body_limit` is in bytes.
    `now` is the time that the audit is written with. `secrets_of` names the keys that a topic keeps secret besides
    what is secret everywhere. `offload` works what is large.
    `observe` gets each request: its method, its route, the answer's status and the seconds.
    """

    reader: TaskReader
    store: DashboardStore
    bulk: Bulk
    submit: Callable[[Submission], Awaitable[Task]]
    retry: Callable[[str], Awaitable[Task]]
    dead_letters: Callable[[int], Awaitable[Sequence[DeadLetter]]]
    health: Callable[[], Awaitable[Health]]
    ready: Callable[[Purpose | None], Awaitable[Readiness]]
    access: AccessDependencies
    registry: CollectorRegistry
    version: str
    observe: Callable[[str, str, int, float], None] = lambda _method, _route, _status, _seconds: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    secrets_of: Callable[[str | None], Collection[str]] = lambda _topic: ()
    offload: Offload = field(default_factory=Offload)
    body_limit: int = 1024 * 1024
    debug: bool = False
