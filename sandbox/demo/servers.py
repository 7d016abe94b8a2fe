"""The servers of the demo: those that the environment names, or a sandbox started for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox import Missing, Part, Sandbox, compose
from sandbox.state import StateFile

Say = Callable[[str], None]

NEEDED = ("CAMUNDA_URL", "MONGODB_URI", "RABBITMQ_URL")


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are, as environment variables; `ours` tells that they are those of a sandbox."""

    env: Mapping[str, str]
    ours: bool


@contextmanager
def servers(directory: Path, base_port: int | None, environ: Mapping[str, str], say: Say) -> Iterator[Servers]:
    """Yield the servers; at the end take down what was started for it, and nothing else.

    Raises `SandboxError` where a part of the sandbox can't be had.
    """
    given = [name for name in NEEDED if environ.get(name)]
    if len(given) == len(NEEDED):
        say(f"using the servers that {', '.join(NEEDED)} name")
        yield Servers(dict(environ), ours=False)
        return
    if given:
        say(f"{', '.join(given)} set, but not all of {', '.join(NEEDED)}: using a sandbox instead")
    box = Sandbox(directory, base_port, say=say)
    before = {status.part for status in box.status() if status.state == "running"}
    state = StateFile(box.directory).read()
    in_docker = state is not None and state.compose
    try:
        missing = _up(box, before, say)
        yield Servers({**environ, **_addresses(box, missing)}, ours=True)
    finally:
        _down(box, before, say, keep_docker=in_docker)


def _up(box: Sandbox, before: set[Part], say: Say) -> frozenset[Part]:
    """Bring all parts up; return those that couldn't be had and aren't needed."""
    if before != set(Part):
        say("starting the servers of the sandbox; the first time they are built, which takes some minutes")
    try:
        seconds = box.up()
    except Missing as missing:
        if not compose.available():
            raise
        say(f"{missing}\nDocker answers: the compose profile `sandbox` takes its place")
        box.up_in_docker()
        return frozenset()
    for part, taken in seconds.items():
        say(f"  {part:8}{'was up' if part in before else f'up in {taken:.1f} s'}")
    return frozenset(Part) - frozenset(seconds)


def _down(box: Sandbox, before: set[Part], say: Say, *, keep_docker: bool) -> None:
    state = StateFile(box.directory).read()
    if state is not None and state.compose:
        if not keep_docker:
            say("ending the containers")
            box.down()
        return
    started = [status.part for status in box.status() if status.state != "stopped" and status.part not in before]
    if started:
        say(f"ending {', '.join(started)}; the data stays in {box.directory.name}/")
    for part in reversed(started):
        box.stop(part)


def _addresses(box: Sandbox, missing: frozenset[Part]) -> dict[str, str]:
    without = {"OTEL_EXPORTER_OTLP_ENDPOINT", "JAEGER_QUERY_URL"} if Part.JAEGER in missing else set()
    return {name: value for name, value in box.env().items() if name not in without}
