"""The page of a reader's preferences, password and sessions."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from bridge.domain.access import LEAST_PASSWORD, MOST_PASSWORD, Scope
from bridge.domain.errors import Refusal, TooManyLoginAttempts, Unauthenticated
from web.auth.audit import audit_entry
from web.auth.guard import GivenPrincipal, needs
from web.components.flash import Flash
from web.components.forms import changing, read_form
from web.components.page import go_on, pages_of, render
from web.components.preferences import chosen, preferences_cookie, preferences_of, zones
from web.dashboard.login import safe_next
from web.dependencies import AccessDependencies
from web.i18n.texts import LANGUAGES, msg

PATH: Final = "/dashboard/settings"
_FIELDS: Final = {"language": 8, "zone": 64, "theme": 8, "density": 8, "shortcuts": 4, "next": 2048}
_PASSWORD_FIELDS: Final = dict.fromkeys(("old", "new", "again"), MOST_PASSWORD)
_SESSION_FIELDS: Final = {"id": 64, "others": 4}
_BROWSERS: Final = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def device_of(agent: str) -> str:
    """Return a readable name for a browser's `User-Agent`: `Firefox · Linux`."""
    named = [next((word for sign, word in table if sign in agent), "") for table in (_BROWSERS, _SYSTEMS)]
    return " · ".join(word for word in named if word) or agent[:40]


def zone_groups() -> dict[str, list[tuple[str, str]]]:
    """Return the zones that can be chosen, by region."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(zones() - {"UTC"}):
        region, _, place = name.partition("/")
        groups.setdefault(region, []).append((name, place.replace("_", " ").replace("/", " / ")))
    return groups


def settings_routes(access: AccessDependencies) -> tuple[HTTPRouteHandler, ...]:
    """Return the routes of the page."""
    insecure, session_service = access.insecure_cookies, access.session_service

    @get("/settings", opt=needs(Scope.READ))
    async def show(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[str]:
        sessions = await session_service.sessions(principal.name)
        mine = principal.session.id if principal.session else ""
        return render(
            request,
            "settings.html",
            sessions=[(session, session.id == mine, device_of(session.agent)) for session in sessions],
            languages=LANGUAGES,
            zone_groups=zone_groups(),
            least_password=LEAST_PASSWORD,
        )

    @post("/settings", **changing(Scope.READ))
    async def save(request: Request[Any, Any, Any]) -> Response[None]:
        fields = await read_form(request, _FIELDS)
        given = {name: fields[name] for name in await request.form() if name in fields}
        target = safe_next(given["next"]) if "next" in given else PATH
        answer = go_on(request, target, None if "next" in given else Flash(msg("Settings saved.")))
        before = preferences_of(request, insecure=insecure)
        answer.set_cookie(preferences_cookie(chosen(given, before), insecure=insecure))
        return answer

    @post("/settings/sessions", **changing(Scope.READ))
    async def revoke(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[None]:
        fields = await read_form(request, _SESSION_FIELDS)
        mine = principal.session.id if principal.session else ""
        if fields["others"]:
            ended = await session_service.revoke_others(principal.name, keep=mine) > 0
        else:
            ended = await session_service.revoke(principal.name, fields["id"])
        text = (
            msg("Sessions ended: those browsers must sign in again.")
            if ended
            else msg("That session no longer exists.")
        )
        return go_on(request, PATH, Flash(text, level="done" if ended else "note"))

    @post("/settings/password", **changing(Scope.READ))
    async def change_password(request: Request[Any, Any, Any], principal: GivenPrincipal) -> Response[None]:
        fields = await read_form(request, _PASSWORD_FIELDS)
        if principal.session is None:
            return go_on(
                request, PATH, Flash(msg("Only people who sign in with a password can change one."), level="error")
            )
        if fields["new"] != fields["again"]:
            return go_on(
                request, PATH, Flash(msg("Nothing was changed: the new passwords don't match."), level="error")
            )
        try:
            await session_service.change_password(
                principal.name, fields["old"], fields["new"], keep=principal.session.id
            )
        except Unauthenticated:
            text = msg("Nothing was changed: the current password is wrong.")
            return go_on(request, PATH, Flash(text, level="error"))
        except TooManyLoginAttempts as error:
            text = msg("Too many attempts: wait %(seconds)s s and try again.")
            return go_on(request, PATH, Flash(text, {"seconds": error.wait}, level="error"))
        except Refusal:
            text = msg("Nothing was changed: a password has %(least)s to %(most)s characters.")
            lengths = {"least": LEAST_PASSWORD, "most": MOST_PASSWORD}
            return go_on(request, PATH, Flash(text, lengths, level="error"))
        if access.audit is not None:
            now = pages_of(request).now()
            await access.audit(audit_entry(request, principal, "user.password", f"user:{principal.name}", now))
        return go_on(request, PATH, Flash(msg("Password changed. All other browsers must sign in again.")))

    return show, save, revoke, change_password
