"""The one guard before every route. A route declares its need by `opt=needs(…)`; a route without one is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidation

from bridge.domain.access import Kind, Principal, Scope, anybody, csrf_token, may, may_some, neighbourhood
from bridge.domain.errors import Forbidden, Unauthenticated
from bridge.domain.messages import message
from bridge.ports.reader import TaskFilter
from web.auth.security import SAFE_METHODS, cookie_name, refuse_foreign_page, require_form_token, require_own_page
from web.dependencies import AccessDependencies

Connection = ASGIConnection[Any, Any, Any, Any]

_NEEDS: Final = "needs"
_PAGE: Final = "page"
_SECRET: Final = "session_secret"  # noqa: S105 - the name of a place, no secret
_PRINCIPAL: Final = "principal"
_WHO: Final = message("login.who")


@dataclass(frozen=True, slots=True)
class Need:
    """What a route needs; `scope` None is open to everybody. `metrics` is open where the settings leave it so."""

    scope: Scope | None
    metrics: bool = False


OPEN: Final[Mapping[str, Need]] = {_NEEDS: Need(None)}
METRICS: Final[Mapping[str, Need]] = {_NEEDS: Need(Scope.READ, metrics=True)}
PAGES: Final[Mapping[str, bool]] = {_PAGE: True}
"""Options of the router of pages: they need a login, not a key, and every change must come from a page of our own."""


def needs(scope: Scope) -> dict[str, Any]:
    """Return the `opt` of a route that needs `scope`."""
    return {_NEEDS: Need(scope)}


def need_of(handler: BaseRouteHandler) -> Need | None:
    """Return the need that a route declares; None where it declares none."""
    need = handler.opt.get(_NEEDS)
    return need if isinstance(need, Need) else None


class Guard:
    """Authenticates and authorizes each request, before its body is read."""

    def __init__(self, access: AccessDependencies) -> None:
        self._access = access

    async def check(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Run before each route. Raises `WrongHost`, `TooManyRequests`, `Unauthenticated`, `Forbidden`, or
        `StoreUnavailable`.
        """
        self._access.allowed_hosts.check(connection.headers.get("host"))
        method, page = connection.scope.get("method", "GET"), bool(handler.opt.get(_PAGE))
        if method == "OPTIONS":
            return  # Litestar answers it: with the methods of the path, and nothing else
        need = need_of(handler)
        if need is None:
            raise Forbidden(message("request.no_need"))
        changes = method not in SAFE_METHODS
        if page and changes:
            require_own_page(connection, insecure=self._access.insecure_cookies)
        if need.scope is None or (need.metrics and self._access.open_metrics):
            return
        if self._access.address_limit is not None and connection.client is not None:
            await self._access.address_limit.admit(neighbourhood(connection.client.host))
        principal = await self._identify(connection, page=page)
        if changes:
            await self._require_intent(connection, principal)
        # Metrics are of all topics: a key that is bound to some must not learn the names of others.
        if not (may if need.metrics else may_some)(principal, need.scope):
            raise _forbidden(principal, need.scope)
        connection.scope[_PRINCIPAL] = principal  # type: ignore[typeddict-unknown-key]  # ours

    async def _identify(self, connection: Connection, *, page: bool) -> Principal:
        session_service = self._access.session_service
        key = None if page else _key_of(connection)
        if key is not None:
            found = await session_service.by_key(key)
            if self._access.key_limit is not None:
                await self._access.key_limit.admit(found.name)
            return found
        principal = await signed_in(connection, self._access)
        if principal is not None:
            return principal
        if self._access.open_api and not page:
            return anybody()
        raise Unauthenticated(_WHO)

    async def _require_intent(self, connection: Connection, principal: Principal) -> None:
        """Any page can make a browser send a cookie, or reach an open API; no page can make it send a key."""
        insecure = self._access.insecure_cookies
        if principal.kind is Kind.PERSON:
            require_own_page(connection, insecure=insecure)
            await require_form_token(connection, connection.scope[_SECRET])  # type: ignore[typeddict-item]  # ours
        elif principal.kind is Kind.ANYBODY:
            refuse_foreign_page(connection, insecure=insecure)


async def signed_in(connection: Connection, access: AccessDependencies) -> Principal | None:
    """Return the person who is logged in with this browser, or None; for open pages that show the name."""
    secret = connection.cookies.get(cookie_name(insecure=access.insecure_cookies))
    principal = None if secret is None else await access.session_service.by_session(secret)
    if principal is not None:
        connection.scope[_SECRET] = secret  # type: ignore[typeddict-unknown-key]  # ours
        connection.scope[_PRINCIPAL] = principal  # type: ignore[typeddict-unknown-key]  # ours
    return principal


def principal_of(connection: Connection) -> Principal | None:
    """Return the principal that the guard found; None on an open route."""
    found = connection.scope.get(_PRINCIPAL)
    return found if isinstance(found, Principal) else None


def session_secret_of(connection: Connection) -> str | None:
    """Return the secret of the browser's session; None without a valid session."""
    secret = connection.scope.get(_SECRET)
    return secret if isinstance(secret, str) else None


def form_token_of(connection: Connection) -> str:
    """Return the value of the hidden field `csrf_token` of a form; empty without a login."""
    secret = session_secret_of(connection)
    return "" if secret is None else csrf_token(secret)


def given_principal(
    request: Request[Any, Any, Any],
    dependencies: NamedDependency[SkipValidation[object]],  # noqa: ARG001
) -> Principal:
    """Give a route the principal. Raises `Unauthenticated` on an open route, which has none.

    It names `dependencies` to come after them: Litestar starts a task each, in a group, for two that it gives at once.
    """
    principal = principal_of(request)
    if principal is None:
        raise Unauthenticated(_WHO)
    return principal


GivenPrincipal = NamedDependency[SkipValidation[Principal]]


def require(principal: Principal, action: Scope, topic: str | None = None) -> None:
    """Raise `Forbidden` unless `principal` may do `action` on `topic`; None asks for all topics together."""
    if not may(principal, action, topic):
        raise _forbidden(principal, action, topic)


def narrowed(principal: Principal, wanted: TaskFilter) -> TaskFilter:
    """Return the filter, bound to the topics that `principal` may read; raise `Forbidden` where it names another."""
    if principal.topics is None:
        return wanted
    for topic in wanted.topics:
        require(principal, Scope.READ, topic)
    topics = wanted.topics or tuple(sorted(principal.topics))
    return TaskFilter(
        wanted.states,
        topics,
        wanted.source,
        wanted.business_key,
        wanted.process_instance_id,
        wanted.since,
        wanted.until,
    )


def _key_of(connection: Connection) -> str | None:
    given = connection.headers.get("x-api-key")
    if given is not None:
        return given.strip()
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def _forbidden(principal: Principal, action: Scope, topic: str | None = None) -> Forbidden:
    name, topics = principal.name, _listed(principal.topics)
    if action in principal.scopes and topic is None:
        return Forbidden(message("request.all_topics", name=name, action=action, topics=topics))
    if action in principal.scopes:
        return Forbidden(message("request.topic", name=name, action=action, topic=topic, topics=topics))
    if principal.role is None:
        return Forbidden(message("request.scopes", name=name, scopes=_listed(principal.scopes), action=action))
    return Forbidden(message("request.role", name=name, role=principal.role, action=action))


def _listed(names: frozenset[str] | frozenset[Scope] | None) -> str:
    return ", ".join(sorted(names or ())) or "none"
