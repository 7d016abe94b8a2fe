"""Our spans as OTLP has them, without the detour over the SDK's own: half of what a trace costs would be that."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags
from opentelemetry.proto.trace.v1.trace_pb2 import Status as WireStatus
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind

from bridge.adapters.telemetry.spans import Attributes, Draft, span_context

_KINDS: Final = {
    SpanKind.INTERNAL: WireSpan.SPAN_KIND_INTERNAL,
    SpanKind.SERVER: WireSpan.SPAN_KIND_SERVER,
    SpanKind.CLIENT: WireSpan.SPAN_KIND_CLIENT,
    SpanKind.PRODUCER: WireSpan.SPAN_KIND_PRODUCER,
    SpanKind.CONSUMER: WireSpan.SPAN_KIND_CONSUMER,
}
_FLAGS: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_UNSET: Final = WireStatus()
_ITS_OWN: Final = frozenset(
    {"task.id", "task.business_key", "process.instance.id", "worker.id", "messaging.message.id", "exception.message"}
)
"""Attributes of which nearly every span has a value of its own."""
_LONGEST_KEPT: Final = 256
"""Characters of an attribute up to which it is remembered in its written form."""


class Parcel(ReadableSpan):
    """One of our spans on its way through the SDK's batches, which ask nothing of it but whether it is sampled."""

    def __init__(self, draft: Draft, resource: Resource, scope: InstrumentationScope) -> None:
        self.draft = draft
        self._whose = (resource, scope)
        self._context = _SAMPLED

    def unpacked(self) -> ReadableSpan:
        """Return the span as the SDK has it."""
        return self.draft.finished(*self._whose)


class LeanExporter(OTLPSpanExporter):
    """The SDK's exporter over gRPC, which writes our spans itself. All else is as it is there."""

    def _translate_data(self, data: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        return to_wire(data)


def unpacked(spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
    """Return all spans as the SDK has them, for an exporter that knows only those."""
    return [span.unpacked() if isinstance(span, Parcel) else span for span in spans]


def to_wire(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    """Write a batch."""
    ours = [span for span in spans if isinstance(span, Parcel)]
    # The first says, in the SDK's own words, whose spans and by which library they are.
    request = encode_spans([*unpacked(ours[:1]), *(span for span in spans if not isinstance(span, Parcel))])
    if len(ours) > 1:
        scope = request.resource_spans[0].scope_spans[0]
        scope.spans.extend([_span(parcel.draft) for parcel in ours[1:]])
    return request


def _span(draft: Draft) -> WireSpan:
    return WireSpan(
        trace_id=bytes.fromhex(draft.trace_id),
        span_id=bytes.fromhex(draft.span_id),
        parent_span_id=bytes.fromhex(draft.parent or ""),
        name=draft.name,
        kind=_KINDS[draft.kind],
        start_time_unix_nano=draft.start,
        end_time_unix_nano=max(draft.start, draft.end),
        attributes=_attributes(draft.attributes),
        events=[
            WireSpan.Event(name=name, time_unix_nano=at, attributes=_attributes(attributes))
            for name, at, attributes in draft.events
        ],
        links=[
            WireSpan.Link(trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(span), flags=_FLAGS)
            for trace, span in draft.links
        ],
        status=_UNSET if draft.error is None else WireStatus(code=WireStatus.STATUS_CODE_ERROR, message=draft.error),
        flags=_FLAGS,
    )


def _attributes(attributes: Attributes) -> list[KeyValue]:
    return [
        _pair(key, value) if key in _ITS_OWN or _is_long(value) else _common_pair(key, value, type(value).__name__)
        for key, value in attributes.items()
    ]


def _is_long(value: object) -> bool:
    return isinstance(value, str) and len(value) > _LONGEST_KEPT


@lru_cache(maxsize=1024)
def _common_pair(key: str, value: str | float | bool, _kind: str) -> KeyValue:
    # 1, 1.0 and True are one key of the cache, if not for their type
    return _pair(key, value)


def _pair(key: str, value: str | float | bool) -> KeyValue:
    match value:
        case str():
            return KeyValue(key=key, value=AnyValue(string_value=value))
        case bool():
            return KeyValue(key=key, value=AnyValue(bool_value=value))
        case int():
            return KeyValue(key=key, value=AnyValue(int_value=value))
        case _:
            return KeyValue(key=key, value=AnyValue(double_value=value))


_SAMPLED: Final[SpanContext] = span_context("1" * 32, "1" * 16, True)
