"""Which traces are wanted, where they go, and what becomes of spans that nobody takes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

from bridge.adapters.telemetry.export import CountedBatches, exporter_of, ratio_of, samples
from bridge.adapters.telemetry.provider import MOST_HELD, MOST_OF_ONE, SpanSink, provider_for
from bridge.adapters.telemetry.spans import AttemptSpan, Draft, scope_with
from bridge.adapters.telemetry.telemetry import Telemetry, wants_traces
from bridge.domain.errors import SetupError
from bridge.ports.tracer import NoTracer

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317"}


@dataclass
class Collector(SpanExporter):
    """Keeps what it is sent, or refuses it."""

    result: SpanExportResult = SpanExportResult.SUCCESS
    error: Exception | None = None
    spans: list[ReadableSpan] = field(default_factory=list)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.error is not None:
            raise self.error
        self.spans += spans
        return self.result

    def shutdown(self) -> None:
        return


@dataclass
class Sent:
    """A sink with the collector that it sends to, and the count of what nobody will see."""

    collector: Collector = field(default_factory=Collector)
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.sink = SpanSink(CountedBatches(self.collector, self._drop), Resource({}))

    def _drop(self, why: str, spans: int) -> None:
        self.dropped[why] += spans

    @property
    def names(self) -> list[str]:
        self.sink.flush()
        return sorted(span.name for span in self.collector.spans)


def draft(name: str = "a", trace: int = 1) -> Draft:
    return Draft(f"{trace:032x}", f"{trace:016x}", None, name, SpanKind.INTERNAL, 1, {}, end=2)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:4317"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
    ],
)
def test_traces_are_off_until_a_variable_asks_for_them(environment: dict[str, str], wanted: bool) -> None:
    assert wants_traces(environment) is wanted


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        (ENDPOINT, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "opentelemetry.exporter.otlp.proto.http.trace_exporter"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
        ),
    ],
)
def test_the_protocol_is_the_one_that_is_named(environment: dict[str, str], name: str) -> None:
    exporter = exporter_of(environment)
    try:
        assert type(exporter).__mro__[0].__module__ == name
    finally:
        exporter.shutdown()


def test_spans_can_go_to_the_console() -> None:
    assert isinstance(exporter_of({"OTEL_TRACES_EXPORTER": "console"}), ConsoleSpanExporter)


@pytest.mark.parametrize(
    "environment", [{"OTEL_TRACES_EXPORTER": "zipkin"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}]
)
def test_what_can_not_be_done_is_told_at_the_start(environment: dict[str, str]) -> None:
    with pytest.raises(SetupError, match="OTEL_"):
        exporter_of(environment)


@pytest.mark.parametrize(
    ("environment", "ratio"),
    [
        ({}, 0.25),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, 1.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, 0.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, 0.5),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"}, 1.0),
    ],
)
def test_otels_own_sampler_goes_before_ours(environment: dict[str, str], ratio: float) -> None:
    assert ratio_of(environment, 0.25) == ratio


@pytest.mark.parametrize(
    "environment",
    [{"OTEL_TRACES_SAMPLER": "jaeger_remote"}, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"}],
)
def test_a_sampler_that_is_none_is_told(environment: dict[str, str]) -> None:
    with pytest.raises(SetupError, match="OTEL_TRACES_SAMPLER"):
        ratio_of(environment, 1)


def test_a_share_of_traces_is_recorded_by_their_ids() -> None:
    ids = [f"{0:016x}{number << 54:016x}" for number in range(1024)]
    assert [sum(map(samples(ratio), ids)) for ratio in (0.0, 0.25, 1.0)] == [0, 256, 1024]


def test_what_is_not_sampled_is_held_back_until_its_task_fails() -> None:
    sent = Sent()
    sent.sink.put(draft("fails"), sampled=False)
    sent.sink.put(draft("ends well", 2), sampled=False)
    assert sent.names == []
    sent.sink.release(f"{1:032x}")
    sent.sink.put(draft("after that"), sampled=False)
    sent.sink.forget(f"{2:032x}")
    sent.sink.release(f"{2:032x}")
    assert sent.names == ["after that", "fails"]


def test_what_is_held_back_is_bounded() -> None:
    sent = Sent()
    for number in range(MOST_OF_ONE + 5):
        sent.sink.put(draft(f"{number}"), sampled=False)
    for number in range(2, MOST_HELD + 1):
        sent.sink.put(draft("other", number), sampled=False)
    sent.sink.release(f"{1:032x}")
    assert len(sent.names) == MOST_OF_ONE
    sent.sink.put(draft("first", MOST_HELD + 1), sampled=False)
    for number in range(MOST_HELD + 2, 2 * MOST_HELD + 2):
        sent.sink.put(draft("later", number), sampled=False)
    sent.sink.release(f"{MOST_HELD + 1:032x}")
    assert "first" not in sent.names


@pytest.mark.parametrize("collector", [Collector(SpanExportResult.FAILURE), Collector(error=RuntimeError("it broke"))])
def test_what_the_collector_does_not_take_is_counted(collector: Collector) -> None:
    sent = Sent(collector)
    for number in range(3):
        sent.sink.put(draft(f"{number}"), sampled=True)
    sent.sink.flush()
    assert sent.dropped == {"collector": 3}


def test_what_does_not_fit_the_queue_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    sent = Sent()
    sent.sink.close()  # nobody takes any more
    for number in range(10):
        sent.sink.put(draft(f"{number}"), sampled=True)
    assert sent.dropped["queue"] == 6


def test_a_handlers_own_spans_follow_their_task_and_are_masked() -> None:
    sent = Sent()
    tracer = provider_for(sent.sink, 1.0).get_tracer("shop")

    def work() -> None:
        with tracer.start_as_current_span("own") as span:
            span.set_attribute("password", "hunter2")
            raise ValueError("the value is canary")

    for number, sampled in ((1, True), (2, False)):
        hide = lambda text: text.replace("canary", "***")  # noqa: E731
        scope = scope_with(AttemptSpan(draft(trace=number), sampled, hide), hide)
        with pytest.raises(ValueError, match="value"):
            scope.run(work)
    assert sent.names == ["own"]
    sent.sink.release(f"{2:032x}")
    assert sent.names == ["own", "own"]
    text = "".join(span.to_json() for span in sent.collector.spans)
    assert "canary" not in text
    assert "hunter2" not in text
    assert {api.format_span_id(span.parent.span_id) for span in sent.collector.spans if span.parent} == {
        f"{1:016x}",
        f"{2:016x}",
    }


def test_an_attempts_span_takes_what_a_handler_adds_and_keeps_its_own() -> None:
    made = draft("process orders")
    made.end = 0
    made.attributes = {"task.id": "t"}
    span = AttemptSpan(made, True, lambda text: text.replace("canary", "***"))
    span.set_attributes({"task.id": "another", "lines": 3, "note": "canary", "api_key": "x"})
    span.add_event("a canary", {"of": "canary"})
    span.record_exception(ValueError("canary"))
    span.update_name("other")
    span.set_status(api.StatusCode.OK)
    span.end()
    assert (made.name, made.attributes) == (
        "process orders",
        {"task.id": "t", "lines": 3, "note": "***", "api_key": "***"},
    )
    assert "canary" not in str(made.events)
    made.end = 5
    span.set_attribute("late", True)
    assert "late" not in made.attributes


def test_the_sdk_writes_all_that_a_draft_tells() -> None:
    sent = Sent()
    full = Draft("a" * 32, "b" * 16, "c" * 16, "process orders", SpanKind.CONSUMER, 10, {"task.id": "t"}, end=20)
    full.links = (("d" * 32, "e" * 16),)
    full.fail("ValueError", "it broke", 15, "the stack")
    bare = Draft("a" * 32, "f" * 16, None, "task orders", SpanKind.INTERNAL, 10, {"one": 1.0}, end=5)
    sent.sink.put(full, sampled=True)
    sent.sink.put(bare, sampled=True)
    sent.sink.flush()
    first, root = sent.collector.spans
    context, parent, (link,), (event,) = first.context, first.parent, first.links, first.events
    assert context is not None
    assert parent is not None
    assert (context.trace_id, context.span_id, context.trace_flags) == (int("a" * 32, 16), int("b" * 16, 16), 1)
    assert (parent.trace_id, parent.span_id) == (context.trace_id, int("c" * 16, 16))
    assert (link.context.trace_id, link.context.span_id) == (int("d" * 32, 16), int("e" * 16, 16))
    assert (first.kind, first.start_time, first.end_time) == (SpanKind.CONSUMER, 10, 20)
    assert dict(first.attributes or {}) == {"task.id": "t", "error.type": "ValueError"}
    assert (first.status.status_code, first.status.description) == (api.StatusCode.ERROR, "ValueError: it broke")
    assert (event.name, event.timestamp) == ("exception", 15)
    assert (event.attributes or {})["exception.stacktrace"] == "the stack"
    assert root.context is not None
    assert (root.context.trace_id, root.context.span_id, root.parent) == (context.trace_id, int("f" * 16, 16), None)
    assert (root.end_time, root.status.status_code) == (10, api.StatusCode.UNSET), "no span ends before it began"


async def test_without_traces_nothing_is_made() -> None:
    telemetry = Telemetry()
    assert isinstance(telemetry.tracer, NoTracer)
    assert not telemetry.on
    await asyncio.wait_for(telemetry.end(), 1)


def test_a_process_that_is_not_traced_does_not_know_the_exporters() -> None:
    code = "import sys, gateway.wiring; print([name for name in sys.modules if 'otlp' in name or 'google' in name])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
