"""The sandbox: a folder with the data of real servers, and the commands to start, end, and disturb them."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Unpack

from sandbox import build, compose, process, tools
from sandbox.errors import PartFailed, PortTaken, SandboxError
from sandbox.parts import ADMIN, DATA, Choices, Launch, Options, Part, launch
from sandbox.ports import DEFAULT_BASE
from sandbox.probes import listening
from sandbox.process import Started
from sandbox.state import State, StateFile, locked
from sandbox.tools import Say

NEEDED = (Part.ENGINE, Part.STORE, Part.BROKER)
GRACE = 20.0
PROBE_EVERY = 0.1
SNAPSHOTS = "snapshots"


@dataclass(frozen=True)
class PartStatus:
    """How one part stands. `lost` is one that was started and is gone without having been stopped."""

    part: Part
    state: Literal["running", "paused", "stopped", "lost"]
    pid: int | None
    port: int
    answers: bool


class Sandbox:
    """Real servers in a folder. All methods return when what they say is true, or raise SandboxError."""

    def __init__(
        self,
        directory: Path | str = ".sandbox",
        base_port: int | None = None,
        *,
        say: Say = lambda _: None,
        **options: Unpack[Options],
    ) -> None:
        """What isn't chosen here, or is None, is as the folder remembers it, or else the default."""
        self.directory = Path(directory).resolve()
        self._file = StateFile(self.directory)
        self._say = say
        given: dict[str, Any] = {"base": base_port, **options}
        if given.get("node_of"):
            given["node_of"] = str(Path(given["node_of"]).resolve())
        self._given = {name: value for name, value in given.items() if value is not None}

    @property
    def choices(self) -> Choices:
        """The choices in force: those given, else those remembered, else the defaults."""
        state = self._file.read()
        return replace(state.choices if state else Choices(base=DEFAULT_BASE), **self._given)

    def env(self) -> dict[str, str]:
        """The addresses of the parts, under the names that the gateway reads."""
        choices = self.choices
        login = {"CAMUNDA_USERNAME": ADMIN, "CAMUNDA_PASSWORD": ADMIN} if choices.authorization else {}
        return {**choices.ports.env(), **login}

    def log(self, part: Part) -> Path:
        """Where the part writes what it has to say."""
        return self.directory / "logs" / f"{part}.log"

    def up(self, parts: Iterable[Part] | None = None) -> dict[Part, float]:
        """Start the parts at once and wait until each answers; returns the seconds each took.

        By default that is everything. Jaeger then is a guest: when it can't be had, the rest comes up without it.
        """
        wanted = tuple(Part) if parts is None else tuple(Part(part) for part in parts)
        guests = {Part.JAEGER} if parts is None else set[Part]()
        self._settle()
        tools.install([tool for part in wanted if part not in guests for tool in self._needs(part)], self._say)
        with ThreadPoolExecutor(len(wanted) or 1) as pool:
            starts = {part: pool.submit(self._start, part) for part in wanted}
        seconds: dict[Part, float] = {}
        failures: list[SandboxError] = []
        for part, start in starts.items():
            try:
                seconds[part] = start.result()
            except SandboxError as failure:
                if part in guests:
                    self._say(f"going on without {part}: {failure}")
                else:
                    failures.append(failure)
        if failures:
            raise failures[0] if len(failures) == 1 else SandboxError("\n".join(map(str, failures)))
        return seconds

    def down(self, *, wipe: bool = False) -> None:
        """End all that was started here; the data stays unless it's to be wiped."""
        state = self._file.read()
        if state is not None:
            with ThreadPoolExecutor(len(Part)) as pool:
                list(pool.map(self.stop, state.started))
            if state.compose:
                compose.down(state.choices.ports, wipe=wipe)
                self._file.write(replace(state, started={}, compose=False))
        if wipe:
            for folder in (DATA, SNAPSHOTS, "logs"):
                shutil.rmtree(self.directory / folder, ignore_errors=True)

    def up_in_docker(self) -> None:
        """Start the compose profile in place of our own parts; `down` then ends that."""
        self._settle()
        compose.up(self.choices.ports)
        self._file.write(State(self.choices, compose=True))

    def start(self, part: Part) -> float:
        """Start one part with the data it had; returns the seconds until it answered, 0 when it did already."""
        self._settle()
        tools.install(self._needs(Part(part)), self._say)
        return self._start(Part(part))

    def stop(self, part: Part) -> None:
        """End one part as its own manual says."""
        self._end(Part(part), lambda started: started.end(GRACE))

    def kill(self, part: Part) -> None:
        """SIGKILL to all processes of a part, as a power cut would."""
        self._end(Part(part), lambda started: started.kill())

    def pause(self, part: Part) -> None:
        """Freeze a part: its connections stay open and nothing answers."""
        self._running(part).signal(signal.SIGSTOP)

    def resume(self, part: Part) -> None:
        """Let a paused part go on, and wait until it answers."""
        started = self._running(part)
        started.signal(signal.SIGCONT)
        self._await(Part(part), started, self._describe(Part(part), Path()))

    def snapshot(self, part: Part, name: str) -> None:
        """Copy the data of a part that is stopped; one of that name from before is replaced."""
        with locked(self.directory / f"{part}.lock"):
            self._copy(part, self._home(part), self._snapshot(part, name))

    def restore(self, part: Part, name: str) -> None:
        """Put the data of a part that is stopped back to what it was at a snapshot."""
        with locked(self.directory / f"{part}.lock"):
            self._copy(part, self._snapshot(part, name), self._home(part))

    def _copy(self, part: Part, source: Path, target: Path) -> None:
        started = self._started(part)
        if started is not None and started.leader() is not None:
            raise SandboxError(f"{part} runs: stop it first, as files that change make no copy")
        if not source.is_dir():
            raise SandboxError(f"there is nothing at {source}")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)

    def _snapshot(self, part: Part, name: str) -> Path:
        if not name.isidentifier():
            raise SandboxError(f"a snapshot's name is letters, digits and underscores, not {name!r}")
        return self.directory / SNAPSHOTS / name / part

    def status(self) -> list[PartStatus]:
        """How each part stands; asks those that run."""
        with ThreadPoolExecutor(len(Part)) as pool:
            return list(pool.map(self._status, Part))

    def _status(self, part: Part) -> PartStatus:
        description = self._describe(part, Path())
        started = self._started(part)
        port = description.ports[-1] if part is Part.JAEGER else description.ports[0]
        if started is None:
            return PartStatus(part, "stopped", None, port, answers=False)
        leader = started.leader()
        if leader is None:
            return PartStatus(part, "lost", None, port, answers=False)
        if started.paused():
            return PartStatus(part, "paused", leader.pid, port, answers=False)
        return PartStatus(part, "running", leader.pid, port, answers=description.probe())

    def _settle(self) -> None:
        """Write the choices down; refuse to change them under parts that run by others."""
        with locked(self.directory / "state.lock"):
            state = self._file.read()
            choices = self.choices
            if state is not None and state.choices == choices:
                return
            if state is not None and any(started.leader() for started in state.started.values()):
                raise SandboxError(f"{self.directory} runs with {state.choices}: take it down before changing that")
            self._file.write(State(choices))

    def _start(self, part: Part) -> float:
        begun = time.monotonic()
        description = self._describe(part, build.program(part, self._say, self.choices.engine))
        with locked(self.directory / f"{part}.lock"):
            started = self._started(part)
            if started is not None and started.leader() is None:
                started.kill()  # a port program or an epmd may have outlived a leader that somebody else killed
                started = None
            if started is not None and started.paused():
                raise SandboxError(f"{part} is paused: resume it")
            if started is None:
                started = self._spawn(part, description)
            elif description.probe():
                return 0.0
            self._await(part, started, description)
        return time.monotonic() - begun

    def _spawn(self, part: Part, description: Launch) -> Started:
        taken = [str(port) for port in description.ports if listening(port)]
        if taken:
            raise PortTaken(f"{part} needs port {', '.join(taken)}, which somebody else holds: choose another base")
        for folder in (self._home(part), self.log(part).parent, *description.folders):
            folder.mkdir(parents=True, exist_ok=True)
        for path, content in description.files.items():
            path.write_text(content)
        started = process.spawn(description.command, {**os.environ, **description.env}, self.log(part))
        self._file.record(part, started)
        return started

    def _await(self, part: Part, started: Started, description: Launch) -> None:
        deadline = time.monotonic() + description.time_limit
        while not description.probe():
            if started.leader() is None:
                raise PartFailed(f"{part} ended; the end of {self.log(part)}:\n{build.tail(self.log(part))}")
            if time.monotonic() > deadline:
                raise PartFailed(
                    f"{part} doesn't answer after {description.time_limit:.0f} s; the end of {self.log(part)}:\n"
                    f"{build.tail(self.log(part))}"
                )
            time.sleep(PROBE_EVERY)

    def _end(self, part: Part, by: Callable[[Started], None]) -> None:
        with locked(self.directory / f"{part}.lock"):
            started = self._started(part)
            if started is not None:
                by(started)
                self._file.record(part, None)

    def _running(self, part: Part) -> Started:
        started = self._started(Part(part))
        if started is None or started.leader() is None:
            raise SandboxError(f"{part} doesn't run in {self.directory}")
        return started

    def _started(self, part: Part) -> Started | None:
        state = self._file.read()
        return state.started.get(part) if state else None

    def _describe(self, part: Part, program: Path) -> Launch:
        return launch(part, self.choices, self._home(part), program)

    def _needs(self, part: Part) -> tuple[tools.Tool, ...]:
        return build.needs(part, self.choices.engine)

    def _home(self, part: Part) -> Path:
        return self.directory / DATA / part
