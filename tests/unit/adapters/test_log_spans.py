"""A line that is written while a span is current names it, whoever writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from opentelemetry import context as otel
from opentelemetry.trace import NonRecordingSpan
from opentelemetry.trace.propagation import set_span_in_context

from bridge.adapters.logging.lines import Lines
from bridge.adapters.telemetry.spans import span_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def current() -> Iterator[None]:
    token = otel.attach(set_span_in_context(NonRecordingSpan(span_context(TRACE, SPAN, True))))
    yield
    otel.detach(token)


def line(**values: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(Lines(as_json=True).line("shop", "info", {"event": "charged", **values}))
    return found


def test_without_a_span_there_is_none() -> None:
    assert not {"trace_id", "span_id"} & line().keys()


@pytest.mark.usefixtures("current")
def test_the_current_span_is_named() -> None:
    assert (line()["trace_id"], line()["span_id"]) == (TRACE, SPAN)
    assert line(trace_id=TRACE)["span_id"] == SPAN


@pytest.mark.usefixtures("current")
def test_a_line_of_another_trace_is_left_as_it_is() -> None:
    found = line(trace_id="f" * 32)
    assert found["trace_id"] == "f" * 32
    assert "span_id" not in found
