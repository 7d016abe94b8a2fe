"""A process's tracing as the rest of it sees that; what it takes is imported only where it is asked for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from bridge.ports.tracer import NoTracer, Tracer

Dropped = Callable[[str, int], None]
"""Called with the reason, and how many spans are lost."""


class Sink(Protocol):
    """Where spans go."""

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The process that writes the spans, and its surroundings. `secrets` are each topic's own keys to mask."""

    version: str
    replica: str
    engine_url: str
    exchange: str
    secrets: Mapping[str, Collection[str]]


def wants_traces(environment: Mapping[str, str]) -> bool:
    """Return whether the OTEL_* variables ask for traces: they do where they name an exporter, or its endpoint."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    return any(environment.get(name) for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


class Telemetry:
    """The process's tracing: a tracer for the flow, and the way out for its spans; without a `sink` there are none."""

    def __init__(self, tracer: Tracer = NoTracer(), sink: Sink | None = None) -> None:
        self.tracer = tracer
        self._sink = sink

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
