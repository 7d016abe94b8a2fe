"""The way out for spans: the SDK's batches and exporters, to the collector that the OTEL_* variables name."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from bridge.adapters.telemetry.telemetry import Dropped
from bridge.domain.errors import SetupError

QUEUE: Final = 8_192
"""Spans that may wait for the collector, where OTEL_BSP_MAX_QUEUE_SIZE doesn't say."""
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
            return GrpcExporter()
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


class CountedBatches(BatchSpanProcessor):
    """The SDK's batches, sent in a thread of their own. A full queue, or a collector that doesn't answer, costs spans
    and nothing else; `dropped` is called with the reason and the number.
    """

    def __init__(self, exporter: SpanExporter, dropped: Dropped) -> None:
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):  # what they have to say is counted
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._dropped = dropped
        self._most = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or QUEUE)
        self._counting = _Counting(exporter, dropped)
        self._sent = 0
        super().__init__(self._counting, max_queue_size=self._most)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span; one that is not sampled is nothing to send."""
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled:
            return
        # Counted here, so that the SDK's own queue is never full: it would drop without telling how many.
        if self._sent - self._counting.received >= self._most:
            self._dropped("queue", 1)
            return
        self._sent += 1
        super().on_end(span)

    def close(self) -> None:
        """Send what waits; give up after a few seconds, as a collector that is away must not hold up the end."""
        ending = threading.Thread(target=self.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(_PARTING)
        if ending.is_alive():
            self._counting.interrupt()
        left = self._sent - self._counting.received
        if left > 0:
            self._dropped("shutdown", left)


class _Counting(SpanExporter):
    """Counts what the collector did not take. What goes wrong in the exporter stays here."""

    def __init__(self, exporter: SpanExporter, dropped: Dropped) -> None:
        self._exporter = exporter
        self._dropped = dropped
        self.received = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.received += len(spans)
        try:
            result = self._exporter.export(spans)
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
