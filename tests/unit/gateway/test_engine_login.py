"""What the settings say of the engine's login, and which of them go together."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import SecretStr

from bridge.adapters.camunda.login import parse_headers
from bridge.adapters.camunda.oauth import ClientCredentials
from bridge.domain.errors import SetupError
from bridge.domain.messages import Message
from gateway.engine_login import engine_login
from gateway.settings import Settings, read_settings

OAUTH = {
    "camunda_oauth_token_url": "https://login.example.com/token",
    "camunda_oauth_client_id": "gateway",
    "camunda_oauth_client_secret": "s3cret",
}


def unheard(why: Message) -> None:
    raise AssertionError(why)


def test_without_settings_there_is_no_login() -> None:
    login = engine_login(Settings(_env_file=None), unheard)
    assert (login.credentials, login.tokens, login.headers) == (None, None, {})


def test_oauth_and_headers_of_ones_own() -> None:
    settings = read_settings(**OAUTH, camunda_oauth_scope="a b", camunda_headers="X-Api-Key=k3y==, X-Team = a b ")
    login = engine_login(settings, unheard)
    assert isinstance(login.tokens, ClientCredentials)
    assert login.credentials is None
    assert login.headers == {"X-Api-Key": "k3y==", "X-Team": "a b"}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {**OAUTH, "camunda_oauth_client_secret": None},
            "needs CAMUNDA_OAUTH_CLIENT_ID and CAMUNDA_OAUTH_CLIENT_SECRET",
        ),
        (
            {**OAUTH, "camunda_oauth_token_url": None},
            "CAMUNDA_OAUTH_CLIENT_ID, CAMUNDA_OAUTH_CLIENT_SECRET: .* missing",
        ),
        ({"camunda_oauth_scope": "x"}, "CAMUNDA_OAUTH_SCOPE: CAMUNDA_OAUTH_TOKEN_URL is missing"),
        ({**OAUTH, "camunda_token": "s3cret"}, "set one kind, not both"),
        ({**OAUTH, "camunda_username": "u", "camunda_password": "s3cret"}, "set one kind, not both"),
        ({**OAUTH, "camunda_headers": "authorization=s3cret"}, "has Authorization, which another setting"),
        ({"camunda_token": "a", "camunda_headers": "Authorization=s3cret"}, "has Authorization, which another setting"),
        ({"camunda_oauth_token_url": "login.example.com"}, "CAMUNDA_OAUTH_TOKEN_URL: .*must start with http"),
        ({"camunda_oauth_token_url": "https://u:s3cret@login/"}, "CAMUNDA_OAUTH_TOKEN_URL: .*credentials in it"),
        ({**OAUTH, "camunda_oauth_client_authentication": "jwt"}, "CAMUNDA_OAUTH_CLIENT_AUTHENTICATION"),
    ],
)
def test_what_does_not_go_together_is_told(given: dict[str, str | None], text: str) -> None:
    with pytest.raises(SetupError, match=text) as raised:
        engine_login(read_settings(**given), unheard)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        (None, {}),
        (" ", {}),
        ("A=1,", {"A": "1"}),
        ("A=1=2,B=", {"A": "1=2", "B": ""}),
        ('{"A": "1, 2", "Authorization": "Api x"}', {"A": "1, 2", "Authorization": "Api x"}),
    ],
)
def test_headers_that_are_taken(text: str | None, headers: dict[str, str]) -> None:
    assert parse_headers(None if text is None else SecretStr(text)) == headers


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("s3cret value", "entry 1 has no header's name"),
        ("A=1, X Y=s3cret", "entry 2 has no header's name"),
        ("Content-Type=s3cret", "Content-Type is set by the gateway itself"),
        ("traceparent=s3cret", "traceparent is set by the gateway itself"),
        ("A=1,a=s3cret", "a is there twice"),
        ("A=s3crét", "the value of A has characters"),
        ('{"A": "s3cret\\n"}', "the value of A has characters"),
        ('{"A": 1}', "each value of the JSON object must be a text"),
        ('{"A": s3cret', "is no JSON object"),
    ],
)
def test_headers_that_are_none_are_told_without_their_values(text: str, fault: str) -> None:
    with pytest.raises(SetupError, match=fault) as raised:
        parse_headers(SecretStr(text))
    assert "s3cret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_process_without_company_logins_does_not_know_their_library() -> None:
    names = {"authlib", "joserfc", "httpx2"}
    code = f"import sys, gateway.cli.serve; print(sorted({names} & sys.modules.keys()))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
