"""Spans of tasks as the SDK's finished spans, and the SDK's provider for handlers' own spans."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceState
from opentelemetry.util.types import Attributes as OtelAttributes

from bridge.adapters.telemetry.export import CountedBatches
from bridge.adapters.telemetry.spans import LONGEST_MESSAGE, LONGEST_STACK, Draft, Hide, cut, hiding, span_context
from bridge.domain.redaction import mask

MOST_HELD: Final = 2_000
"""Traces that are not sampled and held back until their task ends."""
MOST_OF_ONE: Final = 64
_UNSET: Final = Status()


class SpanSink:
    """Makes the SDK's finished spans (`ReadableSpan`) of what tasks did, and gives them to the SDK's batches.

    What belongs to a trace that is not sampled is held back, until `release` or `forget`.
    """

    def __init__(self, batches: CountedBatches, resource: Resource) -> None:
        self._batches = batches
        self._scope = InstrumentationScope("bridge")
        self.resource = resource
        self._held: OrderedDict[str, list[Draft | ReadableSpan]] = OrderedDict()
        self._released: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()  # a handler's own spans may end in its thread

    def put(self, draft: Draft, sampled: bool) -> None:
        """Write a span of ours, or hold it back."""
        if sampled or draft.trace_id in self._released:
            self._write(draft)
        else:
            self._hold(draft.trace_id, draft)

    def put_foreign(self, span: ReadableSpan) -> None:
        """Send a span that a handler made, or hold it back."""
        context = span.get_span_context()
        if context is None:
            return
        trace = api.format_trace_id(context.trace_id)
        if context.trace_flags.sampled:
            self._batches.on_end(span)
        elif trace in self._released:
            self._batches.on_end(_sampled(span))
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
            if isinstance(span, Draft):
                self._write(span)
            else:
                self._batches.on_end(_sampled(span))

    def forget(self, trace: str) -> None:
        """Drop what is held back of a trace: its task ended well."""
        with self._lock:
            self._held.pop(trace, None)
            self._released.pop(trace, None)

    def flush(self) -> None:
        """Send all that waits, and return when the collector has it, or didn't take it."""
        self._batches.force_flush()

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._batches.close()

    def _write(self, draft: Draft) -> None:
        self._batches.on_end(
            ReadableSpan(
                name=draft.name,
                context=draft.context(sampled=True),
                parent=None if draft.parent is None else span_context(draft.trace_id, draft.parent, True),
                resource=self.resource,
                attributes=draft.attributes,
                events=[Event(name, attributes, at) for name, at, attributes in draft.events],
                links=[Link(span_context(trace, span, True)) for trace, span in draft.links],
                kind=draft.kind,
                status=_UNSET if draft.error is None else Status(StatusCode.ERROR, draft.error),
                start_time=draft.start,
                end_time=max(draft.start, draft.end),
                instrumentation_scope=self._scope,
            )
        )

    def _hold(self, trace: str, span: Draft | ReadableSpan) -> None:
        with self._lock:
            held = self._held.get(trace)
            if held is None:
                held = self._held[trace] = []
                if len(self._held) > MOST_HELD:
                    self._held.popitem(last=False)
            if len(held) < MOST_OF_ONE:
                held.append(span)


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
