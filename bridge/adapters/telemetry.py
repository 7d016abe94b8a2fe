"""Puts tracing together as the settings and the OTEL_* variables ask for it, or leaves it out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from opentelemetry import trace as api

from bridge.adapters.trace_export import (
    Dropped,
    SpanSink,
    exporter_of,
    provider_for,
    ratio_of,
    resource_of,
    samples,
    wants_traces,
)
from bridge.adapters.tracing import OtelTracer, Surroundings
from bridge.ports import Clock
from bridge.ports_trace import NoTracer, Tracer


@dataclass(frozen=True, slots=True)
class Identity:
    """Who writes the spans, and what is around it. `secrets` are each topic's own keys to mask."""

    version: str
    replica: str
    engine_url: str
    exchange: str
    secrets: Mapping[str, Collection[str]]


class Telemetry:
    """The process's tracing: a tracer for the flow, a provider for handlers' own spans, and the way out for both."""

    def __init__(
        self, environment: Mapping[str, str], sampling: float, who: Identity, clock: Clock, dropped: Dropped
    ) -> None:
        self._sink: SpanSink | None = None
        self.tracer: Tracer = NoTracer()
        if not wants_traces(environment):
            return
        ratio = ratio_of(environment, sampling)
        self._sink = SpanSink(exporter_of(environment), resource_of(who.version, who.replica), dropped)
        around = Surroundings(who.replica, who.engine_url, who.exchange, who.secrets, samples(ratio))
        self.tracer = OtelTracer(self._sink, clock, around)
        # A topic finds it by OpenTelemetry's own `get_tracer`, as any library does.
        api.set_tracer_provider(provider_for(self._sink, ratio))

    @property
    def on(self) -> bool:
        """Whether spans are written."""
        return self._sink is not None

    async def end(self) -> None:
        """Send what waits, in a thread: a collector that is away takes a few seconds at most, and never the loop's."""
        if self._sink is None:
            return
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        sink = self._sink

        def close() -> None:
            sink.close()
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=close, name="telemetry-end", daemon=True).start()
        await ended.wait()
