"""Login with the company's account: to the identity provider and back, and the logout there."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

import structlog
from litestar import Request, Response, get
from litestar.datastructures import Cookie
from litestar.handlers import HTTPRouteHandler

from bridge.domain.access import Principal, same
from bridge.domain.errors import Forbidden, ProviderUnavailable, TooManyLoginAttempts, Unauthenticated
from bridge.domain.messages import message
from bridge.domain.openid import LoginRequest
from web.auth.audit import audit_entry
from web.auth.cookies import host_cookie, host_name
from web.auth.guard import OPEN
from web.auth.security import cookie_name, session_cookie
from web.components.page import Pages
from web.dashboard.login import ANONYMOUS, HOME, Login, safe_next, see
from web.dependencies import AccessDependencies, OpenIdConfig
from web.i18n.texts import msg

BEGIN: Final = "/dashboard/login/company"
CALLBACK: Final = "/dashboard/login/callback"
SIGNED_OUT: Final = "/dashboard/login"
"""Where the provider sends browsers back to, after a login and after a logout."""

_MINUTES: Final = 10
_PART: Final = re.compile(r"[\w~.-]{16,128}", re.ASCII)
_LONGEST_CODE: Final = 4096
_AWAY: Final = msg("The identity provider can't be reached. Try again later.")
_NOT_COMPLETED: Final = msg(
    "The sign-in was not completed: it took too long, was begun in another browser, or was refused. Start again."
)
_NOT_LET_IN: Final = msg("Your company account gives no access here. Ask an admin: the audit log says why.")


@dataclass(frozen=True, slots=True)
class _Begun:
    """A login that has begun, as the browser keeps it for the way back. All of it is worthless without the code."""

    state: str
    nonce: str
    verifier: str
    next: str


class OpenIdLogin:
    """The way to the provider and back."""

    def __init__(self, access: AccessDependencies, openid: OpenIdConfig, pages: Pages, login: Login) -> None:
        self._access = access
        self._openid = openid
        self._pages = pages
        self._login = login

    async def begin(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """Send the browser to the provider."""
        target = safe_next(request.query_params.get("next", ""))
        try:
            begun = await self._openid.provider.begin()
        except ProviderUnavailable as error:
            return self._failed(request, 503, _AWAY, error, target)
        answer: Response[None] = Response(None, status_code=303, headers={"Location": begun.url})
        kept = _Begun(begun.state, begun.nonce, begun.verifier, target)
        answer.set_cookie(self._cookie(" ".join(asdict(kept).values()), _MINUTES * 60))
        return answer

    async def end(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """Open a session for a person who comes back from the provider; each begun login counts once."""
        begun = _read(request.cookies.get(self._name, ""))
        target = HOME if begun is None else begun.next
        try:
            answer = await self._enter(request, begun)
        except TooManyLoginAttempts as error:
            answer = self._login.form(request, 429, target, wait=error.wait)
        except ProviderUnavailable as error:
            answer = self._failed(request, 503, _AWAY, error, target)
        except Forbidden as error:
            await self._audit(request, "login.failed", ANONYMOUS, str(error))
            answer = self._failed(request, 403, _NOT_LET_IN, error, target)
        except Unauthenticated as error:
            await self._audit(request, "login.failed", ANONYMOUS, str(error))
            answer = self._failed(request, 401, _NOT_COMPLETED, error, target)
        answer.set_cookie(self._cookie("", 0))
        return answer

    async def _enter(self, request: Request[Any, Any, Any], begun: _Begun | None) -> Response[Any]:
        params, address = request.query_params, request.client.host if request.client else ""
        code, state = params.get("code", ""), params.get("state", "")
        if begun is None or not same(state, begun.state):
            raise Unauthenticated(message("login.not_begun"))
        if params.get("error") or not 0 < len(code) <= _LONGEST_CODE:
            error = params.get("error", "")[:100]
            raise Unauthenticated(message("provider.refused", error=error) if error else message("provider.no_code"))
        session_service, insecure = self._access.session_service, self._access.insecure_cookies
        taken = await session_service.take_try(address)
        identity = await self._openid.provider.complete(code, LoginRequest("", state, begun.nonce, begun.verifier))
        opened = await session_service.admit(
            identity,
            self._openid.mapping.grant(identity),
            address=address,
            agent=request.headers.get("user-agent", ""),
            before=request.cookies.get(cookie_name(insecure=insecure)),
        )
        await session_service.give_back(taken)
        await self._audit(
            request, "login", await session_service.by_session(opened.secret) or ANONYMOUS, identity.issuer
        )
        answer = see(request, begun.next)
        seconds = int(session_service.lifetime.total_seconds())
        answer.set_cookie(session_cookie(opened.secret, insecure=insecure, seconds=seconds))
        return answer

    @property
    def _name(self) -> str:
        return host_name("login", insecure=self._access.insecure_cookies)

    def _cookie(self, value: str, seconds: int) -> Cookie:
        """Lax, not strict: the browser comes back from another site, and has to send it."""
        return host_cookie("login", value, seconds, insecure=self._access.insecure_cookies)

    def _failed(
        self, request: Request[Any, Any, Any], status: int, text: str, error: Exception, target: str
    ) -> Response[Any]:
        why = str(error)
        structlog.get_logger("web.dashboard.openid_login").warning("provider_login_failed", status=status, error=why)
        return self._login.form(request, status, target, failed=text)

    async def _audit(self, request: Request[Any, Any, Any], action: str, who: Principal, by: str) -> None:
        if self._access.audit is None:
            return
        target = f"user:{who.name}" if who.name else ""
        granted: dict[str, object] = {"by": by}
        if who.role is not None:
            granted |= {"role": who.role.value, **({} if who.topics is None else {"topics": sorted(who.topics)})}
        await self._access.audit(audit_entry(request, who, action, target, self._pages.now(), after=granted))


def _read(text: str) -> _Begun | None:
    """Return the begun login in the cookie; None without one that we wrote."""
    parts = text.split(" ")
    if len(parts) != 4 or not all(_PART.fullmatch(part) for part in parts[:3]):
        return None
    return _Begun(parts[0], parts[1], parts[2], safe_next(parts[3]))


def openid_routes(access: AccessDependencies, pages: Pages, login: Login) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of the login at the provider, for the router under /dashboard; none without a provider."""
    if access.openid is None:
        return ()
    way = OpenIdLogin(access, access.openid, pages, login)

    @get("/login/company", opt=OPEN)
    async def begin(request: Request[Any, Any, Any]) -> Response[Any]:
        return await way.begin(request)

    @get("/login/callback", opt=OPEN)
    async def end(request: Request[Any, Any, Any]) -> Response[Any]:
        return await way.end(request)

    return begin, end
