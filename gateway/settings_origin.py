"""Each setting in force, and where it comes from; secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from os import environ
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from pydantic import SecretStr

from bridge.domain.errors import SetupError
from bridge.domain.redaction import MASK, mask_text
from gateway.secret_files import SUFFIX, is_secret
from gateway.settings import Settings, read_settings

ENV_FILE: Final = Path(".env.gateway")
_ADDRESSES: Final = frozenset({"MONGODB_URI", "RABBITMQ_URL"})
"""Secrets of which only the password is masked."""
_OTHERS: Final = ("OTEL_",)
"""What `.env.gateway` may have for other programs: OpenTelemetry reads these itself."""


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """A setting: its name in capitals, its value as it may be shown, and where that is from."""

    name: str
    value: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class SettingsInForce:
    """All settings. `unknown` are names in `.env.gateway` that no setting has, with the nearest that one has."""

    settings: Sequence[SettingInForce]
    unknown: Mapping[str, str | None]
    fault: str | None = None


def settings_in_force() -> SettingsInForce:
    """Read the settings as a process would; where they can't be used, `fault` says why, and values are as given."""
    given_in_file = dotenv_values(ENV_FILE) if ENV_FILE.is_file() else {}
    in_file = {name.upper(): value for name, value in given_in_file.items() if value}
    in_environment = {name.upper(): value for name, value in environ.items() if value}
    settings, fault = None, None
    try:
        settings = read_settings()
    except SetupError as error:
        fault = str(error)
    shown = [_setting(name, settings, in_environment, in_file) for name in Settings.model_fields]
    return SettingsInForce(shown, _unknown(in_file), fault)


def _setting(
    field: str, settings: Settings | None, in_environment: Mapping[str, str], in_file: Mapping[str, str]
) -> SettingInForce:
    name, info = field.upper(), Settings.model_fields[field]
    origin, given = "default", None
    for place, values in (("environment", in_environment), (str(ENV_FILE), in_file)):
        if is_secret(info) and f"{name}{SUFFIX}" in values:
            origin, given = f"{name}{SUFFIX}={values[f'{name}{SUFFIX}']} ({place})", None
            break
        if name in values:
            origin, given = place, values[name]
            break
    value = getattr(settings, field) if settings is not None else given if origin != "default" else info.default
    if settings is None and given is not None and (is_secret(info) or "@" in given):
        return SettingInForce(name, MASK, origin)  # where a password begins in an address that is none, nobody knows
    return SettingInForce(name, _shown(value, secret=is_secret(info), address=name in _ADDRESSES), origin)


def _shown(value: object, *, secret: bool, address: bool) -> str | None:
    if value is None:
        return None
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    if secret and not address:
        return MASK
    return mask_text(text) if "://" in text else text


def _unknown(in_file: Mapping[str, str]) -> dict[str, str | None]:
    fields = Settings.model_fields
    secrets = [name for name in fields if is_secret(fields[name])]
    known = [*map(str.upper, fields), *(f"{name.upper()}{SUFFIX}" for name in secrets)]
    return {
        name: next(iter(get_close_matches(name, known, 1)), None)
        for name in in_file
        if name not in known and not name.startswith(_OTHERS)
    }
