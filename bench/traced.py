"""A gateway that sends its traces, to a collector beside it that only takes them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

from bench.errors import BenchError
from bench.gateway import ROOT, Gateways, Shape, free_port
from bench.servers import Servers


class Traced:
    """One gateway and its collector; the collector's CPU isn't counted, as it would run elsewhere."""

    def __init__(self, servers: Servers, topic: str, shape: Shape, sampling: float) -> None:
        self._port = free_port()
        traces = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "TRACE_SAMPLING": str(sampling),
        }
        self._gateways = Gateways(servers.env, servers.folder, [topic], replace(shape, env={**shape.env, **traces}))
        self._collector: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> list[int]:
        """The id of the gateway's process."""
        return self._gateways.pids

    def start(self) -> None:
        """Start both."""
        env = {**os.environ, "BENCH_PORT": str(self._port), "PYTHONPATH": str(ROOT)}
        with self._gateways.log.open("ab") as log:
            self._collector = subprocess.Popen(
                (sys.executable, "-m", "bench.clients.collector"), env=env, stdout=log, stderr=log
            )
        self._gateways.start()

    def check(self) -> None:
        """Raise `BenchError` where one of them has ended."""
        self._gateways.check()
        if self._collector is not None and self._collector.poll() is not None:
            raise BenchError(f"the collector ended with {self._collector.returncode}:\n{self._gateways.tail()}")

    async def stop(self) -> None:
        """End the gateway as a deployment would, and then the collector."""
        await self._gateways.stop()
        if self._collector is not None:
            self._collector.kill()
            self._collector.wait()

    async def engine_calls(self) -> Counter[str]:
        """Return the gateway's calls to the engine so far, by operation."""
        return await self._gateways.engine_calls()
