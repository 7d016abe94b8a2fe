"""Has every task its trace in Jaeger, whole from the fetch to the engine's answer, with each of its attempts in it?"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from sandbox.demo.checks import Mismatch, Observed
from sandbox.demo.definitions import DEFINITIONS
from sandbox.demo.engine import LogKind
from sandbox.demo.together import together

MOST: Final = 500
"""How many traces are looked at; of a larger run the first so many."""
TIME_LIMIT: Final = 60.0
"""Seconds until every span must have arrived: they are sent in batches, by each process in its own time."""

_AT_ONCE: Final = 4
_EVERY: Final = 0.5
_SPANS: Final = {LogKind.SUCCESS: "complete", LogKind.FAILURE: "fail", LogKind.DELETION: "bpmn_error"}


@dataclass(frozen=True, slots=True)
class Traces:
    """How many were looked at, how many of those have more than one attempt, and what is not whole."""

    checked: int
    with_retries: int
    broken: Sequence[Mismatch]


async def check_traces(
    session: aiohttp.ClientSession, jaeger: str, service: str, observed: Sequence[Observed]
) -> Traces:
    """Ask Jaeger about the trace of each instance's task until all are whole, or the time limit is reached."""
    chosen = observed[:MOST]
    deadline = time.monotonic() + TIME_LIMIT
    broken = await together([partial(_wait, session, jaeger, service, seen, deadline) for seen in chosen], _AT_ONCE)
    retries = sum(_attempts(seen) > 1 for seen in chosen)
    return Traces(len(chosen), retries, [each for each in broken if each is not None])


async def _wait(
    session: aiohttp.ClientSession, jaeger: str, service: str, seen: Observed, deadline: float
) -> Mismatch | None:
    while True:
        problems = list(problems_of(seen, await _spans(session, jaeger, service, seen.instance.id)))
        if not problems:
            return None
        if time.monotonic() > deadline:
            return Mismatch(seen.instance.business_key, seen.instance.id, f"its trace {'; '.join(problems)}")
        await asyncio.sleep(_EVERY)


async def _spans(
    session: aiohttp.ClientSession, jaeger: str, service: str, instance: str
) -> Sequence[Mapping[str, Any]]:
    tags = quote(json.dumps({"process.instance.id": instance}))
    url = f"{jaeger}/api/traces?service={quote(service)}&limit=20&lookback=2h&tags={tags}"
    async with session.get(url) as answer:
        answer.raise_for_status()
        found = (await answer.json())["data"] or []
    return [span for trace in found for span in trace["spans"]]


def problems_of(seen: Observed, spans: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell what is missing in the spans of an instance's task, by what the engine's log says of it."""
    topic = next(one.topic for one in DEFINITIONS if one.key == seen.instance.process)
    names = Counter(span["operationName"] for span in spans)
    if not spans:
        yield "is not there"
        return
    for name, least in ((f"task {topic}", 1), (f"process {topic}", _attempts(seen))):
        if names[name] < least:
            yield f"has {names[name]} of {least} spans {name!r}"
    for kind, name in _SPANS.items():
        told = len(seen.entries(kind))
        if names[name] < told:
            yield f"has {names[name]} of {told} spans {name!r}"
    known = {span["spanID"] for span in spans}
    parents = [r["spanID"] for span in spans for r in span.get("references") or [] if r["refType"] == "CHILD_OF"]
    astray = sum(parent not in known for parent in parents)
    if astray:
        yield f"has {astray} spans whose parent is missing"


def _attempts(seen: Observed) -> int:
    return sum(len(seen.entries(kind)) for kind in _SPANS)
