"""What a handler asks for is checked in the line in which it asks."""

from __future__ import annotations

import math
from datetime import timedelta
from enum import Enum, StrEnum
from typing import Any

import pytest

from bridge.topic import BpmnError, Retry


class Code(Enum):
    REFUSED = "refused"


class Text(StrEnum):
    REFUSED = "refused"


@pytest.mark.parametrize(
    ("after", "delay"),
    [
        (None, None),
        (0, timedelta(0)),
        (5, timedelta(seconds=5)),
        (0.25, timedelta(milliseconds=250)),
        (timedelta(minutes=1), timedelta(minutes=1)),
        (-5, timedelta(0)),
        (-1e300, timedelta(0)),
        (timedelta.min, timedelta(0)),
        (366 * 86_400, timedelta(days=366)),
    ],
)
def test_a_delay_that_is_past_is_now(after: Any, delay: timedelta | None) -> None:
    assert Retry("later", after=after).after == delay


@pytest.mark.parametrize(
    ("after", "error", "says"),
    [
        (math.nan, ValueError, "nan"),
        (math.inf, ValueError, "inf"),
        (-math.inf, ValueError, "inf"),
        (400 * 86_400, ValueError, "more than a year"),
        (10**400, ValueError, "more than a year"),
        (timedelta(days=400), ValueError, "more than a year"),
        (True, TypeError, "bool"),
        ("5", TypeError, "str"),
    ],
)
def test_a_delay_that_is_none_is_refused(after: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Retry("later", after=after)


@pytest.mark.parametrize(
    ("code", "text"),
    [("x", "x"), (404, "404"), (Code.REFUSED, "refused"), (Text.REFUSED, "refused"), ("a\ud800", "a?")],
)
def test_a_code_and_a_message_become_text(code: Any, text: str) -> None:
    error = BpmnError(code, code)
    assert (error.code, error.message, str(error)) == (text, text, text)
    assert type(error.code) is str
    assert str(BpmnError(code)) == text
    assert str(Retry(code)) == text


@pytest.mark.parametrize("code", [None, "", " "])
def test_a_bpmn_error_has_a_code(code: Any) -> None:
    with pytest.raises(ValueError, match="no code"):
        BpmnError(code)
