"""What a reader of logs and pages must not see."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from bridge.domain import secret_text
from bridge.domain.redaction import MASK, is_secret, mask, mask_start, mask_text
from bridge.domain.secret_keys import SHORT_WORDS, WORDS
from bridge.domain.secret_text import HINTS, REACH
from bridge.domain.task import TypedValue
from gateway.settings import Settings

CANARY = "c4nary-S3cret"
_SECRET = (SecretStr, SecretStr | None)


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "DB_PASSWORD",
        "camundaPassword2",
        "secret",
        "client-secret",
        "access_token",
        "Authorization",
        "apiKey",
        "X-API-Key",
        "api key",
        "Set-Cookie",
        "credentials",
        "private_key",
        "senha",
        "auth_bearer",
        "cpf",
        "nrCpf",
        "cpf_cliente",
        "RG",
        "userPIN",
        "otp2",
        "card-cvv",
        "x-auth",
        "jwt",
    ],
)
def test_a_secret_is_known_by_its_key(key: str) -> None:
    assert is_secret(key)
    assert mask(key, CANARY) == MASK
    assert mask(key, [CANARY]) == MASK
    assert CANARY not in str(mask(None, {"a": [{"b": ({key: {"c": CANARY}},)}]}))


@pytest.mark.parametrize(
    "key",
    [
        "author",
        "key",
        "business_key",
        "idempotency_key",
        "task_id",
        "state",
        "api",
        "shipping",
        "target",
        "cpfs",
        "hotplate",
    ],
)
def test_what_only_looks_alike_is_shown(key: str) -> None:
    assert not is_secret(key)
    assert mask(key, CANARY) == CANARY


def test_a_topic_names_further_keys() -> None:
    assert is_secret("taxNumber", {"tax_number"})
    assert not is_secret("taxNumbers", {"tax_number"})
    assert mask(None, {"tax_number": CANARY, "name": "x"}, {"taxNumber"}) == {"tax_number": MASK, "name": "x"}
    assert CANARY not in mask_text(f'{{"tax_number": "{CANARY}"}}', {"tax_number"})


def test_none_and_booleans_tell_no_secret() -> None:
    assert mask(None, {"password": None, "has_token": True, "pwd": 1234}) == {
        "password": None,
        "has_token": True,
        "pwd": MASK,
    }


def test_a_variable_keeps_its_type() -> None:
    given_variables = {
        "api_key": TypedValue("Object", CANARY, {"objectTypeName": CANARY}),
        "order": TypedValue("Json", json.dumps({"items": [{"password": CANARY, "n": 1}]})),
        "parsed": TypedValue("Json", {"token": CANARY, "n": 1}),
        "plain": TypedValue("String", "x"),
    }
    assert mask(None, given_variables) == {
        "api_key": TypedValue("Object", MASK, {}),
        "order": TypedValue("Json", json.dumps({"items": [{"password": MASK, "n": 1}]})),
        "parsed": TypedValue("Json", {"token": MASK, "n": 1}),
        "plain": TypedValue("String", "x"),
    }
    assert given_variables["api_key"].value == CANARY


def test_what_lies_too_deep_is_masked_whole() -> None:
    deep: Any = CANARY
    for _ in range(200):
        deep = {"a": deep}
    assert CANARY not in str(mask(None, deep))
    circle: list[Any] = []
    circle.append(circle)
    assert MASK in str(mask(None, circle))


@pytest.mark.parametrize(
    "text",
    [
        f"amqp://guest:{CANARY}@rabbit:5672/",
        f"mongodb://user:{CANARY}@h1:27017,h2:27017/db?replicaSet=rs",
        f"mongodb+srv://user:{CANARY}/x@y@h/",
        f"a https://corp@me:{CANARY}@h and http://h:8080/x",
        f"http://h:8080/,amqp://u:{CANARY}@h",
        f"amqp://:{CANARY}@h",
        f"Authorization: Bearer {CANARY}",
        f"Authorization: Basic {CANARY}==",
        f"sent bearer {CANARY} to it",
        f"Cookie: a=b; session={CANARY}",
        f"POST /x?api_key={CANARY}&b=c",
        f"password={CANARY}",
        f"password = '{CANARY}', x",
        f"{{'auth_basic': {{'username': 'a', 'password': 'it\\'s {CANARY}'}}}}",
        f"{{'auth_bearer': {{'x': ['}}', '{CANARY}'], 'y': \"{CANARY}\"}}, 'z': 1}}",
        json.dumps({"credentials": {"a": {"b": CANARY}, "c": ['"', CANARY]}}),
        json.dumps({"body": json.dumps({"client_secret": f'a"{CANARY}'})}),
        json.dumps({"body": json.dumps({"body": json.dumps({"client_secret": CANARY})})}),
        f"x-api-key: {CANARY}\r\nhost: x",
        f"secret => {CANARY}",
        f"token=(1, '{CANARY}'",
        f'{{"cpf": "{CANARY}"}}',
        f"nr_cpf={CANARY}&x=1",
        f"userPin: {CANARY}",
        f"<password>{CANARY}</password>",
        f'<wsse:Password Type="x">{CANARY}</wsse:Password>',
        f"<credentials><user>a</user><x>{CANARY}</x></credentials>",
        f"<a/><secret>{CANARY} </b>",
        f"gateway --password {CANARY}",
        f"run --api-key '{CANARY} {CANARY}' -v",
        f"['run', '--client-secret', '{CANARY}']",
        f"mysqldump -p{CANARY} db",
        f"mongosh --host h -p {CANARY}",
        f"curl -u user:{CANARY} http://h",
        "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjNG5hcnktUzNjcmV0In0.c4nary-S3cret",
    ],
)
def test_a_secret_in_text_is_masked(text: str) -> None:
    shown = mask_text(text)
    assert CANARY not in shown
    assert MASK in shown
    assert mask_text(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "loop poll failed: connection refused",
        "http://camunda:8080/engine-rest/task?user=a@b",
        "mongodb://h1:27017,h2:27017/?replicaSet=rs",
        "mongodb://user@host/",
        "basic authentication is off; a key = value",
        '{"name": "x", "items": [1, 2]}',
        "reach the gateway by http, set INSECURE_COOKIES=true.",
        "everybody may read: AUTH=required asks for a key; AUTH=open doesn't",
        "serve https, and set INSECURE_COOKIES=false",
        "shipping: 3, target=x, author: me, charge = 5",
        "<a><b>x</b></a> <password/>",
        "cp -p file --token",
        "run --verbose x -p 80:80",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert mask_text(text) == text


def test_what_surrounds_a_secret_stays() -> None:
    assert mask_text(f"amqp://guest:{CANARY}@rabbit:5672/ is away") == f"amqp://guest:{MASK}@rabbit:5672/ is away"
    assert mask_text("amqp://guest:12345@rabbit") == f"amqp://guest:{MASK}@rabbit"
    assert mask_text(f"{{'token': '{CANARY}', 'n': 1}}") == f"{{'token': '{MASK}', 'n': 1}}"
    assert mask_text(f"(password={CANARY}), retried") == f"(password={MASK}), retried"


def test_a_hint_names_no_secret_of_another() -> None:
    assert mask_text(f"INSECURE_COOKIES={CANARY}") == f"INSECURE_COOKIES={MASK}"
    assert mask_text("MY_AUTH=open") == f"MY_AUTH={MASK}"


def test_the_settings_that_are_no_secrets_can_be_told() -> None:
    told = {name.upper() for name, field in Settings.model_fields.items() if field.annotation not in _SECRET}
    assert {name for name in told if mask_text(f"{name}=x") != f"{name}=x"} == set(HINTS)
    secret = {name.upper() for name, field in Settings.model_fields.items() if field.annotation in _SECRET}
    urls = {"MONGODB_URI", "RABBITMQ_URL"}  # known by their form
    assert {name for name in secret if CANARY in mask_text(f"{name}={CANARY}")} == urls


def test_an_option_in_a_list_hides_the_argument_after_it() -> None:
    assert mask(None, ["run", "--password", CANARY, "-v"]) == ["run", "--password", MASK, "-v"]
    assert mask(None, ("--password=x", "y")) == (f"--password={MASK}", "y")


@pytest.mark.parametrize("fill", ["x" * 30, "x " * 15, "x" * 9_000])
def test_what_is_cut_is_masked_before(fill: str) -> None:
    """However the cut falls, no part of the secret is shown."""
    for before in range(0, 40):
        for form in (f"amqp://u:{CANARY}@h ", f"password={CANARY} ", f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.x "):
            shown = mask_start("y " * before + form + fill * 2, 60)
            assert not any(CANARY[at : at + 4] in shown for at in range(len(CANARY) - 3))
            assert len(shown) <= 60


@pytest.mark.parametrize("form", [f"amqp://u:{CANARY}@h ", f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.x "])
def test_no_secret_that_the_reach_ends_within_is_shown(form: str) -> None:
    for before in range(60 + REACH - 60, 60 + REACH + 10):
        assert "c4na" not in mask_start("token=" + "y" * (before - 7) + " " + form + "z" * 99, 60)


def test_what_comes_far_behind_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def watched(text: str, _also: object) -> str:
        looked.append(len(text))
        return text

    monkeypatch.setattr(secret_text, "mask_text", watched)
    mask_start("a" * 10_000_000, 20_000)
    assert looked == [20_000 + REACH]


@given(st.sampled_from([*WORDS, *SHORT_WORDS]), st.sampled_from([str, str.upper, str.capitalize]), st.booleans())
def test_the_quick_look_misses_no_key(word: str, cased: Callable[[str], str], after: bool) -> None:
    key = ("my_" if after else "my" if cased is str.capitalize else "") + cased(word)
    assert is_secret(key)
    assert CANARY not in mask_text(f"x {key}={CANARY}")


def test_what_pydantic_quotes_is_masked() -> None:
    class Order(BaseModel):
        amount: int
        name: str

    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"amount": CANARY, "name": {"deep": f"{CANARY}, input_value=1"}})
    shown = mask_text(str(caught.value))
    assert CANARY not in shown
    assert "amount" in shown
    assert "input_type=str" in shown


@given(st.text(alphabet="abcxyz0189!$'()*+,;=._~-%", min_size=4), st.text(alphabet="abc@:", max_size=5))
def test_any_password_of_an_address_is_masked(password: str, user: str) -> None:
    planted = f"Zq{password}qZ"
    assert planted not in mask_text(f"amqp://{user}:{planted}@host:5672/vhost")


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_a_secret_in_json_text_is_masked_and_the_text_stays_json(value: Any) -> None:
    text = json.dumps({"a": 1, "password": json.dumps(value) + CANARY, "z": 1})
    shown = mask_text(text)
    assert CANARY not in shown
    assert json.loads(shown) == {"a": 1, "password": MASK, "z": 1}
