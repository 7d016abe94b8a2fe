"""Where spans go: by the SDK's batches to the collector that the OTEL_* variables name, or to nowhere."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanKind, Status, TraceState
from opentelemetry.util.types import Attributes as OtelAttributes

from bridge.adapters.telemetry.spans import LONGEST_MESSAGE, LONGEST_STACK, Draft, Hide, cut, hiding
from bridge.adapters.telemetry.telemetry import Dropped
from bridge.adapters.telemetry.wire import LeanExporter, Parcel, unpacked
from bridge.domain.errors import SetupError
from bridge.domain.redaction import mask

QUEUE: Final = 8_192
"""Spans that may wait for the collector, where OTEL_BSP_MAX_QUEUE_SIZE doesn't say."""
MOST_HELD: Final = 2_000
"""Traces that are not sampled and held back until their task ends."""
MOST_OF_ONE: Final = 64
_PARTING: Final = 3.0


def exporter_of(environment: Mapping[str, str]) -> SpanExporter:
    """Return the exporter that the OTEL_* variables name; OTLP over gRPC where they don't. Raises `SetupError`."""
    names = [name.strip().lower() for name in environment.get("OTEL_TRACES_EXPORTER", "otlp").split(",")]
    if names == ["console"]:
        return ConsoleSpanExporter()
    if names != ["otlp"]:
        raise SetupError(f"OTEL_TRACES_EXPORTER={','.join(names)}: choose otlp, console or none")
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    match protocol or "grpc":
        case "grpc":
            return LeanExporter()
        case "http/protobuf":
            return HttpExporter()
        case _:
            raise SetupError(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: choose grpc or http/protobuf")


def ratio_of(environment: Mapping[str, str], otherwise: float) -> float:
    """Return the share of traces to record: OTEL_TRACES_SAMPLER's where it is set, else TRACE_SAMPLING's."""
    name = environment.get("OTEL_TRACES_SAMPLER", "").strip().lower().removeprefix("parentbased_")
    match name:
        case "":
            return otherwise
        case "always_on":
            return 1.0
        case "always_off":
            return 0.0
        case "traceidratio":
            text = environment.get("OTEL_TRACES_SAMPLER_ARG", "1")
            try:
                return min(1.0, max(0.0, float(text)))
            except ValueError:
                raise SetupError(f"OTEL_TRACES_SAMPLER_ARG={text}: must be a number from 0 to 1") from None
        case _:
            raise SetupError(f"OTEL_TRACES_SAMPLER={name}: choose always_on, always_off or traceidratio")


def samples(ratio: float) -> Callable[[str], bool]:
    """Return what decides of a new trace's id whether it is recorded; every process decides the same."""
    bound = TraceIdRatioBased.get_bound_for_rate(ratio)
    return lambda trace: int(trace[16:], 16) < bound


class SpanSink:
    """Takes spans and sends them in batches, in a thread of its own. A full queue, or a collector that doesn't answer,
    costs spans and nothing else; `dropped` is called.

    Spans of a trace that is not sampled are held back until `release` or `forget`.
    """

    def __init__(self, exporter: SpanExporter, resource: Resource, dropped: Dropped) -> None:
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):  # what they have to say is counted
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.resource = resource
        self._scope = InstrumentationScope("bridge")
        self._dropped = dropped
        self._most = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or QUEUE)
        self._counting = _Counting(exporter, dropped)
        self._batches = BatchSpanProcessor(self._counting, max_queue_size=self._most)
        self._sent = 0
        self._held: OrderedDict[str, list[Draft | ReadableSpan]] = OrderedDict()
        self._released: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()  # a handler's own spans may end in its thread

    def put(self, draft: Draft, sampled: bool) -> None:
        """Send a span of ours, or hold it back."""
        if sampled or draft.trace_id in self._released:
            self._send(Parcel(draft, self.resource, self._scope))
        else:
            self._hold(draft.trace_id, draft)

    def put_foreign(self, span: ReadableSpan) -> None:
        """Send a span that a handler made, or hold it back."""
        context = span.get_span_context()
        if context is None:
            return
        trace = api.format_trace_id(context.trace_id)
        if context.trace_flags.sampled:
            self._send(span)
        elif trace in self._released:
            self._send(_sampled(span))
        else:
            self._hold(trace, span)

    def shows(self, trace: str) -> bool:
        """Return whether a trace was released."""
        return trace in self._released

    def release(self, trace: str) -> None:
        """Send what is held back of a trace, and from now on all of it."""
        with self._lock:
            held = self._held.pop(trace, ())
            self._released[trace] = None
            if len(self._released) > MOST_HELD:
                self._released.popitem(last=False)
        for span in held:
            self._send(Parcel(span, self.resource, self._scope) if isinstance(span, Draft) else _sampled(span))

    def forget(self, trace: str) -> None:
        """Drop what is held back of a trace: its task ended well."""
        with self._lock:
            self._held.pop(trace, None)
            self._released.pop(trace, None)

    def flush(self) -> None:
        """Send all that waits, and return when the collector has it, or didn't take it."""
        self._batches.force_flush()

    def close(self) -> None:
        """Send what waits; give up after a few seconds, as a collector that is away must not hold up the end."""
        ending = threading.Thread(target=self._batches.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(_PARTING)
        if ending.is_alive():
            self._counting.interrupt()
        self._count(self._sent - self._counting.received, "shutdown")

    def _send(self, span: ReadableSpan) -> None:
        # Counted here, so that the SDK's own queue is never full: it would drop without telling how many.
        if self._sent - self._counting.received >= self._most:
            self._dropped("queue", 1)
            return
        self._sent += 1
        self._batches.on_end(span)

    def _hold(self, trace: str, span: Draft | ReadableSpan) -> None:
        with self._lock:
            held = self._held.get(trace)
            if held is None:
                held = self._held[trace] = []
                if len(self._held) > MOST_HELD:
                    self._held.popitem(last=False)
            if len(held) < MOST_OF_ONE:
                held.append(span)

    def _count(self, spans: int, why: str) -> None:
        if spans > 0:
            self._dropped(why, spans)


class _Counting(SpanExporter):
    """Counts what the collector did not take. What goes wrong in the exporter stays here."""

    def __init__(self, exporter: SpanExporter, dropped: Dropped) -> None:
        self._exporter = exporter
        self._lean = isinstance(exporter, LeanExporter)
        self._dropped = dropped
        self.received = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.received += len(spans)
        try:
            result = self._exporter.export(spans if self._lean else unpacked(spans))
        except Exception:  # noqa: BLE001 - whatever it is, it is counted, and the next batch is tried
            result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            self._dropped("collector", len(spans))
        return result

    def interrupt(self) -> None:
        """End the waits between the exporter's tries."""
        threading.Thread(target=self._exporter.shutdown, name="traces-exporter-end", daemon=True).start()

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _HandlersSpans(SpanProcessor):
    """Masks the spans that handlers make, and gives them to the sink."""

    def __init__(self, sink: SpanSink) -> None:
        self._sink = sink

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:  # noqa: ARG002
        return

    def on_end(self, span: ReadableSpan) -> None:
        # Called where the handler runs, so that its task's own values are known.
        self._sink.put_foreign(_copy(span, span.get_span_context(), hiding()))


class _Follow(Sampler):
    """Records with the task that a span belongs to: one that is not sampled may yet fail."""

    def __init__(self, ratio: float) -> None:
        self._root = TraceIdRatioBased(ratio)

    def should_sample(  # noqa: PLR0917 - the SDK's own signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: OtelAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,  # noqa: ARG002 - it's the parent's
    ) -> SamplingResult:
        parent = api.get_current_span(parent_context).get_span_context()
        if not parent.is_valid:
            return self._root.should_sample(parent_context, trace_id, name, kind, attributes, links)
        decision = Decision.RECORD_AND_SAMPLE if parent.trace_flags.sampled else Decision.RECORD_ONLY
        return SamplingResult(decision, attributes, parent.trace_state)

    def get_description(self) -> str:
        return "follows the task"


def provider_for(sink: SpanSink, ratio: float) -> TracerProvider:
    """Return the provider that handlers' own spans are made by."""
    provider = TracerProvider(sampler=_Follow(ratio), resource=sink.resource, shutdown_on_exit=False)
    provider.add_span_processor(_HandlersSpans(sink))
    return provider


class _Resource(Resource):
    """A resource that is known by itself: the SDK's own is written out as JSON for each span that is encoded."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def resource_of(version: str, replica: str) -> Resource:
    """Return the resource of the spans; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before."""
    ours = {"service.name": "worker-api-gateway", "service.version": version, "service.instance.id": replica}
    found = Resource.create({**ours, **OTELResourceDetector().detect().attributes})
    return _Resource(found.attributes, found.schema_url)


def _sampled(span: ReadableSpan) -> ReadableSpan:
    context = span.get_span_context()
    if context is None:
        return span
    flags = api.TraceFlags(api.TraceFlags.SAMPLED)
    return _copy(span, api.SpanContext(context.trace_id, context.span_id, context.is_remote, flags), str)


def _copy(span: ReadableSpan, context: api.SpanContext | None, hide: Hide) -> ReadableSpan:
    description = span.status.description
    return ReadableSpan(
        name=hide(span.name),
        context=context,
        parent=span.parent,
        resource=span.resource,
        attributes=_shown(span.attributes, hide),
        events=[Event(hide(event.name), _shown(event.attributes, hide), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(
            span.status.status_code, None if description is None else cut(hide(description), LONGEST_MESSAGE)
        ),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _shown(attributes: OtelAttributes, hide: Hide) -> dict[str, Any]:
    return {
        key: cut(hide(shown), LONGEST_STACK) if isinstance(shown := mask(key, value), str) else shown
        for key, value in (attributes or {}).items()
    }
