"""What a run came to, topic by topic, and where to look further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from sandbox.demo.checks import Mismatch, Observed
from sandbox.demo.definitions import DEFINITIONS, STORED, Definition
from sandbox.demo.engine import LogKind
from sandbox.demo.models import MODELS
from sandbox.demo.traces import Traces

SHOWN = 10


@dataclass(frozen=True, slots=True)
class TopicSummary:
    """The numbers of one topic. Times are those of tasks that ended at their first attempt, None without any."""

    topic: str
    started: int
    completed: int
    bpmn_errors: int
    incidents: int
    retried: int
    p50: timedelta | None
    p95: timedelta | None


def summarise(definition: Definition, observed: Sequence[Observed]) -> TopicSummary:
    """Count the instances of one process, by the engine's history."""
    mine = [seen for seen in observed if seen.instance.process == definition.key]
    times = sorted(taken for seen in mine if (taken := time_taken(seen)) is not None)
    return TopicSummary(
        topic=definition.topic,
        started=len(mine),
        completed=sum(bool(definition.ends.intersection(seen.ends)) for seen in mine),
        bpmn_errors=sum(definition.error_end in seen.ends for seen in mine),
        incidents=sum(bool(seen.incidents) for seen in mine),
        retried=sum(_was_retried(seen) for seen in mine),
        p50=percentile(times, 50),
        p95=percentile(times, 95),
    )


def time_taken(seen: Observed) -> timedelta | None:
    """Return how long the task took from its creation to its end in the engine; None if it failed or hasn't ended."""
    created = seen.entries(LogKind.CREATION)
    over = seen.entries(LogKind.SUCCESS) + seen.entries(LogKind.DELETION)
    if seen.entries(LogKind.FAILURE) or not created or not over:
        return None
    return over[0].at - created[0].at


def percentile(times: Sequence[timedelta], percent: int) -> timedelta | None:
    """Return the smallest of the sorted times that `percent` of them don't exceed; None where there are none."""
    return times[-(-len(times) * percent // 100) - 1] if times else None


def show_summary(console: Console, observed: Sequence[Observed]) -> None:
    """Print a table with a row a topic."""
    table = Table(title="By the engine's history")
    table.add_column("topic")
    for name in ("started", "completed", "BPMN errors", "incidents", "retried", "p50 ms", "p95 ms"):
        table.add_column(name, justify="right")
    for definition in DEFINITIONS:
        row = summarise(definition, observed)
        counts = (row.started, row.completed, row.bpmn_errors, row.incidents, row.retried)
        table.add_row(row.topic, *map(str, counts), _milliseconds(row.p50), _milliseconds(row.p95))
    console.print(table)
    console.print("p50, p95: from the task's creation to its end, for those that ended at the first attempt")
    stored = sum(STORED in seen.ends for seen in observed)
    known = sum("ja_conhecida" in seen.ends for seen in observed)
    console.print(f"publications: {stored} stored as new, {known} already known")


def show_models(console: Console, wrong: Sequence[Mismatch]) -> None:
    """Print whether the instance of each kind of model came to what it must, and those that didn't."""
    kinds = ", ".join(model.kind for model in MODELS)
    if not wrong:
        console.print(f"[bold green]every kind of model came to its end[/]: {kinds}", soft_wrap=True)
        return
    console.print(f"[bold red]{len(wrong)} of {len(MODELS)} kinds of models are not right[/]:")
    _show(console, wrong)


def show_traces(console: Console, traces: Traces) -> None:
    """Print whether the trace of every task is whole in Jaeger, and the first that aren't."""
    if not traces.broken:
        console.print(
            f"[bold green]every one of {traces.checked} tasks has its trace in Jaeger[/], from the fetch to the"
            f" engine's answer; {traces.with_retries} have retries in it"
        )
        return
    console.print(f"[bold red]{len(traces.broken)} of {traces.checked} traces are not whole in Jaeger[/]:")
    _show(console, traces.broken)


def show_result(console: Console, checked: int, mismatches: Sequence[Mismatch]) -> None:
    """Print whether every instance is where it must be, and the first that aren't."""
    if not mismatches:
        console.print(f"[bold green]every one of {checked} instances is where it must be, completed exactly once")
        return
    console.print(f"[bold red]{len(mismatches)} mismatches[/], of which the first {min(SHOWN, len(mismatches))}:")
    _show(console, mismatches)


def _show(console: Console, mismatches: Sequence[Mismatch]) -> None:
    for each in mismatches[:SHOWN]:
        where = each.instance_id or "no process instance"
        console.print(f"  {each.business_key} ({where}) {each.problem}", highlight=False, markup=False, soft_wrap=True)


def show_addresses(console: Console, addresses: Sequence[tuple[str, str]]) -> None:
    """Print what can be opened now."""
    for name, address in addresses:
        console.print(f"  {name:12}{address}", highlight=False, markup=False, soft_wrap=True)


def _was_retried(seen: Observed) -> bool:
    # An incident at once is one failure that nothing came after.
    after = len(seen.entries(LogKind.SUCCESS)) + len(seen.entries(LogKind.DELETION))
    return len(seen.entries(LogKind.FAILURE)) + after > 1


def _milliseconds(time: timedelta | None) -> str:
    return "-" if time is None else f"{time / timedelta(milliseconds=1):.0f}"
