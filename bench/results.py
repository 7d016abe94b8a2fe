"""What a run found: gathered, judged against the targets, printed as tables and kept as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
from rich.console import Console
from rich.table import Table

from bench.backlog import Backlog
from bench.counted import Counts
from bench.drain import Drain
from bench.latency import Latency
from bench.submit import Accepted

HERE: Final = Path(__file__).parent / "results"
REFERENCE: Final = "ceiling"
MEMORY_NOTE: Final = (
    "The engine's database and the store are in memory; the broker keeps its durable quorum queues on disk."
)


@dataclass
class Results:
    """All that was measured; what was not is empty."""

    about: dict[str, Any]
    rounds: list[dict[str, Drain]] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    idle: dict[str, Latency] = field(default_factory=dict)
    first: dict[str, list[float]] = field(default_factory=dict)
    submit: list[Accepted] = field(default_factory=list)
    counts: Counts | None = None
    backlog: Backlog | None = None
    skipped: dict[str, str] = field(default_factory=dict)

    def runs(self, name: str) -> list[Drain]:
        """Return a contender's runs, a round each."""
        return [drains[name] for drains in self.rounds if name in drains]

    def names(self) -> list[str]:
        """Return who ran, in the order of their names' first round."""
        return list(dict.fromkeys(name for drains in self.rounds for name in drains))

    def ratio(self, name: str, to: str = REFERENCE) -> float | None:
        """Return the median of the ratios to the ceiling, or to another's rate, each within its round."""
        ratios = [d[name].rate / d[to].rate for d in self.rounds if name in d and to in d]
        return statistics.median(ratios) if ratios else None

    def as_json(self) -> dict[str, Any]:
        """Return everything, without a path or a name of this machine."""
        return {
            **self.about,
            "drain": {
                name: {"rate": _median(self.runs(name), lambda run: run.rate), "ratio": self.ratio(name)}
                for name in self.names()
            },
            "warm": self.warm,
            "rounds": [{name: drain.as_json() for name, drain in drains.items()} for drains in self.rounds],
            "idle": {name: vars_of(latency) for name, latency in self.idle.items()},
            "start_to_first": self.first,
            "submit": [accepted.as_json() for accepted in self.submit],
            "counts": None if self.counts is None else self.counts.as_json(),
            "backlog": None if self.backlog is None else self.backlog.as_json(),
            "targets": [{"target": name, "found": found, "met": met} for name, found, met in judged(self)],
            "skipped": self.skipped,
        }

    def save(self) -> Path:
        """Write the results under their date; return the file."""
        HERE.mkdir(exist_ok=True)
        path = HERE / f"{self.about['at'].replace(':', '')}.json"
        path.write_text(json.dumps(self.as_json(), indent=2) + "\n")
        return path


def vars_of(latency: Latency) -> dict[str, Any]:
    """Return a latency's numbers."""
    return {"samples": latency.samples, "p50_ms": latency.p50, "p95_ms": latency.p95}


