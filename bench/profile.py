"""`python -m bench.profile`: where one gateway's CPU goes while it drains a backlog, by function and by module."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from uuid import uuid4

import typer
import uvloop
from rich.console import Console

from bench import usage
from bench.contenders import BATCH, contenders
from bench.drain import alive, drain, wait_until_open
from bench.engine import Engine
from bench.errors import BenchError
from bench.gateway import ROOT, Gateways, Shape
from bench.results import table
from bench.servers import DEFAULT_BASE, Servers, servers
from sandbox.errors import SandboxError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_FRAME: Final = re.compile(r"^(?P<function>.*) \((?P<file>.*?)(?::(?P<line>\d+))?\)$")
_PACKAGE: Final = re.compile(r".*/(?:site-packages|lib/python[\d.]+)/(?P<rest>.+)$")


@dataclass(frozen=True, slots=True)
class Frame:
    """A function as a report names it."""

    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.module}:{self.function}"


@dataclass(frozen=True, slots=True)
class Profile:
    """Samples of a process that was on the CPU: a stack, outermost first, and how often it was seen."""

    stacks: Sequence[tuple[tuple[Frame, ...], int]]
    tasks: int
    cpu_ms: float
    """CPU milliseconds a task, by the system's own account."""

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(seen for _, seen in self.stacks)

    def cost(self, seen: int) -> float:
        """Return the milliseconds a task that so many samples stand for."""
        return self.cpu_ms * seen / max(1, self.samples)

    def own(self) -> Counter[Frame]:
        """Count samples by the function that was itself running."""
        found: Counter[Frame] = Counter()
        for stack, seen in self.stacks:
            found[stack[-1]] += seen
        return found

    def within(self) -> Counter[Frame]:
        """Count samples by each function that was running or had called what ran."""
        found: Counter[Frame] = Counter()
        for stack, seen in self.stacks:
            found.update(dict.fromkeys(stack, seen))
        return found

    def charged(self) -> Counter[Frame]:
        """Count samples by the innermost function of ours: what it called in libraries is charged to it."""
        found: Counter[Frame] = Counter()
        for stack, seen in self.stacks:
            ours = [
                frame
                for frame in stack
                if frame.module.split("/")[0] in {"gateway", "bridge", "web", "bench", "topics"}
            ]
            found[ours[-1] if ours else stack[0]] += seen
        return found

    def by_the_clock(self) -> int:
        """Count samples within loops that turn however many tasks there are."""
        return sum(seen for stack, seen in self.stacks if any(frame.module == "bridge/runtime/loop" for frame in stack))

    def packages(self) -> Counter[str]:
        """Count samples by the package whose code was running."""
        found: Counter[str] = Counter()
        for frame, seen in self.own().items():
            parts = frame.module.split("/")
            found["/".join(parts[:2]) if parts[0] == "bridge" else parts[0]] += seen
        return found


def read_stacks(lines: Iterable[str]) -> list[tuple[tuple[Frame, ...], int]]:
    """Read folded stacks: frames separated by semicolons, then a blank and the count."""
    stacks: list[tuple[tuple[Frame, ...], int]] = []
    for line in lines:
        text, _, seen = line.rstrip().rpartition(" ")
        frames = tuple(frame for part in text.split(";") if (frame := _frame(part)) is not None)
        if frames and seen.isdigit():
            stacks.append((frames, int(seen)))
    return stacks


def _frame(text: str) -> Frame | None:
    match = _FRAME.match(text)
    if match is None:
        return None
    file = match["file"]
    package = _PACKAGE.match(file)
    module = package["rest"] if package else file.removeprefix(f"{ROOT}/")
    return Frame(module.removesuffix(".py"), match["function"])


async def profile(engine: Engine, there: Servers, tasks: int, concurrency: int, seconds: int) -> Profile:
    """Let one gateway drain a backlog, and sample it once it is under way."""
    topic = f"profile-{uuid4().hex[:6]}"
    deployment = await engine.deploy(topic)
    await engine.start_many(topic, tasks)
    output = there.folder / "stacks.txt"
    shape = Shape(concurrency=concurrency, env={"BENCH_STACKS": str(output)})
    gateways = Gateways(there.env, there.folder, [topic], shape)
    try:
        gateways.start()
        await wait_until_open(engine, topic, tasks - tasks // 10, alive(gateways))
        before, open_before = usage.cpu({"gateway": gateways.pids}), await engine.open(topic)
        await _sample(gateways.pids[0], output, seconds)
        after, open_after = usage.cpu({"gateway": gateways.pids}), await engine.open(topic)
    finally:
        await gateways.stop()
        await engine.delete(deployment)
    done = open_before - open_after
    if done <= 0:
        raise BenchError("nothing was worked while it was sampled")
    stacks = read_stacks(await asyncio.to_thread(_lines, output))
    return Profile(stacks, done, 1000 * (after["gateway"] - before["gateway"]) / done)


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()


async def _sample(pid: int, output: Path, seconds: int) -> None:
    os.kill(pid, signal.SIGUSR1)
    await asyncio.sleep(seconds)
    os.kill(pid, signal.SIGUSR1)
    for _ in range(400):
        if await asyncio.to_thread(output.exists):
            return
        await asyncio.sleep(0.05)
    raise BenchError("the gateway left no samples")


def print_profile(found: Profile, console: Console, rows: int) -> None:
    """Print the top of each account; what it tells is milliseconds of CPU a task."""
    console.print(
        f"\n{found.tasks} tasks, {found.cpu_ms:.2f} ms of CPU a task, {found.samples} samples; "
        f"{found.cost(found.by_the_clock()):.2f} ms of that in loops that turn by the clock"
    )
    accounts = (
        ("By package", found.packages(), rows),
        ("Ours, with what was called in libraries", found.charged(), rows),
        ("Running itself", found.own(), rows),
        ("With all that was called", found.within(), 2 * rows),
    )
    for title, counts, most in accounts:
        cells = [
            (f"{what}", f"{found.cost(seen):.3f}", f"{100 * seen / found.samples:.1f}")
            for what, seen in counts.most_common(most)
        ]
        console.print(table(title, ("where", "ms a task", "%"), cells))


async def _run(there: Servers, tasks: int, concurrency: int, seconds: int, warm: int) -> Profile:
    async with Engine(there.engine) as engine:
        ready = contenders(concurrency)["gateway"]
        for _ in range(warm):  # a cold engine would leave the gateway little to do
            await drain(engine, there, ready, 1000)
        return await profile(engine, there, tasks, concurrency, seconds)


@app.command()
def main(
    *,
    tasks: Annotated[int, typer.Option(min=500, max=50_000, help="Tasks in the backlog.")] = 6000,
    seconds: Annotated[int, typer.Option(min=2, max=120, help="How long the profiler watches.")] = 8,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="The topic's concurrency.")] = BATCH,
    warm: Annotated[int, typer.Option(min=0, max=10, help="Drains of a thousand tasks before that.")] = 2,
    rows: Annotated[int, typer.Option(min=5, max=200, help="Rows of each table.")] = 25,
    base: Annotated[int, typer.Option(help="The first of eight ports for the servers.")] = DEFAULT_BASE,
) -> None:
    """Sample one gateway while it drains a backlog, and print where its CPU goes."""
    console = Console(width=max(110, Console().width))
    began = time.monotonic()
    try:
        with servers(base, "full") as there:
            found = uvloop.run(_run(there, tasks, concurrency, seconds, warm))
    except (BenchError, SandboxError) as error:
        console.print(f"bench: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    print_profile(found, console, rows)
    console.print(f"took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    app()
