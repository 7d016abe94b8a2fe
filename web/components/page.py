"""Renders pages: templates that escape everything, in the reader's language and zone, with a policy of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from litestar import Request, Response

from bridge.domain.access import Scope, may_some
from bridge.runtime.own_threads import OwnThreads
from web.auth.guard import form_token_of, principal_of
from web.auth.security import new_nonce, page_policy
from web.components.assets import Assets
from web.components.charts import Plot
from web.components.flash import Flash, add_flash, drop_flash, flash_of
from web.components.format import Formatter
from web.components.nav import is_within, sections_for
from web.components.page_urls import PageUrls, root_of, segment
from web.components.preferences import Preferences, language_for, preferences_of, zone_for
from web.dependencies import AccessDependencies
from web.folders import find_folder
from web.i18n.messages import translate
from web.i18n.texts import locale_of, translations

FOLDER: Final = find_folder("templates")
PAGES_OPT: Final = "pages"
"""The key of the `Pages` in the `opt` of routes under /dashboard."""

_WRITERS: Final = 2
"""How many pages are written at once beside the event loop."""
_VARY: Final = "Accept-Language, Cookie"
_DANGEROUS: Final = ("prod", "prd", "live")
_BETWEEN: Final = ("stag", "stg", "hom", "uat", "pre", "qa")


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageConfig:
    """What all pages show of the gateway; `debug` reads templates and files anew at each request."""

    environment: str = ""
    version: str = ""
    debug: bool = False

    @property
    def badge(self) -> str:
        """The style of the environment's badge: production's must not be missed."""
        name = self.environment.lower()
        if name.startswith(_DANGEROUS):
            return "production"
        return "staging" if name.startswith(_BETWEEN) else "other"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A page that is to be written: all that its template sees is in the context."""

    environment: Environment
    template: str
    context: dict[str, Any]

    def write(self) -> str:
        return self.environment.get_template(self.template).render(self.context)


