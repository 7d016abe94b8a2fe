"""A reader's preferences: language, zone, theme, density, shortcuts. They are kept in a cookie of the browser.

In the browser, not with the user: the login page has them too, and a screen on the wall needs others than a laptop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo, available_timezones

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie

from web.auth.cookies import host_cookie, host_name
from web.i18n.texts import LANGUAGES, language_of

THEMES: Final = ("auto", "light", "dark")
DENSITIES: Final = ("compact", "roomy")
GUESSED_ZONE: Final = "zone"
"""A cookie that the browser's script writes: the zone of the machine, where the reader hasn't chosen one."""

_YEAR: Final = 365 * 86_400
_LONGEST: Final = 400
_SWITCH: Final = {"on": True, "off": False}
_REGIONS: Final = frozenset(
    {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}
)


@dataclass(frozen=True, slots=True)
class Preferences:
    """A reader's choices; None where the browser's own settings count."""

    language: str | None = None
    zone: str | None = None
    theme: str = "auto"
    density: str = "compact"
    shortcuts: bool = True


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """Return the names of the zones that can be chosen: places, and UTC."""
    return frozenset({"UTC", *(name for name in available_timezones() if name.partition("/")[0] in _REGIONS)})


def chosen(fields: Mapping[str, str], before: Preferences) -> Preferences:
    """Return `before` with the fields that have a known value; other fields are left as they were.

    An empty language or zone goes back to the browser's own.
    """
    changes: dict[str, Any] = {}
    if (language := fields.get("language")) is not None and (not language or language in LANGUAGES):
        changes["language"] = language or None
    if (zone := fields.get("zone")) is not None and (not zone or zone in zones()):
        changes["zone"] = zone or None
    if (theme := fields.get("theme")) in THEMES:
        changes["theme"] = theme
    if (density := fields.get("density")) in DENSITIES:
        changes["density"] = density
    if (shortcuts := fields.get("shortcuts", "")) in _SWITCH:
        changes["shortcuts"] = _SWITCH[shortcuts]
    return replace(before, **changes)


def preferences_of(connection: ASGIConnection[Any, Any, Any, Any], *, insecure: bool) -> Preferences:
    """Return the preferences in the browser's cookie; unknown values are ignored."""
    text = connection.cookies.get(preferences_name(insecure=insecure), "")
    return chosen(dict(parse_qsl(text[:_LONGEST], keep_blank_values=True)), Preferences())


def preferences_name(*, insecure: bool) -> str:
    """Return the cookie's name."""
    return host_name("preferences", insecure=insecure)


def preferences_cookie(preferences: Preferences, *, insecure: bool) -> Cookie:
    """Return the cookie that keeps them for a year."""
    fields = {
        "language": preferences.language or "",
        "zone": preferences.zone or "",
        "theme": preferences.theme,
        "density": preferences.density,
        "shortcuts": "on" if preferences.shortcuts else "off",
    }
    return host_cookie("preferences", urlencode(fields), _YEAR, insecure=insecure)


def language_for(connection: ASGIConnection[Any, Any, Any, Any], preferences: Preferences) -> str:
    """Return the language chosen, or else the one that the browser prefers."""
    return preferences.language or language_of(connection.headers.get("accept-language", ""))


def zone_for(connection: ASGIConnection[Any, Any, Any, Any], preferences: Preferences) -> tzinfo:
    """Return the zone chosen, or else that of the browser's machine; UTC where neither is known."""
    guessed = connection.cookies.get(GUESSED_ZONE, "")
    name = preferences.zone or (guessed if guessed in zones() else "UTC")
    return UTC if name == "UTC" else ZoneInfo(name)
