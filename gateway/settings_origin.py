"""Each setting in force, and where it comes from; secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from pydantic import SecretStr

from bridge.domain.errors import SetupError
from bridge.domain.redaction import MASK, mask_text
from gateway.checks.names import UnknownSetting, unknown_settings
from gateway.secret_files import SUFFIX, is_secret
from gateway.settings import Settings, read_settings
from gateway.settings_file import NAMED_BY, USUAL, settings_file

_ADDRESSES: Final = frozenset({"MONGODB_URI", "RABBITMQ_URL"})
"""Secrets of which only the password is masked."""


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """A setting: its name in capitals, its value as it may be shown, and where that is from."""

    name: str
    value: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class SettingsInForce:
    """All settings. `unknown` are names that no setting has; `fault` says why the settings can't be used."""

    settings: Sequence[SettingInForce]
    unknown: Sequence[UnknownSetting]
    fault: str | None = None


def settings_in_force() -> SettingsInForce:
    """Read the settings as a process would; where they can't be used, `fault` says why, and values are as given."""
    file, unreadable = _file()
    given_in_file = dotenv_values(file) if file.is_file() and unreadable is None else {}
    in_file = {name.upper(): value for name, value in given_in_file.items() if value}
    in_environment = {name.upper(): value for name, value in environ.items() if value}
    settings, fault = None, unreadable
    try:
        settings = read_settings()
    except SetupError as error:
        fault = str(error)
    places = {"environment": in_environment, str(file): in_file}
    shown = [_setting(name, settings, places) for name in Settings.model_fields]
    return SettingsInForce(shown, unknown_settings(environ, file) if unreadable is None else (), fault)


def _file() -> tuple[Path, str | None]:
    """Return where the settings stand, and why that file can't be read."""
    try:
        return settings_file(environ), None
    except SetupError as error:
        return Path(environ.get(NAMED_BY) or USUAL), str(error)


def _setting(field: str, settings: Settings | None, places: Mapping[str, Mapping[str, str]]) -> SettingInForce:
    """Return a setting; `places` are where it may be given, the first before the others."""
    name, info = field.upper(), Settings.model_fields[field]
    origin, given = "default", None
    for place, values in places.items():
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
