"""The bench's command line."""

from __future__ import annotations

from typing import Annotated

import typer
import uvloop
from rich.console import Console

from bench.contenders import BATCH, Contender, contenders
from bench.errors import BenchError
from bench.plan import Plan, run, run_backlog, run_counted
from bench.results import Results, print_results
from bench.servers import DEFAULT_BASE, Servers, servers
from sandbox.errors import SandboxError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _chosen(only: str | None, concurrency: int) -> tuple[list[Contender], dict[str, str]]:
    """Return the contenders that run, and those that don't with the reason."""
    known = contenders(concurrency)
    names = [name for name, one in known.items() if one.by_default] if only is None else only.split(",")
    strange = sorted(set(names) - set(known))
    if strange:
        raise BenchError(f"--only {','.join(strange)}: choose from {', '.join(known)}")
    missing = {name: why for name in names if (why := known[name].missing()) is not None}
    return [known[name] for name in names if name not in missing], missing


@app.command()
def bench(
    *,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds; the contenders take turns in each.")] = 3,
    tasks: Annotated[
        int, typer.Option(min=100, max=20_000, help="Tasks that are measured, a contender and round.")
    ] = 3000,
    only: Annotated[str | None, typer.Option(help="Contenders by name, separated by commas.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="The topic's concurrency in the gateway.")] = BATCH,
    history: Annotated[str, typer.Option(help="The engine's history level: none, activity, audit or full.")] = "full",
    short: Annotated[
        bool, typer.Option("--short", help="Only what is counted, with few tasks; fails by counts alone.")
    ] = False,
    backlog: Annotated[
        bool, typer.Option("--backlog", help="Only: 50 topics, one of them with a long backlog.")
    ] = False,
    hot: Annotated[int, typer.Option(min=500, max=100_000, help="With --backlog: the hot topic's tasks.")] = 20_000,
    base: Annotated[int, typer.Option(help="The first of eight ports for the servers.")] = DEFAULT_BASE,
) -> None:
    """Measure the gateway against the engine's own ceiling and other clients, on real servers started for that."""
    console = Console()
    try:
        chosen, missing = _chosen(only, concurrency)
        plan = Plan(chosen, rounds, tasks, concurrency, history)
        with servers(base, history) as there:
            results = uvloop.run(_measure(there, plan, short, backlog, hot))
    except (BenchError, SandboxError) as error:
        console.print(f"bench: {error}", style="red", markup=False)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        console.print("bench: interrupted; the servers have been ended", style="red")
        raise typer.Exit(130) from None
    results.skipped = missing
    print_results(results, console)
    console.print(f"kept as bench/results/{results.save().name}")
    faults = results.counts.faults() if short and results.counts is not None else []
    for fault in faults:
        console.print(f"bench: {fault}", style="red", markup=False)
    if faults:
        raise typer.Exit(1)


async def _measure(there: Servers, plan: Plan, short: bool, backlog: bool, hot: int) -> Results:
    if short:
        return await run_counted(there, plan)
    if backlog:
        return await run_backlog(there, plan, hot)
    return await run(there, plan)
