"""Login and logout of people."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlsplit

import structlog
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from bridge.domain.access import Kind, Principal, Scope
from bridge.domain.errors import ProviderUnavailable, TooManyLoginAttempts, Unauthenticated
from web.auth.audit import audit_entry
from web.auth.guard import OPEN, principal_of, session_secret_of, signed_in
from web.auth.security import cookie_name, session_cookie
from web.components.forms import FORM_BYTES, changing, read_form
from web.components.page import Pages
from web.components.page_urls import root_of
from web.dependencies import AccessDependencies

HOME: Final = "/dashboard"
LOGIN: Final = "/dashboard/login"
ANONYMOUS: Final = Principal("", Kind.ANYBODY, frozenset())
_FORM: Final = {"name": 256, "password": 1024, "next": 2048}


def safe_next(text: str) -> str:
    """Return the path to go on to; a path that could lead to another host becomes the dashboard's first page."""
    if not text.startswith(HOME) or not text.isascii() or not text.isprintable():
        return HOME  # a browser takes what begins with two slashes, or a slash and a backslash, for a host
    if any(sign in text for sign in '\\ "<>'):
        return HOME
    parts = urlsplit(text)
    steps = parts.path.split("/")
    ours = parts.path == HOME or parts.path.startswith(f"{HOME}/")
    if parts.scheme or parts.netloc or not ours or {"..", "."} & set(steps) or "%" in parts.path:
        return HOME
    return HOME if steps[2:3] in (["login"], ["logout"]) else text


def to_login(request: Request[Any, Any, Any]) -> Response[None]:
    """Send a browser to the login, which leads back to the page; a form must be sent again."""
    wanted = ""
    if request.method == "GET":
        path, query = request.url.path.removeprefix(root_of(request)), request.url.query
        target = safe_next(f"{path}?{query}" if query else path)
        wanted = "" if target == HOME else f"?next={quote(target, safe='/')}"
    return see(request, f"{LOGIN}{wanted}")


def see(request: Request[Any, Any, Any], path: str) -> Response[None]:
    """Answer 303: the browser goes on to `path`, which is one of ours, by GET."""
    return Response(None, status_code=303, headers={"Location": f"{root_of(request)}{path}"})


class Login:
    """The routes of login and logout."""

    def __init__(self, access: AccessDependencies, pages: Pages) -> None:
        self._access = access
        self._pages = pages

    async def show(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """Show the form, or go on with a login."""
        target = safe_next(request.query_params.get("next", ""))
        if await signed_in(request, self._access) is not None:
            return see(request, target)
        return self.form(request, 200, target)

    def form(
        self,
        request: Request[Any, Any, Any],
        status: int,
        target: str,
        *,
        wrong: bool = False,
        wait: int | None = None,
        failed: str | None = None,
    ) -> Response[Any]:
        """Return the login's page. `failed` says what became of one at the identity provider."""
        openid = self._access.openid
        return self._pages.page(
            request,
            "login.html",
            status=status,
            headers={} if wait is None else {"Retry-After": str(wait)},
            next=target,
            wrong=wrong,
            wait=wait,
            failed=failed,
            company=openid is not None,
            password=openid is None or not openid.hide_password or "password" in request.query_params or wrong,
        )

    async def enter(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """Open a session, under a new id."""
        form = await read_form(request, _FORM)
        target, insecure = safe_next(form["next"]), self._access.insecure_cookies
        try:
            opened = await self._access.session_service.login(
                form["name"],
                form["password"],
                address=request.client.host if request.client else "",
                agent=request.headers.get("user-agent", ""),
                before=request.cookies.get(cookie_name(insecure=insecure)),
            )
        except TooManyLoginAttempts as error:
            return self.form(request, 429, target, wait=error.wait)
        except Unauthenticated:
            await self._audit(request, "login.failed", None)
            return self.form(request, 401, target, wrong=True)
        await self._audit(request, "login", await self._access.session_service.by_session(opened.secret))
        answer = see(request, target)
        seconds = int(self._access.session_service.lifetime.total_seconds())
        answer.set_cookie(session_cookie(opened.secret, insecure=insecure, seconds=seconds))
        return answer

    async def leave(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """End the session, and the login at the identity provider that opened it."""
        secret, principal = session_secret_of(request), principal_of(request)
        if secret is not None:
            await self._audit(request, "logout", principal)
            await self._access.session_service.end(secret)
        away = await self._provider_logout(principal)
        # A page leads on, and no redirect: browsers hold the answer to a form to the form's own policy.
        answer: Response[Any] = (
            see(request, LOGIN) if away is None else self._pages.page(request, "leaving.html", away=away)
        )
        answer.set_cookie(session_cookie("", insecure=self._access.insecure_cookies, seconds=0))
        return answer

    async def _provider_logout(self, principal: Principal | None) -> str | None:
        session = None if principal is None else principal.session
        if self._access.openid is None or session is None or not session.id_token:
            return None
        try:
            return await self._access.openid.provider.logout_url(session.id_token)
        except ProviderUnavailable as error:
            structlog.get_logger("web.dashboard.login").warning("provider_logout_failed", error=str(error))
            return None

    async def _audit(self, request: Request[Any, Any, Any], action: str, who: Principal | None) -> None:
        """Write an audit entry; of a failed attempt without the name, as people may type a password there."""
        if self._access.audit is not None:
            target = "" if who is None else f"user:{who.name}"
            await self._access.audit(audit_entry(request, who or ANONYMOUS, action, target, self._pages.now()))


def login_routes(login: Login) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of login and logout, for the router under /dashboard."""

    @get("/login", opt=OPEN)
    async def login_page(request: Request[Any, Any, Any]) -> Response[Any]:
        return await login.show(request)

    @post("/login", opt=OPEN, status_code=303, request_max_body_size=FORM_BYTES)
    async def enter(request: Request[Any, Any, Any]) -> Response[Any]:
        return await login.enter(request)

    @post("/logout", **changing(Scope.READ))
    async def leave(request: Request[Any, Any, Any]) -> Response[Any]:
        return await login.leave(request)

    return login_page, enter, leave