def about(engine: str, history: str, concurrency: int) -> dict[str, Any]:
    """Describe the run: when, on what, and with which servers."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "engine": engine,
        "history": history,
        "concurrency": concurrency,
        "load_at_start": round(os.getloadavg()[0], 2),
        "stores": MEMORY_NOTE,
    }


def _median(runs: Sequence[Drain], value: Callable[[Drain], float]) -> float:
    return statistics.median(value(run) for run in runs)


def _per_task(runs: Sequence[Drain], part: str) -> float:
    return _median(runs, lambda run: run.cpu.get(part, 0.0))


Judgement = tuple[str, str, bool]


def judged(results: Results) -> list[Judgement]:
    """Hold what was measured against the targets: the target, what was found, whether it is met."""
    return [
        *_of_drains(results),
        *_of_traces(results),
        *_of_counts(results),
        *_of_times(results),
        *_of_backlog(results),
    ]


def _of_drains(results: Results) -> Iterable[Judgement]:
    runs, ratio = results.runs("gateway"), results.ratio("gateway")
    if ratio is not None:
        yield "throughput >= 0.60 of the ceiling", f"{ratio:.2f}", ratio >= 0.60
    if runs:
        cost = _per_task(runs, "client")
        yield "the gateway's own CPU <= 1.0 ms a task", f"{cost:.2f}", cost <= 1.0
        size = max(size for run in runs for size in run.memory) / 1e6
        yield "resident memory <= 150 MB a process", f"{size:.0f} MB", size <= 150


def _of_traces(results: Results) -> Iterable[Judgement]:
    for name, what, least in (("gateway-traced", "every task", 0.90), ("gateway-traced-1pct", "1 % of tasks", 0.97)):
        ratio = results.ratio(name, "gateway")
        if ratio is not None:
            yield f"throughput with traces of {what} >= {least:.2f} of that without", f"{ratio:.2f}", ratio >= least


def _of_counts(results: Results) -> Iterable[Judgement]:
    counts = results.counts
    if counts is not None:
        found = counts.commands_a_task
        yield "store commands <= 1.5 a task", f"{found:.2f}", found <= 1.5
        calls = counts.calls_a_task
        yield "engine calls 1 + 1/batch a task", f"{calls:.3f}", not counts.call_faults()


def _of_times(results: Results) -> Iterable[Judgement]:
    ours, lean = results.idle.get("gateway"), results.idle.get(REFERENCE)
    if ours is not None and lean is not None:
        for name, mine, its, most in (("p50", ours.p50, lean.p50, 2), ("p95", ours.p95, lean.p95, 4)):
            found = f"{mine:.0f} ms, {mine / its:.1f}x"
            yield f"idle to completed {name} <= {most}x the ceiling's", found, mine <= most * its
    if "gateway" in results.first:
        seconds = statistics.median(results.first["gateway"])
        yield "start to first task <= 2 s", f"{seconds:.2f} s", seconds <= 2
    for accepted in results.submit[:1]:
        yield "submissions >= 1000 a second", f"{accepted.rate:.0f}", accepted.rate >= 1000
        yield "submission p99 <= 100 ms at 50 connections", f"{accepted.p99:.0f} ms", accepted.p99 <= 100


def _of_backlog(results: Results) -> Iterable[Judgement]:
    if results.backlog is not None:
        idle, loaded = results.backlog.idle, results.backlog.loaded
        found = f"{loaded.wait_p50:.0f} ms, {loaded.wait_p50 / idle.wait_p50:.1f}x"
        yield "cold topics wait <= 2x their idle time (p50)", found, loaded.wait_p50 <= 2 * idle.wait_p50


def print_results(results: Results, console: Console) -> None:
    """Print tables of all that there is."""
    console.print(
        f"\nCamunda {results.about['engine']}, history {results.about['history']}, {results.about['cores']} cores, "
        f"load at the start {results.about['load_at_start']}. {MEMORY_NOTE}"
    )
    if results.rounds:
        console.print(_drains_table(results))
    for title, columns, rows in (_idle_rows(results), _submit_rows(results), _count_rows(results)):
        if rows:
            console.print(table(title, columns, rows))
    if results.backlog is not None:
        console.print(_backlog_table(results.backlog))
        console.print(_quarters_table(results.backlog))
    verdicts = [(name, found, "yes" if met else "NO") for name, found, met in judged(results)]
    if verdicts:
        console.print(table("Targets", ("target", "found", "met"), verdicts))
    for name, why in results.skipped.items():
        console.print(f"left out: {name} ({why})")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table whose first column is text and whose others are numbers."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _drains_table(results: Results) -> Table:
    rows: list[Sequence[str]] = []
    for name in results.names():
        runs, ratio = results.runs(name), results.ratio(name)
        cpu = [f"{_per_task(runs, part):.2f}" for part in ("client", "store", "broker", "engine")]
        sizes = [max(run.memory) for run in runs if run.memory]
        size = f"{max(sizes) / 1e6:.0f}" if sizes else ""
        rate = f"{_median(runs, lambda run: run.rate):.0f}"
        rows.append((name, rate, "" if ratio is None else f"{ratio:.2f}", *cpu, size))
    title = f"Draining a backlog: medians of {len(results.rounds)} rounds; CPU in ms a task"
    return table(title, ("contender", "tasks/s", "of ceiling", "own", "store", "broker", "engine", "MB"), rows)


Rows = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def _idle_rows(results: Results) -> Rows:
    rows: list[tuple[str, ...]] = [
        (
            name,
            f"{latency.p50:.0f}",
            f"{latency.p95:.0f}",
            f"{statistics.median(results.first[name]):.2f}" if name in results.first else "",
        )
        for name, latency in results.idle.items()
    ]
    return "Nothing else to do: start to end, ms", ("contender", "p50", "p95", "start to first task, s"), rows


def _submit_rows(results: Results) -> Rows:
    rows: list[tuple[str, ...]] = [
        (
            one.roles,
            f"{one.rate:.0f}",
            f"{one.p50:.0f}",
            f"{one.p95:.0f}",
            f"{one.p99:.0f}",
            f"{one.cpu['gateway']:.2f}",
        )
        for one in results.submit
    ]
    title = "POST /tasks/submit, 50 connections; ms"
    return title, ("roles", "accepted/s", "p50", "p95", "p99", "CPU a task"), rows


def _count_rows(results: Results) -> Rows:
    counts = results.counts
    if counts is None:
        return "", (), []
    rows: list[tuple[str, ...]] = [
        ("engine calls a task", f"{counts.calls_a_task:.3f}", _named(counts.engine_calls)),
        ("store commands a task", f"{counts.commands_a_task:.3f}", _named(counts.store_commands)),
        ("connections", str(sum(counts.connections.values())), _named(counts.connections)),
        ("locked while no handler ends", str(counts.locked), f"at the most {counts.bound}"),
    ]
    return f"Counted over {counts.tasks} tasks", ("what", "found", "of which"), rows


def _named(numbers: Mapping[str, int], most: int = 6) -> str:
    ordered = sorted(numbers.items(), key=lambda item: -item[1])
    rest = sum(number for _, number in ordered[most:])
    told = [f"{name} {number}" for name, number in ordered[:most]]
    return ", ".join([*told, f"others {rest}"] if rest else told)


def _backlog_table(found: Backlog) -> Table:
    rows = [
        (
            name,
            str(waits.samples),
            f"{waits.wait_p50:.0f}",
            f"{waits.wait_p95:.0f}",
            f"{waits.total_p50:.0f}",
            f"{waits.total_p95:.0f}",
        )
        for name, waits in (("idle", found.idle), ("beside the backlog", found.loaded))
    ]
    first, most, last = (size / 1e6 for size in found.memory)
    title = (
        f"50 topics, {found.hot} tasks of one at {found.rate:.0f}/s: the others' waits, ms. "
        f"Gateway {first:.0f} -> {last:.0f} MB, at the most {most:.0f}; {found.most_locked} locked at the most"
    )
    columns = ("cold topics", "tasks", "wait p50", "wait p95", "to the end p50", "to the end p95")
    return table(title, columns, rows)


def _quarters_table(found: Backlog) -> Table:
    rows = [
        (
            f"{25 * number} to {25 * number + 25} %",
            f"{quarter.rate:.0f}" if quarter.rate else "",  # too short to have been counted twice
            "" if quarter.waits is None else f"{quarter.waits.wait_p50:.0f}",
            "" if quarter.waits is None else f"{quarter.waits.wait_p95:.0f}",
            f"{quarter.memory / 1e6:.0f}",
        )
        for number, quarter in enumerate(found.quarters)
    ]
    return table("Over time", ("of the backlog", "tasks/s", "cold wait p50", "p95", "MB"), rows)
