"""Secrets from files, as Docker and Kubernetes mount them: `NAME_FILE` names the file that has the value of NAME."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

SUFFIX: Final = "_FILE"
_MOST: Final = 100_000
"""Bytes of a file that are read: a file that is larger holds something else."""


@dataclass(frozen=True, slots=True)
class UnusableFile:
    """Stands in the place of a secret whose file can't be used; `fault` says why, and nothing of the content."""

    fault: str


def is_secret(field: FieldInfo) -> bool:
    """Return whether a setting's value is a secret."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def read_secret(name: str, path: str) -> str | UnusableFile:
    """Return the file's text without the newline at its end; `name` is the setting that names the file."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST + 1)
    except (OSError, ValueError) as error:
        return UnusableFile(f"{name}: {path} can't be read: {getattr(error, 'strerror', None) or error}")
    if len(content) > _MOST:
        return UnusableFile(f"{name}: {path} has more than {_MOST} bytes, so it can't be the secret alone")
    try:
        text = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return UnusableFile(f"{name}: {path} is no text in UTF-8")
    return text or UnusableFile(f"{name}: {path} is empty")


class SecretFiles(PydanticBaseSettingsSource):
    """The source of every secret that `NAME_FILE` names a file for; before all others, so that its faults are seen.

    `given` has the environment and `.env.gateway`, by names in lower case. A secret that is given twice is an error.
    """

    def __init__(self, settings: type[BaseSettings], given: Mapping[str, str | None]) -> None:
        super().__init__(settings)
        self._given = given

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return a secret from its file, or what is wrong with the file; None where no file is named."""
        path = self._given.get(f"{field_name}{SUFFIX}".lower())
        name = f"{field_name}{SUFFIX}".upper()
        if not path or not is_secret(field):
            return None, field_name, False
        if self._given.get(field_name.lower()):
            return UnusableFile(f"{field_name.upper()} and {name}: set one of them, not both"), field_name, False
        return read_secret(name, path), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the secrets that come from files."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}
