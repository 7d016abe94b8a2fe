"""The real servers under all measurements: engine, store and broker of the sandbox, with nothing on disk but queues."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox import Part, Sandbox
from sandbox.errors import PartFailed
from sandbox.parts import Choices

PARTS = (Part.ENGINE, Part.STORE, Part.BROKER)
DEFAULT_BASE = 23080
"""Below the ports that the system gives to connections, which one of those may hold already."""


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


def _up(sandbox: Sandbox) -> None:
    """Start the servers; a machine with much else to do gets more time, as what was started goes on starting."""
    for more in (True, True, False):
        try:
            sandbox.up(PARTS)
        except PartFailed:
            if not more:
                raise
        else:
            return


@contextmanager
def servers(base: int, history: str) -> Iterator[Servers]:
    """Start the servers, and end them afterwards, also by SIGTERM; all that they wrote goes with them."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    sandbox = Sandbox(folder / "sandbox", base, memory=True, history=history, say=print)
    try:
        _up(sandbox)
        pids = {str(status.part): [status.pid] for status in sandbox.status() if status.pid is not None}
        ports = Choices(base=base).ports
        numbers = {"engine": ports.engine, "store": ports.store, "broker": ports.broker}
        yield Servers(sandbox.env(), pids, numbers, folder)
    finally:
        sandbox.down()
        shutil.rmtree(folder, ignore_errors=True)
