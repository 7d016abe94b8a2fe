"""The gateways of a soak: processes that are killed, ended and frozen, and come back."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sandbox import process
from sandbox.ports import LOOPBACK
from sandbox.process import Started
from sandbox.soak.plan import Deed, Fault

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "bridge.cli", "serve")
PACKAGE = "soak_topics"
# More than the gateway grants itself (SHUTDOWN_GRACE).
GRACE = 40.0

SHORT = {
    "LOCK_DURATION": "10",
    "CLAIM_DURATION": "4",
    "STALE_AFTER": "6",
    "REPORT_WITHIN": "5",
    "REPORT_RETRY_DELAY_MAX": "3",
    "RETRY_DELAY": "0.5",
    "RETRY_DELAY_MAX": "2",
    "SWEEP_EVERY": "0.5",
    "POLL_WAIT": "2",
    "PUBLISH_TIMEOUT": "3",
    "CAMUNDA_TIMEOUT": "5",
    "SHUTDOWN_GRACE": "5",
    # Faults hit far more processes here than one task may be blamed for.
    "LOST_CLAIM_LIMIT": "50",
    "REPORT_LIMIT": "50",
    "LOG_FORMAT": "json",
}

_TOPIC = """
import asyncio, os
from pydantic import BaseModel
from bridge.topic import Context, topic

class Input(BaseModel):
    pass

@topic("{topic}", timeout=60, concurrency=16, retries=20)
async def count(given: Input, context: Context) -> dict[str, str]:
    line = f"{{context.task_id}} {{context.idempotency_key}} {{context.attempt}}\\n"
    file = os.open({runs!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)
    await asyncio.sleep(0.1)
    return {{"{result}": context.idempotency_key}}
"""


def write_topic(folder: Path, topic: str, runs: Path, result: str) -> None:
    """Write the topic's package; its handler appends each run to `runs`, and returns its key as `result`."""
    package = folder / PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "count.py").write_text(_TOPIC.format(topic=topic, runs=str(runs), result=result))


class Replicas:
    """The gateways; `start` before use, `end` after."""

    def __init__(self, count: int, env: Mapping[str, str], folder: Path) -> None:
        path = {"PYTHONPATH": f"{folder}:{ROOT}", "TOPICS_PACKAGE": PACKAGE, "HOST": LOOPBACK}
        self._env = {**env, **SHORT, **path}
        self._folder = folder
        self._started: list[Started | None] = [None] * count

    async def start(self) -> None:
        """Start those that don't run."""
        for number, started in enumerate(self._started):
            if started is None or started.leader() is None:
                self._start(number)

    async def end(self) -> None:
        """SIGTERM to all; those that don't end in time are killed."""
        running = [started for started in self._started if started is not None]
        await asyncio.gather(*(asyncio.to_thread(started.end, GRACE) for started in running))

    async def hit(self, number: int, fault: Fault) -> None:
        """Do a fault to one of them, and have it back at the end."""
        started = self._started[number]
        if started is None or started.leader() is None:
            raise ProcessLookupError(f"gateway {number + 1} ended by itself; see {self.log(number)}")
        match fault.deed:
            case Deed.FREEZE:
                started.signal(signal.SIGSTOP)
                await asyncio.sleep(fault.seconds)
                started.signal(signal.SIGCONT)
                return
            case Deed.KILL:
                await asyncio.to_thread(started.kill)
            case Deed.STOP:
                await asyncio.to_thread(started.end, GRACE)
        await asyncio.sleep(fault.seconds)
        self._start(number)

    def log(self, number: int) -> Path:
        return self._folder / f"gateway{number + 1}.log"

    def _start(self, number: int) -> None:
        with closing(socket.socket()) as probe:
            probe.bind((LOOPBACK, 0))
            port = str(probe.getsockname()[1])
        self._started[number] = process.spawn(COMMAND, {**self._env, "PORT": port}, self.log(number))
