"""Values of variables are taken out of the text that quotes them."""

from __future__ import annotations

import json

import pytest

from bridge.domain.quoted_values import MOST_LOOKED, without_values
from bridge.domain.task import TypedValue

VARIABLES = {
    "name": TypedValue("String", "canary bird"),
    "short": TypedValue("String", "no"),
    "number": TypedValue("Long", 123456789),
    "flag": TypedValue("Boolean", True),
    "lines": TypedValue("String", "first\nsecond 'one'"),
    "order": TypedValue("Json", '{"lines": [{"card": "4111111111111111"}], "none": null}'),
    "object": TypedValue("Object", {"deep": ["feather"]}),
    "broken": TypedValue("Json", "{not json"),
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bad name: canary bird", "bad name: ***"),
        ("KeyError('canary bird')", "KeyError('***')"),
        ("no, true and 1234 stay", "no, true and 1234 stay"),
        ("number 123456789.", "number ***."),
        ("card 4111111111111111 of feather", "card *** of ***"),
        (repr("first\nsecond 'one'"), '"***"'),
        ("{not json", "***"),
    ],
)
def test_a_value_is_replaced(text: str, shown: str) -> None:
    assert without_values(text, VARIABLES) == shown


def test_a_value_that_is_part_of_another_leaves_nothing_of_it() -> None:
    given = {"a": TypedValue("String", "canary"), "b": TypedValue("String", "canary bird")}
    assert without_values("the canary bird", given) == "the ***"


def test_a_long_text_is_cut_before_it_is_looked_through() -> None:
    many = {"many": TypedValue("Json", json.dumps([f"canary{number:04}" for number in range(1_900)]))}
    text = "".join(f"canary{number % 1_900:04} " for number in range(50_000))
    shown = without_values(text, many)
    assert len(shown) < MOST_LOOKED // 1_900
    assert "canary" not in shown
    assert shown.endswith("…")


def test_however_many_values_there_are_the_beginning_of_a_text_is_kept() -> None:
    many = {f"v{name}": TypedValue("Json", json.dumps([f"c{name}n{n:05}" for n in range(1_900)])) for name in range(60)}
    shown = without_values("the bank refused it: " + "c1n00017 and so on, " * 100, many)
    assert shown.startswith("the bank refused it: *** and so on")
