"""`gateway config`: what is in force, where it comes from, and no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

SECRET = "c4nary"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("MONGODB_URI", "RABBITMQ_URL", "CAMUNDA_URL", "CAMUNDA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def shown(*arguments: str, code: int = 0, **env: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the settings by name, and all that is told."""
    done = CliRunner().invoke(app, ["config", "--json", *arguments], env=env)
    assert done.exit_code == code, done.output
    assert SECRET not in done.output
    told = json.loads(done.stdout)
    return {one["name"]: one for one in told["settings"]}, told


def test_each_setting_has_its_value_and_where_it_is_from(folder: Path) -> None:
    (folder / "password").write_text(SECRET)
    (folder / ".env.gateway").write_text(
        f"RABBITMQ_URL=amqp://guest:{SECRET}@mq:5672/\nPOLL_WAIT=5\nSUPPORTED_TOPICS=a, b\nPOL_WAIT=7\nOTEL_X=y\n"
        "CAMUNDA_PASSWORD_FILE=password\n"
    )
    found, told = shown(POLL_WAIT="3", MONGODB_URI=f"mongodb://me:{SECRET}@db/?tlsCertificateKeyFilePassword={SECRET}")
    assert (found["POLL_WAIT"]["value"], found["POLL_WAIT"]["origin"]) == ("3.0", "environment")
    assert (found["RABBITMQ_URL"]["value"], found["RABBITMQ_URL"]["origin"]) == (
        "amqp://guest:***@mq:5672/",
        ".env.gateway",
    )
    assert found["MONGODB_URI"]["value"].startswith("mongodb://me:***@db/")
    assert found["SUPPORTED_TOPICS"]["value"] == "a,b"
    assert (found["CAMUNDA_PASSWORD"]["value"], found["CAMUNDA_PASSWORD"]["origin"]) == (
        "***",
        "CAMUNDA_PASSWORD_FILE=password (.env.gateway)",
    )
    assert (found["FETCH_SIZE"]["value"], found["FETCH_SIZE"]["origin"]) == ("500", "default")
    assert told["unknown"] == [{"name": "POL_WAIT", "source": ".env.gateway", "meant": "POLL_WAIT"}]
    changed, _ = shown("--changed", POLL_WAIT="3")
    assert "FETCH_SIZE" not in changed


def test_settings_that_can_not_be_used_are_shown_with_the_fault(folder: Path) -> None:
    found, told = shown(
        code=2, TASK_TIMEOUT="soon", RABBITMQ_URL=f"amqp://guest:{SECRET}/x@mq", CAMUNDA_URL=f"http://a:{SECRET}/y@b"
    )
    assert (found["TASK_TIMEOUT"]["value"], found["TASK_TIMEOUT"]["origin"]) == ("soon", "environment")
    assert found["RABBITMQ_URL"]["value"] == "***"
    assert "TASK_TIMEOUT" in told["fault"]


def test_a_file_of_settings_that_can_not_be_read_is_told(folder: Path) -> None:
    (folder / ".env.gateway").write_text(f"CAMUNDA_PASSWORD='{SECRET}\nPOLL_WAIT=5\n")
    _, told = shown(code=2)
    assert "close each quote" in told["fault"]
    found, told = shown(code=2, GATEWAY_ENV_FILE="none.env", POLL_WAIT="3")
    assert "none.env can't be read" in told["fault"]
    assert found["POLL_WAIT"]["value"] == "3"
