"""Reads traces back from a real Jaeger."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from tests.e2e.gateways import TIME_LIMIT
from tests.pause import pause


@dataclass(frozen=True)
class JaegerSpan:
    """A span as Jaeger has it."""

    id: str
    trace: str
    name: str
    parent: str | None
    links: tuple[tuple[str, str], ...]
    start: int
    duration: int
    tags: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...]
    resource: Mapping[str, Any]

    @property
    def end(self) -> int:
        return self.start + self.duration


class Trace:
    """All spans of one trace, the earliest first."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.id = str(raw["traceID"])
        self.text = json.dumps(raw)
        processes = {name: _tags(process["tags"]) for name, process in raw["processes"].items()}
        self.spans = sorted((_span(span, processes) for span in raw["spans"]), key=lambda span: span.start)

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def one(self, name: str) -> JaegerSpan:
        (span,) = self.all(name)
        return span

    def all(self, name: str) -> list[JaegerSpan]:
        return [span for span in self.spans if span.name == name]

    def parent_of(self, span: JaegerSpan) -> JaegerSpan | None:
        return next((other for other in self.spans if other.id == span.parent), None)


class Jaeger:
    """Jaeger's query interface, for the spans of one service."""

    def __init__(self, url: str, service: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._service = service
        self._session = session

    async def traces(self, **tags: str) -> list[Trace]:
        """Return all traces with these tags on one span, by `_` for `.`."""
        wanted = json.dumps({name.replace("_", ".", 1): value for name, value in tags.items()})
        path = f"/api/traces?service={quote(self._service)}&limit=1500&lookback=2h"
        if tags:
            path += f"&tags={quote(wanted)}"
        async with self._session.get(self._url + path) as answer:
            return [Trace(raw) for raw in (await answer.json())["data"] or []]

    async def trace(self, trace_id: str, *names: str) -> Trace:
        """Return a trace once it has spans of these names; each look is a call."""

        async def look() -> list[Trace]:
            async with self._session.get(f"{self._url}/api/traces/{trace_id}") as answer:
                return [Trace(raw) for raw in (await answer.json())["data"] or []]

        return await _until(look, trace_id, names)

    async def until(self, task_id: str, *names: str) -> Trace:
        """Return the trace of a task once it has spans of these names, as often as each is named.

        Each process tells its own spans in its own time, so name all that the test looks at.
        """
        return await _until(lambda: self.traces(task_id=task_id), task_id, names)


async def _until(look: Callable[[], Awaitable[list[Trace]]], what: str, names: tuple[str, ...]) -> Trace:
    found: list[Trace] = []
    try:
        async with asyncio.timeout(TIME_LIMIT):
            while True:
                found = await look()
                for trace in found:
                    if Counter(names) <= Counter(trace.names):
                        return trace
                await pause()
    except TimeoutError:
        raise AssertionError(f"no trace of {what} with {names}: {[trace.names for trace in found]}") from None


def _span(raw: Mapping[str, Any], processes: Mapping[str, Mapping[str, Any]]) -> JaegerSpan:
    references = raw.get("references") or []
    parents = [ref["spanID"] for ref in references if ref["refType"] == "CHILD_OF" and ref["traceID"] == raw["traceID"]]
    return JaegerSpan(
        id=raw["spanID"],
        trace=raw["traceID"],
        name=raw["operationName"],
        parent=parents[0] if parents else None,
        links=tuple((ref["traceID"], ref["spanID"]) for ref in references if ref["refType"] == "FOLLOWS_FROM"),
        start=raw["startTime"],
        duration=raw["duration"],
        tags=_tags(raw["tags"]),
        events=tuple(_tags(log["fields"]) for log in raw.get("logs") or []),
        resource=processes[raw["processID"]],
    )


def _tags(raw: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in raw}