class Pages:
    """Renders the templates; what each of them has is listed at `_values`."""

    def __init__(
        self,
        access: AccessDependencies,
        page_config: PageConfig | None = None,
        *,
        folder: Path = FOLDER,
        now: Callable[[], datetime] = _utc_now,
        cursor: Callable[[], str] = str,
        spent: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self.page_config = page_config or PageConfig()
        self.assets = Assets(fresh=self.page_config.debug)
        self._access = access
        self._folder = folder
        self._now = now
        self._cursor = cursor
        self._spent = spent
        self._writers = OwnThreads("page", _WRITERS)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Pages:
        """Stay one: Litestar copies routers deeply as it registers them, with all that their `opt` leads to."""
        return self

    @property
    def insecure(self) -> bool:
        """Whether cookies go over http too."""
        return self._access.insecure_cookies

    def now(self) -> datetime:
        """Return the moment that pages are written for."""
        return self._now()

    def language_for(self, request: Request[Any, Any, Any]) -> str:
        """Return the language that the request's page is written in."""
        return language_for(request, preferences_of(request, insecure=self.insecure))

    def version_for(self, request: Request[Any, Any, Any]) -> str:
        """Return the version of what the request's page may share with others; empty where it may not.

        A page that is refetched after a change may share what others got for the same change. A reader who comes by a
        link, or after an action of their own, must see changes that were not sent to others yet.
        """
        return self._cursor() if is_refetch(request) else ""

    @contextmanager
    def spending(self, request: Request[Any, Any, Any]) -> Iterator[None]:
        """Count the time inside as a cost of live updates: the more they cost, the later the next are sent."""
        began = time.perf_counter()
        try:
            yield
        finally:
            if is_refetch(request):
                self._spent(time.perf_counter() - began)

    def page(
        self,
        request: Request[Any, Any, Any],
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Response[str]:
        """Return a page; `values` are the template's own."""
        draft = self._draft(request, template, values)
        with self.spending(request):
            text = draft.write()
        return self._response(draft, text, status, headers)

    async def page_in_thread(self, request: Request[Any, Any, Any], template: str, **values: Any) -> Response[str]:
        """Return a page that takes tens of milliseconds to write; handlers and renewals run on meanwhile."""
        draft = self._draft(request, template, values)
        text = await self.in_thread(request, draft.write)
        return self._response(draft, text, 200, None)

    async def in_thread(self, request: Request[Any, Any, Any], make: Callable[[], T]) -> T:
        """Return what `make` returns, in a thread; its CPU time counts as a cost of live updates."""
        made, seconds = await self._writers.run(_timed, make)
        if is_refetch(request):
            self._spent(seconds)
        return made

    def _draft(self, request: Request[Any, Any, Any], template: str, values: Mapping[str, Any]) -> _Draft:
        preferences = preferences_of(request, insecure=self.insecure)
        language, nonce = language_for(request, preferences), new_nonce()
        environment = _environment(self._folder, language, fresh=self.page_config.debug)
        flash = flash_of(request, insecure=self.insecure)
        context = {**self._values(request, preferences, language, nonce), "flash": flash, **values}
        return _Draft(environment, template, context)

    def _response(self, draft: _Draft, text: str, status: int, headers: Mapping[str, str] | None) -> Response[str]:
        policy = page_policy(draft.context["nonce"], self._access.alpine)
        response = Response(
            text,
            status_code=status,
            media_type="text/html",
            headers={"Content-Security-Policy": policy, "Vary": _VARY, **(headers or {})},
        )
        if draft.context["flash"] is not None:
            drop_flash(response, insecure=self.insecure)
        return response

    def _values(
        self, request: Request[Any, Any, Any], preferences: Preferences, language: str, nonce: str
    ) -> dict[str, Any]:
        principal, links, now = principal_of(request), PageUrls(request), self.now()
        locale, zone = locale_of(language), zone_for(request, preferences)
        return {
            # the person, and their rights
            "principal": principal,
            "permissions": frozenset(scope.value for scope in principal.scopes) if principal else frozenset(),
            "may": lambda scope: principal is not None and may_some(principal, Scope(scope)),
            "csrf_token": form_token_of(request),
            # for whom it is written
            "language": language,
            "locale": locale,
            "zone": zone,
            "now": now,
            "translate": lambda text: translate(language, text),
            "fmt": Formatter(locale, zone, now),
            "preferences": preferences,
            # where it is
            "root": links.root,
            "root_path": links.root,
            "path": links.path,
            "url": links.url,
            "here": links.here,
            "query_fields": links.fields,
            "asset_url": lambda name: self.assets.url(links.root, name),
            "sections": [(section, is_within(section, links.path)) for section in sections_for(principal)],
            # the page itself
            "events": links.url("/dashboard/events", since=self._cursor()),
            "nonce": nonce,
            "alpine": self._access.alpine,
            "page_config": self.page_config,
        }


def _timed(make: Callable[[], T]) -> tuple[T, float]:
    began = time.thread_time()
    return make(), time.thread_time() - began


def pages_of(request: Request[Any, Any, Any]) -> Pages:
    """Return the `Pages` of a route under /dashboard."""
    found = request.route_handler.opt.get(PAGES_OPT)
    if not isinstance(found, Pages):
        raise TypeError(f"{request.url.path} is mounted under no router that has pages")
    return found


def is_refetch(request: Request[Any, Any, Any]) -> bool:
    """Return whether an open page fetches itself again."""
    return "x-live" in request.headers


def language_of_reader(request: Request[Any, Any, Any]) -> str:
    """Return the language of a page for the request's reader."""
    return pages_of(request).language_for(request)


def render(
    request: Request[Any, Any, Any],
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> Response[str]:
    """Return a page from a route under /dashboard; `values` are the template's own."""
    return pages_of(request).page(request, template, status=status, headers=headers, **values)


async def render_in_thread(request: Request[Any, Any, Any], template: str, **values: Any) -> Response[str]:
    """Return a page with charts from a route under /dashboard; `values` are the template's own."""
    return await pages_of(request).page_in_thread(request, template, **values)


def missing(request: Request[Any, Any, Any], heading: str, text: str, back: str) -> Response[str]:
    """Answer 404 with a page that names the missing thing, and leads to its list; heading and text are translated."""
    return render(request, "missing.html", status=404, heading=heading, text=text, back=back)


def go_on(request: Request[Any, Any, Any], path: str, flash: Flash | None = None) -> Response[None]:
    """Answer 303 after a change: the browser goes on to `path`, one of ours, by GET, and there reads `flash`."""
    response: Response[None] = Response(None, status_code=303, headers={"Location": f"{root_of(request)}{path}"})
    if flash is not None:
        add_flash(response, request, flash, insecure=pages_of(request).insecure)
    return response


@lru_cache(maxsize=16)
def _environment(folder: Path, language: str, *, fresh: bool) -> Environment:
    """Return where templates are compiled, once for each language, as their texts are a part of them."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=fresh,
    )
    environment.filters["segment"] = segment
    environment.globals["written_once"] = _written_once
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    return environment


@pass_context
def _written_once(context: Context, plot: Plot, *options: object, caller: Callable[[], str]) -> str:
    """Return what the block around it writes of a plot; a shared plot keeps it, so that it is written once for all.

    `options` are all that the block reads beside the plot, the language and the zone.
    """
    key = repr((context["language"], str(context["zone"]), options))
    if key not in plot.written:
        plot.written[key] = caller()
    return plot.written[key]
