"""Spans of tasks while their step lasts: whether the SDK is asked for one is known when the step, or its task, ends."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from opentelemetry import context as otel
from opentelemetry import trace as api
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.util import types

from bridge.domain.redaction import mask, mask_text

LONGEST_MESSAGE: Final = 1_000
LONGEST_STACK: Final = 8_000
MOST_EXTRAS: Final = 32
"""Attributes and events that a handler may add to its attempt's span."""

Attributes = dict[str, str | int | float | bool]
Hide = Callable[[str], str]

_HIDE: Final = "worker-api-gateway-hide"

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED: Final = TraceFlags(TraceFlags.DEFAULT)


@lru_cache(maxsize=1_024)  # a span's is asked for while its step lasts, when it is sent, and by its children
def span_context(trace: str, span: str, sampled: bool) -> SpanContext:
    """Return the SDK's context of a span that is known by its ids."""
    return SpanContext(int(trace, 16), int(span, 16), False, _SAMPLED if sampled else _NOT_SAMPLED)


def nanos(moment: datetime) -> int:
    """Return a moment as spans have it."""
    return int(moment.timestamp() * 1_000_000) * 1_000


@dataclass(slots=True)
class Draft:
    """What a span of ours will tell. Ids are in hexadecimal digits; `start` and `end` in nanoseconds."""

    trace_id: str
    span_id: str
    parent: str | None
    name: str
    kind: SpanKind
    start: int
    attributes: Attributes
    end: int = 0
    links: Sequence[tuple[str, str]] = ()
    error: str | None = None
    events: list[tuple[str, int, Attributes]] = field(default_factory=list)

    def fail(self, kind: str, message: str, at: int, stack: str = "") -> None:
        """Record an exception; its texts must have been masked."""
        text = cut(message, LONGEST_MESSAGE)
        self.error = f"{kind}: {text}" if text else kind
        self.attributes["error.type"] = kind
        recorded: Attributes = {"exception.type": kind, "exception.message": text}
        if stack:
            recorded["exception.stacktrace"] = cut(stack, LONGEST_STACK)
        self.events.append(("exception", at, recorded))

    def context(self, sampled: bool) -> SpanContext:
        return span_context(self.trace_id, self.span_id, sampled)


def cut(text: str, limit: int) -> str:
    """Shorten text that has been masked."""
    return text if len(text) <= limit else f"{text[:limit]}… {len(text) - limit} characters more"


def scope_with(span: Span, hide: Hide) -> contextvars.Context:
    """Return a copy of the current context in which `span` is the current one, and `hide` the one that hides."""
    scope = contextvars.copy_context()
    scope.run(otel.attach, otel.set_value(_HIDE, hide, set_span_in_context(span)))
    return scope


def hiding() -> Hide:
    """Return what takes secrets and values out of a text, in the context of the handler that runs."""
    hide = otel.get_value(_HIDE)
    return hide if callable(hide) else mask_text


class AttemptSpan(Span):
    """The current span while a handler runs. What the handler adds to it is masked, and bounded."""

    def __init__(self, draft: Draft, sampled: bool, hide: Hide) -> None:
        self._draft = draft
        self._hide = hide
        self._context = draft.context(sampled)

    def get_span_context(self) -> SpanContext:
        return self._context

    def is_recording(self) -> bool:
        return self._draft.end == 0

    def set_attribute(self, key: str, value: types.AttributeValue) -> None:
        if self.is_recording() and len(self._draft.attributes) < MOST_EXTRAS:
            self._draft.attributes.setdefault(key, self._plain(key, value))

    def set_attributes(self, attributes: Mapping[str, types.AttributeValue]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        if self.is_recording() and len(self._draft.events) < MOST_EXTRAS:
            shown = {key: self._plain(key, value) for key, value in (attributes or {}).items()}
            self._draft.events.append((self._hide(name), timestamp or time.time_ns(), shown))

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: ARG002 - as the API has it
    ) -> None:
        shown: dict[str, types.AttributeValue] = {
            "exception.type": type(exception).__name__,
            "exception.message": str(exception),
            **(attributes or {}),
        }
        self.add_event("exception", shown, timestamp)

    def add_link(self, context: SpanContext, attributes: types.Attributes = None) -> None:  # noqa: ARG002
        trace, span = api.format_trace_id(context.trace_id), api.format_span_id(context.span_id)
        if self.is_recording() and len(self._draft.links) < MOST_EXTRAS:
            self._draft.links = [*self._draft.links, (trace, span)]

    def update_name(self, name: str) -> None:
        """Leave the name: queries and alerts go by it."""

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Leave the status: it says how the attempt ends."""

    def end(self, end_time: int | None = None) -> None:
        """Leave it open: it ends with the attempt."""

    def _plain(self, key: str, value: Any) -> str | int | float | bool:
        shown = mask(key, value)
        return shown if isinstance(shown, bool | int | float) else cut(self._hide(str(shown)), LONGEST_MESSAGE)
