"""The real servers under all measurements: engine, store and broker of the sandbox, with nothing on disk but queues."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox import Part, Sandbox
from sandbox.parts import Choices

PARTS = (Part.ENGINE, Part.STORE, Part.BROKER)


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers' addresses, the ids of their processes, and a folder for what a run writes."""

    env: dict[str, str]
    pids: dict[str, list[int]]
    ports: dict[str, int]
    folder: Path

    @property
    def engine(self) -> str:
        """The base of the engine's REST interface."""
        return self.env["CAMUNDA_URL"]


@contextmanager
def servers(base: int, history: str) -> Iterator[Servers]:
    """Start the servers, and end them afterwards; all that they wrote goes with them."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    sandbox = Sandbox(folder / "sandbox", base, memory=True, history=history, say=print)
    try:
        sandbox.up(PARTS)
        pids = {str(status.part): [status.pid] for status in sandbox.status() if status.pid is not None}
        ports = Choices(base=base).ports
        numbers = {"engine": ports.engine, "store": ports.store, "broker": ports.broker}
        yield Servers(sandbox.env(), pids, numbers, folder)
    finally:
        sandbox.down()
        shutil.rmtree(folder, ignore_errors=True)
