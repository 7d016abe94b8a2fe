"""Settings whose names no gateway knows: they would be passed over, and the default would count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from gateway.secret_files import SUFFIX, is_secret
from gateway.settings import Settings
from gateway.settings_file import NAMED_BY

_ALIKE: Final = 0.87
_SHORTEST: Final = 7
"""Shorter names of the environment are too often like others': PORTS, HOSTS."""
_OTHERS: Final = ("OTEL_", "COMPOSE_", "GATEWAY_", "SSL_CERT_", "PYTHON", "LC_", "HTTP_", "HTTPS_", "NO_")
"""Names that begin so are of libraries, of compose, or of the command line."""
_OTHER_NAMES: Final = frozenset(
    {"TZ", "LANG", "PATH", "HOME", "COLUMNS", "FORCE_COLOR", "GRAFANA_PASSWORD", "GRAFANA_PORT", "PROMETHEUS_PORT"}
    | {"JAEGER_PORT", "ENGINE_PORT", "STORE_PORT", "BROKER_PORT", "OTLP_GRPC_PORT", "OTLP_HTTP_PORT", "STOP_GRACE"}
    | {"ALL_PROXY", "JAEGER_QUERY_URL"}
)


@dataclass(frozen=True, slots=True)
class UnknownSetting:
    """A name that is no setting's. `source` is the file, or the environment; `meant` the setting that is like it."""

    name: str
    source: str
    meant: str | None

    @property
    def change(self) -> str:
        """What to change."""
        if self.meant is not None:
            return f"did you mean {self.meant}? Rename it, or take it out"
        return "take it out, or rename it: `.env.gateway.example` has all settings; a topic's own may stay"


def unknown_settings(environment: Mapping[str, str], file: Path) -> tuple[UnknownSetting, ...]:
    """Return the names in the file that are none of the gateway's, and those of the environment that are like one.

    The environment has many other programs' names, so that a name without likeness to any setting says nothing there.
    """
    written = dotenv_values(file) if file.is_file() else {}
    return (*_unknown(written, str(file), named_alone=False), *_unknown(environment, "environment", named_alone=True))


def _unknown(names: Mapping[str, object], source: str, *, named_alone: bool) -> Iterator[UnknownSetting]:
    known = known_names()
    for name in sorted(names):
        upper = name.upper()
        if upper in known or (upper in _OTHER_NAMES):
            continue
        if upper.startswith(_OTHERS) and not _is_near(upper, known):
            continue
        meant = _meant(upper, known)
        if not named_alone or (meant is not None and len(name) >= _SHORTEST):
            yield UnknownSetting(name, source, meant)


def known_names() -> frozenset[str]:
    """Return the names of all settings, with `NAME_FILE` of each secret."""
    fields = Settings.model_fields
    files = {f"{name}{SUFFIX}" for name, field in fields.items() if is_secret(field)}
    return frozenset(name.upper() for name in {*fields, *files}) | {NAMED_BY}


def _meant(name: str, known: frozenset[str]) -> str | None:
    plain = name.removesuffix(SUFFIX)
    if plain != name and plain in known:
        return plain  # only secrets may stand in files
    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=_ALIKE)), None)


def _is_near(name: str, known: frozenset[str]) -> bool:
    """Return whether a name with a common beginning is a setting's with a slip: GATEWAY_ADMIN_USR, not GATEWAY_URL."""
    return name.startswith("GATEWAY_ADMIN") and bool(get_close_matches(name, known, n=1, cutoff=_ALIKE))
