"""A task continues the trace that its process carries, or begins one."""

from __future__ import annotations

import pytest

from bridge.domain.task import TypedValue
from bridge.domain.trace_context import VARIABLE, trace_id, trace_of

ID = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{ID}-b7ad6b7169203331-01"

UNUSABLE = [
    "",
    "00",
    f"{GIVEN}\n",
    f" {GIVEN}",
    f"{GIVEN}-x",
    GIVEN.upper(),
    GIVEN.replace(ID, "0" * 32),
    GIVEN.replace("b7ad6b7169203331", "0" * 16),
    f"ff{GIVEN[2:]}",
]


def test_a_processs_trace_is_continued() -> None:
    assert trace_of({VARIABLE: TypedValue("String", GIVEN)}) == GIVEN
    assert trace_id(GIVEN) == ID


@pytest.mark.parametrize("value", [*UNUSABLE, None, 7, {"a": 1}])
def test_what_is_no_trace_is_replaced_by_a_new_one(value: object) -> None:
    found = trace_of({VARIABLE: TypedValue("String", value)})
    assert found != value
    assert trace_id(found) is not None


def test_each_task_without_a_trace_begins_its_own() -> None:
    ids = {trace_id(trace_of({})) for _ in range(100)}
    assert len(ids) == 100
    assert None not in ids


@pytest.mark.parametrize("text", [None, *UNUSABLE])
def test_what_is_no_trace_has_no_id(text: str | None) -> None:
    assert trace_id(text) is None
