"""Secrets that are read from the files that `NAME_FILE` names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.domain.errors import SetupError
from gateway.secret_files import is_secret
from gateway.settings import Settings, read_settings

SECRETS = sorted(name for name, field in Settings.model_fields.items() if is_secret(field))


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower().removesuffix("_file") in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def kept(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_every_address_and_every_secret_is_known_as_one() -> None:
    assert {"mongodb_uri", "rabbitmq_url", "camunda_password", "camunda_token", "oidc_client_secret"} <= set(SECRETS)
    spoken = {"password", "secret", "token", "uri"}
    assert [n for n in Settings.model_fields if n.rpartition("_")[2] in spoken and n not in SECRETS] == []


@pytest.mark.parametrize("name", SECRETS)
def test_each_secret_may_come_from_a_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    value = {"mongodb_uri": "mongodb://u:p%40ss@store/", "rabbitmq_url": "amqp://u:p%40ss@broker/"}.get(name, "pä ss#1")
    monkeypatch.setenv(f"{name.upper()}_FILE", kept(tmp_path / "secret", f"{value}\n".encode()))
    if name == "gateway_admin_password":
        monkeypatch.setenv("GATEWAY_ADMIN_USER", "ada")
    assert getattr(read_settings(), name).get_secret_value() == value


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"a\n", "a"), (b"a\r\n", "a"), (b"a", "a"), (b" a \n", " a "), (b"a\n\n", "a\n")],
)
def test_only_the_newline_at_the_end_is_left_out(
    content: bytes, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAMUNDA_TOKEN_FILE", kept(tmp_path / "token", content))
    token = read_settings().camunda_token
    assert token is not None
    assert token.get_secret_value() == value


def test_the_file_may_be_named_in_the_settings_file(tmp_path: Path) -> None:
    file = kept(tmp_path / "token", b"from a file\n")
    (tmp_path / ".env.gateway").write_text(f"CAMUNDA_TOKEN_FILE={file}\nCAMUNDA_TOKEN=\n", encoding="utf-8")
    token = read_settings().camunda_token
    assert token is not None
    assert token.get_secret_value() == "from a file"


@pytest.mark.parametrize("place", ["environment", "settings file"])
def test_a_secret_that_is_given_twice_stops_the_start(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAMUNDA_TOKEN_FILE", kept(tmp_path / "token", b"first"))
    if place == "environment":
        monkeypatch.setenv("CAMUNDA_TOKEN", "second")
    else:
        (tmp_path / ".env.gateway").write_text("CAMUNDA_TOKEN=second\n", encoding="utf-8")
    with pytest.raises(SetupError, match="CAMUNDA_TOKEN and CAMUNDA_TOKEN_FILE: set one of them, not both") as raised:
        read_settings()
    assert "first" not in str(raised.value)
    assert "second" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"s3cret\xff", "is no text in UTF-8"),
        (b"s3cret" * 20_000, "has more than 100000 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_without_its_content(
    content: bytes | None, fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "uri"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("MONGODB_URI_FILE", str(path))
    monkeypatch.setenv("CAMUNDA_TOKEN_FILE", str(tmp_path))
    with pytest.raises(SetupError) as raised:
        read_settings()
    assert f"MONGODB_URI_FILE: {path}" in str(raised.value)
    assert fault in str(raised.value)
    assert f"CAMUNDA_TOKEN_FILE: {tmp_path} can't be read: Is a directory" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_an_address_from_a_file_is_checked_as_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RABBITMQ_URL_FILE", kept(tmp_path / "url", b"http://u:s3cret@broker/\n"))
    with pytest.raises(SetupError, match=r"RABBITMQ_URL: .*must start with amqp://") as raised:
        read_settings()
    assert "s3cret" not in str(raised.value)


def test_the_manual_lists_every_file() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in SECRETS if f"{name.upper()}_FILE" not in manual] == []
