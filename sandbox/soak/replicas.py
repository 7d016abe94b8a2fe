"""The gateways of a soak: processes that are killed, ended and frozen, that handlers end, and that come back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from sandbox import process
from sandbox.ports import LOOPBACK
from sandbox.probes import free_ports
from sandbox.process import Started
from sandbox.soak.durations import CLAIM, LOCK
from sandbox.soak.handlers import EXIT_CODE
from sandbox.soak.plan import Deed, Fault
from sandbox.soak.runs import Strike

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "gateway", "serve")
PACKAGE = "soak_topics"
# More than the gateway grants itself (SHUTDOWN_GRACE).
GRACE = 40.0
WATCHED_EVERY = 0.2

SHORT = {
    "LOCK_DURATION": f"{LOCK:g}",
    "CLAIM_DURATION": f"{CLAIM:g}",
    "STALE_AFTER": "6",
    "REPORT_WITHIN": "5",
    "REPORT_RETRY_DELAY_MAX": "3",
    "RETRY_DELAY": "0.5",
    "RETRY_DELAY_MAX": "2",
    "SWEEP_EVERY": "0.5",
    "POLL_WAIT": "2",
    "PUBLISH_TIMEOUT": "3",
    "CAMUNDA_TIMEOUT": "5",
    # An engine that is slow since the machine is busy must not have outcomes wait for longer than the soak does.
    "CAMUNDA_TIMEOUT_MAX": "20",
    "SHUTDOWN_GRACE": "5",
    # Faults hit far more processes here than one task may be blamed for.
    "LOST_CLAIM_LIMIT": "50",
    "REPORT_LIMIT": "50",
    "LOG_FORMAT": "json",
}

_TOPICS = """
from pathlib import Path
from sandbox.soak.handlers import Diary, async_topic, plain_topic

diary = Diary(Path({runs!r}), Path({marks!r}))
work = async_topic("{name}", diary)
plain = plain_topic("{name}-plain", diary)
"""


def write_topics(folder: Path, name: str, runs: Path) -> None:
    """Write the package of the topics `name` and `name`-plain, whose handlers tell each run in the file `runs`."""
    package, marks = folder / PACKAGE, folder / "marks"
    package.mkdir(parents=True, exist_ok=True)
    marks.mkdir()
    (package / "__init__.py").write_text("")
    (package / "work.py").write_text(_TOPICS.format(name=name, runs=str(runs), marks=str(marks)))


class Replicas:
    """The gateways; `start` before use, `end` after. Run `watch` meanwhile: it starts those again that a handler ended.

    `strikes` has what befell them.
    """

    def __init__(self, count: int, env: Mapping[str, str], folder: Path, ports: range) -> None:
        path = {"PYTHONPATH": f"{folder}:{ROOT}", "TOPICS_PACKAGE": PACKAGE, "HOST": LOOPBACK}
        self._env = {**env, **SHORT, **path}
        self._folder = folder
        self._ports = free_ports(ports)
        self._started: list[Started | None] = [None] * count
        self._turns = [asyncio.Lock() for _ in range(count)]
        self._seen = [0.0] * count
        self.strikes: list[Strike] = []

    async def start(self) -> None:
        """Start those that don't run."""
        for number in range(len(self._started)):
            async with self._turns[number]:
                self._revive(number)

    async def watch(self) -> None:
        """Start again what a handler has ended, until cancelled; raise `ProcessLookupError` for any other end."""
        async with asyncio.TaskGroup() as group:
            # Each by itself: a fault that takes long on one of them must not hide the end of another.
            for number in range(len(self._started)):
                group.create_task(self._watch(number))

    async def _watch(self, number: int) -> None:
        while True:
            async with self._turns[number]:
                self._revive(number)
            await asyncio.sleep(WATCHED_EVERY)

    async def end(self) -> None:
        """SIGTERM to all; those that don't end in time are killed."""
        running = [started for started in self._started if started is not None]
        await asyncio.gather(*(asyncio.to_thread(started.end, GRACE) for started in running))

    async def hit(self, number: int, fault: Fault) -> None:
        """Do a fault to one of them, and have it back at the end."""
        async with self._turns[number]:
            started, began = self._revive(number), time.time()
            match fault.deed:
                case Deed.FREEZE:
                    started.signal(signal.SIGSTOP)
                    await asyncio.sleep(fault.seconds)
                    started.signal(signal.SIGCONT)
                case Deed.KILL:
                    await asyncio.to_thread(started.kill)
                case Deed.STOP:
                    await asyncio.to_thread(started.end, GRACE)
                case _:
                    raise ValueError(f"no gateway can be hit so: {fault}")
            self.strikes.append(Strike(fault.deed, number, began, time.time(), started.pid))
            if fault.deed is not Deed.FREEZE:
                await asyncio.sleep(fault.seconds)
                self._spawn(number)

    def log(self, number: int) -> Path:
        return self._folder / f"gateway{number + 1}.log"

    def _revive(self, number: int) -> Started:
        """Return the process, a new one where it was never started or a handler has ended it."""
        started = self._started[number]
        if started is None:
            return self._spawn(number)
        if started.leader() is not None:
            self._seen[number] = time.time()
            return started
        _, status = os.waitpid(started.pid, 0)
        if os.waitstatus_to_exitcode(status) != EXIT_CODE:
            raise ProcessLookupError(f"gateway {number + 1} ended by itself; see {self.log(number)}")
        self.strikes.append(Strike(Deed.EXIT, number, self._seen[number], time.time(), started.pid))
        return self._spawn(number)

    def _spawn(self, number: int) -> Started:
        started = process.spawn(COMMAND, {**self._env, "PORT": str(next(self._ports))}, self.log(number))
        self._started[number], self._seen[number] = started, time.time()
        return started
