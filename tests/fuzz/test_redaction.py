"""What must not be shown isn't, wherever it stands."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

from hypothesis import strategies as st

from bridge.domain.redaction import MASK, is_secret, mask, mask_start, mask_text
from tests.fuzz import strangers
from tests.fuzz.examples import fuzzed

CANARY: Final = "q7Zk2canary9"
keys: Final = st.sampled_from(
    ["password", "Password", "db_password", "apiKey", "api-key", "client_secret", "authorization", "Set-Cookie",
     "token", "accessToken", "cpf", "cvv", "otp", "pin", "jwt", "passwd", "senha", "private_key"]
)  # fmt: skip
plain_keys: Final = st.sampled_from(["a", "items", "order", "é", "0", "engine"])
quiet: Final = st.text(st.characters(codec="utf-8", exclude_characters="\"'\\"), max_size=30)


def _within(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    others = strangers.scalars.filter(lambda value: CANARY not in str(value))
    return st.one_of(
        st.tuples(plain_keys, inner, others).map(lambda drawn: {drawn[0]: drawn[1], "z": drawn[2]}),
        st.tuples(others, inner).map(list),
        st.tuples(inner, others),
    )


secret_places: Final = st.recursive(
    st.tuples(keys, st.sampled_from([CANARY, [CANARY], {"deep": CANARY}, {"deep": [{"er": CANARY}]}])).map(
        lambda drawn: {drawn[0]: drawn[1]}
    ),
    _within,
    max_leaves=6,
)
FORMS: Final = (
    '{{"{key}": "{value}"}}', "{{'{key}': '{value}'}}", "{key}={value}", "{key}: {value}", "?{key}={value}&a=1",
    "<{key}>{value}</{key}>", '{{\\"{key}\\": \\"{value}\\"}}', "--{key} {value}", "--{key}={value}",
)  # fmt: skip


@fuzzed(secret_places)
def test_no_secret_is_left_in_what_is_masked(given: Any) -> None:
    assert CANARY not in repr(mask(None, given))


@fuzzed(secret_places)
def test_no_secret_is_left_in_json(given: Any) -> None:
    for text in (json.dumps(given), json.dumps(given, indent=1), json.dumps(given, ensure_ascii=False)):
        assert CANARY not in mask_text(text), text


@fuzzed(quiet, keys, st.sampled_from(FORMS), quiet)
def test_no_secret_is_left_in_a_text(before: str, key: str, form: str, after: str) -> None:
    text = f"{before} {form.format(key=key, value=CANARY)} {after}"
    assert CANARY not in mask_text(text), text


@fuzzed(quiet, st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), quiet)
def test_no_password_is_left_in_an_address(before: str, user: str, after: str) -> None:
    text = f"{before} amqp://{quote(user, safe='')}:{CANARY}@host:5672/ {after}"
    assert CANARY not in mask_text(text), text


@fuzzed(
    strangers.texts
    | st.lists(keys | strangers.texts | st.sampled_from(list("=:\"'{}[]\\ <>&-")), max_size=12).map("".join)
)
def test_any_text_is_masked_and_masked_again_stays(text: str) -> None:
    masked = mask_text(text)
    assert mask_text(masked).count(MASK) >= min(1, masked.count(MASK))
    assert len(mask_start(text, 10)) <= 10 + len(MASK)


@fuzzed(strangers.texts, strangers.values)
def test_any_value_is_masked(key: str, value: Any) -> None:
    masked = mask(key, value)
    if is_secret(key) and value is not None and not isinstance(value, bool):
        assert masked == MASK
