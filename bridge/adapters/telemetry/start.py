"""Puts tracing together as the settings and the OTEL_* variables ask for it."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import trace as api

from bridge.adapters.telemetry.export import CountedBatches, exporter_of, ratio_of, resource_of, samples
from bridge.adapters.telemetry.provider import SpanSink, provider_for
from bridge.adapters.telemetry.telemetry import Dropped, Identity, Telemetry
from bridge.adapters.telemetry.tracing import OtelTracer, Surroundings
from bridge.ports.clock import Clock


def start_traces(
    environment: Mapping[str, str], sampling: float, who: Identity, clock: Clock, dropped: Dropped
) -> Telemetry:
    """Return a tracer, and make a provider for handlers' own spans. Raises `SetupError`."""
    ratio = ratio_of(environment, sampling)
    sink = SpanSink(CountedBatches(exporter_of(environment), dropped), resource_of(who.version, who.replica))
    around = Surroundings(who.replica, who.engine_url, who.exchange, who.secrets, samples(ratio))
    # A topic finds it by OpenTelemetry's own `get_tracer`, as any library does.
    api.set_tracer_provider(provider_for(sink, ratio))
    return Telemetry(OtelTracer(sink, clock, around), sink)
