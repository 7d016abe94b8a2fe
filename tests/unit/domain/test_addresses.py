"""No part of a password is told where an address of the settings can't be used."""

from __future__ import annotations

import io
import logging
import traceback

import pytest
from opentelemetry.util.re import parse_env_headers
from typer.testing import CliRunner

from bridge.adapters.logging.journal import configure_logging
from bridge.adapters.mongo.access import MongoAccessStore
from bridge.domain.errors import SetupError
from gateway.cli.main import app
from gateway.settings import read_settings

RAW = [f"pl4in{sign}c4nary{more}" for sign in "/#?@[]%: " for more in ("", "/x", "@x", "12")]
NUMBER = ["123/c4nary", "5672/c4nary", "1?c4nary", "1#c4nary"]
"""What comes before the sign is taken for a port."""


@pytest.mark.parametrize("password", [*RAW, *NUMBER])
@pytest.mark.parametrize("name", ["rabbitmq_url", "camunda_url"])
def test_a_password_with_raw_signs_is_refused_or_understood(name: str, password: str) -> None:
    scheme = {"rabbitmq_url": "amqp", "camunda_url": "http"}[name]
    url = f"{scheme}://user:{password}@host:5672/"
    if not set("/?#[]") & set(password):
        assert read_settings(**{name: url})
        return
    with pytest.raises(SetupError, match=f"^settings can't be used: {name.upper()}: .*percent-encode") as caught:
        read_settings(**{name: url})
    told = "".join(traceback.format_exception(caught.value))
    assert "pl4in" not in told
    assert "c4nary" not in told


@pytest.mark.parametrize(
    "url",
    ["amqp://host", "amqps://u:p%2F%40@host:5671/vhost", "amqp://u:p@[::1]:5672/%2F?heartbeat=3", "amqp://u:a@b@host/"],
)
def test_a_good_address_is_taken(url: str) -> None:
    settings = read_settings(rabbitmq_url=url)
    assert settings.rabbitmq_url.get_secret_value() == url


@pytest.mark.parametrize("password", [*RAW, *NUMBER])
@pytest.mark.parametrize("end", ["host:27017/", "host:27017/?replicaSet=rs", "h1:1,h2:2/db", "host:no/"])
async def test_a_connection_string_is_refused_without_its_password(password: str, end: str) -> None:
    store = MongoAccessStore(f"mongodb://user:{password}@{end}", "test")
    told = ""
    try:
        await store._connect().close()
    except SetupError as error:
        told = f"{error}\n" + "".join(traceback.format_exception(error))
    assert told == "" or told.startswith("MONGODB_URI can't be used: ")
    assert "pl4in" not in told
    assert "c4nary" not in told


async def test_what_is_wrong_beside_the_password_is_told() -> None:
    with pytest.raises(SetupError, match="Port"):
        MongoAccessStore("mongodb://user:c4nary@host:no/", "test")._connect()


@pytest.mark.parametrize("command", [["serve"], ["worker"], ["doctor"], ["topics", "list"], ["users", "list"]])
def test_a_command_tells_it_in_a_line(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_URL", "amqp://user:123/c4nary@host:5672/")
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 2
    assert ended.output.startswith("gateway: settings can't be used: RABBITMQ_URL: ")
    assert ended.output.count("\n") == 1
    assert "c4nary" not in ended.output
    assert "123" not in ended.output


@pytest.mark.parametrize("header", ["api-key c4nary", "bad name=c4nary", "x=\\c4nary", "c4nary"])
def test_headers_that_opentelemetry_can_not_read_are_not_told(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    root = logging.getLogger()
    before = root.handlers[:]
    try:
        configure_logging(level="WARNING", json=True)
        parse_env_headers(header, liberal=True)
    finally:
        root.handlers[:] = before
    assert "Header format invalid" in written.getvalue()
    assert "c4nary" not in written.getvalue()
