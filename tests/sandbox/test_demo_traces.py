"""The demo's look at the traces: nothing where each is whole, and each planted gap."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.demo.checks import Observed
from sandbox.demo.engine import LogKind
from sandbox.demo.samples import End
from sandbox.demo.traces import problems_of
from tests.sandbox.test_demo_checks import all_well, place_of

OPERATIONS = {LogKind.SUCCESS: "complete", LogKind.FAILURE: "fail", LogKind.DELETION: "bpmn_error"}


def span(name: str, number: int, parent: int | None = 0) -> dict[str, Any]:
    references = [] if parent is None else [{"refType": "CHILD_OF", "spanID": str(parent)}]
    return {"operationName": name, "spanID": str(number), "references": references}


def spans_of(seen: Observed) -> list[dict[str, Any]]:
    topic = "say_hello" if seen.instance.process == "saudacao" else "nova_publicacao"
    reports = [name for kind, name in OPERATIONS.items() for _ in seen.entries(kind)]
    names = [*(f"process {topic}" for _ in reports), *reports]
    return [span(f"task {topic}", 0, None), *(span(name, number) for number, name in enumerate(names, 1))]


def test_whole_traces_of_every_end_have_no_problem() -> None:
    for seen in all_well():
        assert list(problems_of(seen, spans_of(seen))) == []


def test_no_trace_is_told_as_that() -> None:
    assert list(problems_of(all_well()[0], [])) == ["is not there"]


@pytest.mark.parametrize("end", End)
def test_each_span_that_is_missing_is_told(end: End) -> None:
    seen = all_well()[place_of(end)]
    spans = spans_of(seen)
    for left_out in spans[1:]:
        (problem,) = problems_of(seen, [each for each in spans if each is not left_out])
        assert left_out["operationName"] in problem


def test_a_span_under_none_of_the_trace_is_told() -> None:
    seen = all_well()[0]
    assert list(problems_of(seen, [*spans_of(seen), span("charge", 99, parent=77)])) == [
        "has 1 spans whose parent is missing"
    ]
