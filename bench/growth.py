"""How a task's cost grows with the backlog, the topics, the replicas and the variables: `python -m bench.growth`.

One thing is changed at a time; everything else is as in the first row of all, which is measured again as the first of
each group, since what else the machine does changes over the minutes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated
from uuid import uuid4

import typer
import uvloop
from rich.console import Console

from bench.contenders import BATCH, contenders
from bench.drain import LEAD, Drain, drain, measure, warm
from bench.engine import Engine
from bench.errors import BenchError
from bench.gateway import Gateways, Shape
from bench.results import HERE, about, table
from bench.servers import DEFAULT_BASE, Servers, servers
from sandbox.errors import SandboxError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Load:
    """What is drained: so many `tasks` over so many `topics`, by `replicas`, with `size` bytes of variables a task."""

    tasks: int
    topics: int = 1
    replicas: int = 1
    size: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """`what` grows, which is the `field` of a load; and the loads in which it does."""

    what: str
    field: str
    loads: Sequence[Load]


def groups(tasks: int) -> Sequence[Group]:
    """Return what is changed, one after the other; each group begins with the same load."""
    base = Load(tasks)
    steps = (
        ("backlog, tasks", "tasks", (4 * tasks, 16 * tasks)),
        ("topics", "topics", (10, 50)),
        ("replicas", "replicas", (2, 3)),
        ("variables, bytes a task", "size", (1_000, 10_000, 100_000)),
    )
    return [
        Group(what, field, [base, *(replace(base, **{field: value}) for value in values)])
        for what, field, values in steps
    ]


async def work_off(engine: Engine, there: Servers, load: Load) -> Drain:
    """Start the instances, and let gateways of the load's shape work them off."""
    mark = uuid4().hex[:6]
    names = [f"growth{number}-{mark}" for number in range(load.topics)]
    deployment = await engine.deploy(*names)
    each = int(load.tasks * (1 + LEAD)) // load.topics
    for name in names:
        if load.size:
            await engine.start_with(name, each, load.size)
        else:
            await engine.start_many(name, each)
    gateways = Gateways(there.env, there.folder, names, Shape(processes=load.replicas))
    try:
        gateways.start()
        return await measure(engine, there, gateways, None, min(load.tasks, each * load.topics - 1))
    finally:
        await gateways.stop()
        await engine.delete(deployment)


Found = Sequence[tuple[Group, Sequence[tuple[Load, Drain]]]]


async def _run(there: Servers, tasks: int, console: Console) -> Found:
    found: list[tuple[Group, list[tuple[Load, Drain]]]] = []
    async with Engine(there.engine) as engine:
        known = contenders(BATCH)
        await warm(engine, there, known["ceiling"], 1500)
        await drain(engine, there, known["gateway"], tasks)
        for group in groups(tasks):
            found.append((group, []))
            for load in group.loads:
                one = await work_off(engine, there, load)
                found[-1][1].append((load, one))
                console.print(f"{group.what} {getattr(load, group.field)}: {one.rate:.0f} tasks/s")
        at = about(await engine.about(), "full", BATCH)
    rows = {group.what: [{**asdict(load), **one.as_json()} for load, one in some] for group, some in found}
    HERE.mkdir(exist_ok=True)
    (HERE / f"growth-{at['at'].replace(':', '')}.json").write_text(json.dumps({"about": at, **rows}, indent=2) + "\n")
    return found


@app.command()
def main(
    *,
    tasks: Annotated[int, typer.Option(min=100, max=5_000, help="Tasks of the first row of each group.")] = 1000,
    base: Annotated[int, typer.Option(help="The first of eight ports for the servers.")] = DEFAULT_BASE,
) -> None:
    """Measure how a task's cost grows, and print it by what grows."""
    console = Console(width=max(110, Console().width))
    try:
        with servers(base, "full") as there:
            found = uvloop.run(_run(there, tasks, console))
    except (BenchError, SandboxError) as error:
        console.print(f"bench: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    columns = ("", "tasks/s", "gateway", "store", "broker", "engine", "engine calls", "MB a process")
    for group, some in found:
        cells = [_row(f"{getattr(load, group.field):,}", one) for load, one in some]
        console.print(table(f"{group.what}: CPU in ms a task", columns, cells))


def _row(value: str, one: Drain) -> tuple[str, ...]:
    cpu = (f"{one.cpu[part]:.2f}" for part in ("client", "store", "broker", "engine"))
    return value, f"{one.rate:.0f}", *cpu, f"{sum(one.calls.values()):.2f}", f"{max(one.memory) / 1e6:.0f}"


if __name__ == "__main__":
    app()
