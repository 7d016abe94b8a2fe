"""Reads traces back from a real Jaeger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

PATIENCE = 240.0


@dataclass(frozen=True)
class Seen:
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

    def one(self, name: str) -> Seen:
        (span,) = self.all(name)
        return span

    def all(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]

    def parent_of(self, span: Seen) -> Seen | None:
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

    async def trace(self, trace_id: str) -> Trace | None:
        async with self._session.get(f"{self._url}/api/traces/{trace_id}") as answer:
            data = (await answer.json())["data"] or []
            return Trace(data[0]) if data else None

    async def until(self, task_id: str, *names: str, meets: Callable[[Trace], bool] = lambda _trace: True) -> Trace:
        """Return the trace of a task once it has spans of these names; each look is a call."""
        found: list[Trace] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    found = await self.traces(task_id=task_id)
                    for trace in found:
                        if set(names) <= set(trace.names) and meets(trace):
                            return trace
        except TimeoutError:
            raise AssertionError(f"no trace of {task_id} with {names}: {[trace.names for trace in found]}") from None


def _span(raw: Mapping[str, Any], processes: Mapping[str, Mapping[str, Any]]) -> Seen:
    references = raw.get("references") or []
    parents = [ref["spanID"] for ref in references if ref["refType"] == "CHILD_OF" and ref["traceID"] == raw["traceID"]]
    return Seen(
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
