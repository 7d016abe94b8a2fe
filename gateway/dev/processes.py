"""The processes of `gateway dev`: the gateway itself, and the check of its files before that starts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

_CHECK: Final = "gateway.dev.check"
_CHECK_WITHIN: Final = 60.0
_PYTHON: Final = (sys.executable, "-P", "-m")
"""`-P`: what lies in the current folder hides no package of the gateway's."""


class ChildProcess:
    """A gateway that runs in a process of its own: a `gateway.dev.supervisor.Child`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ended(self) -> int:
        return await self._process.wait()

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


class Lifeline:
    """A pipe that ends with this process, however that ends: a child that has its other end then stops as well."""

    def __init__(self) -> None:
        self.child_end, self._own_end = os.pipe()

    async def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> ChildProcess:
        """Start `gateway` with these arguments, and `--lifeline`."""
        command = (*_PYTHON, "gateway", *arguments, "--lifeline", str(self.child_end))
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=asyncio.subprocess.DEVNULL, pass_fds=(self.child_end,)
        )
        return ChildProcess(process)


def end_with(lifeline: int) -> None:
    """Let this process get SIGTERM when the process at the other end of the pipe is gone."""

    def watch() -> None:
        with suppress(OSError):
            os.read(lifeline, 1)  # nobody writes: it returns when the other end is closed
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


async def check_files(environment: Mapping[str, str]) -> Sequence[str]:
    """Load settings and topics in a process of its own; return what is wrong with them, in lines."""
    process = await asyncio.create_subprocess_exec(
        *_PYTHON,
        _CHECK,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_CHECK_WITHIN):
            _, told = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return [f"the topics' files took more than {_CHECK_WITHIN:g} s to be imported"]
    if process.returncode == 0:
        return []
    return told.decode(errors="replace").splitlines() or [f"the check of the topics ended with {process.returncode}"]
