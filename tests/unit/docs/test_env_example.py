"""`.env.gateway.example` explains every setting, at its default, and names no other."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.settings import Settings

EXAMPLE = Path(__file__).parents[3] / ".env.gateway.example"
LINES = EXAMPLE.read_text(encoding="utf-8").splitlines()
SHOWN = re.compile(r"#?([A-Z][A-Z0-9_]*)=(.*)")
OLDER = [
    "PORT",
    "DEBUG",
    "MONGODB_URI",
    "MONGODB_DATABASE",
    "RABBITMQ_URL",
    "RABBITMQ_EXCHANGE",
    "TASK_TIMEOUT",
    "TASK_RETRY_LIMIT",
    "LOG_LEVEL",
]

ENTRIES = [(match[1], match[2]) for line in LINES if (match := SHOWN.fullmatch(line))]
FIELDS = {name.upper(): field for name, field in Settings.model_fields.items()}


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper() in FIELDS]:
        monkeypatch.delenv(name)


def default_of(name: str) -> Any:
    return FIELDS[name].get_default(call_default_factory=True)


def as_line(name: str) -> str:
    """Return the line that shows a setting's default."""
    default = default_of(name)
    plain = default.get_secret_value() if isinstance(default, SecretStr) else default
    if plain is None:
        return f"#{name}="
    return f"#{name}={str(plain).lower() if isinstance(plain, bool) else plain}"


def test_every_setting_is_there() -> None:
    missing = sorted(FIELDS.keys() - dict(ENTRIES).keys())
    wanted = "\n\n".join(f"# What it does, its unit, when to change it.\n{as_line(name)}" for name in missing)
    assert not missing, f"add to .env.gateway.example, in the group where it belongs:\n\n{wanted}"


def test_nothing_else_is_there() -> None:
    unknown = sorted(dict(ENTRIES).keys() - FIELDS.keys())
    assert not unknown, f"gateway/settings.py has no {', '.join(unknown)}: take it out of .env.gateway.example"


def test_each_is_shown_once() -> None:
    assert [name for name, times in Counter(name for name, _ in ENTRIES).items() if times > 1] == []


def test_the_names_of_the_older_gateway_come_first() -> None:
    assert [name for name, _ in ENTRIES][: len(OLDER)] == OLDER


@pytest.mark.parametrize("name", [name for name, _ in ENTRIES])
def test_each_is_explained_right_above(name: str) -> None:
    place = next(number for number, line in enumerate(LINES) if (m := SHOWN.fullmatch(line)) and m[1] == name)
    assert re.fullmatch(r"# \S.*", LINES[place - 1]), f"say in the line above {name} what it does"


@pytest.mark.parametrize(("name", "value"), [entry for entry in ENTRIES if entry[0] in FIELDS])
def test_the_value_shown_is_the_default(name: str, value: str, tmp_path: Path) -> None:
    expected = default_of(name)
    file = tmp_path / "env"
    file.write_text(f"{name}={value}\n", encoding="utf-8")
    read = getattr(Settings(_env_file=file), name.lower())
    # An empty value is read as none, and so it would pass for any default.
    assert (read, value == "") == (expected, expected is None), f"write {as_line(name)}"


def test_a_copy_of_the_file_changes_nothing() -> None:
    assert Settings(_env_file=EXAMPLE) == Settings(_env_file=None)
