"""The engine as a soak needs it: start instances through outages, and read all of the history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from sandbox.demo.engine import EngineApi
from sandbox.demo.errors import EngineRefused, EngineUnreachable
from sandbox.soak.evaluation import Entry

_PAGE = 2000
_AGAIN_AFTER = 0.5
_ANSWERS_WITHIN = aiohttp.ClientTimeout(total=10)
_STARTS_AT_ONCE = 16
"""How many starts are under way at most: an engine that is slow would begin thousands for the hundreds that wait."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A process instance of the soak, as the engine's history has it."""

    id: str
    business_key: str
    has_ended: bool


class SoakEngine:
    """All that is asked here is asked again until the engine answers: it may be down by our own doing."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, process: str) -> None:
        self._session = session
        self._base_url = base_url
        self._process = process
        self._api = EngineApi(session, base_url)
        self._starts = asyncio.Semaphore(_STARTS_AT_ONCE)

    async def deploy(self, model: Path) -> None:
        await self._api.deploy([model])

    async def start(self, business_key: str, variables: Mapping[str, str]) -> None:
        """Start an instance, or try to. Where no answer came one may have begun: the history tells, not we."""
        typed = {name: {"type": "String", "value": value} for name, value in variables.items()}
        while True:
            try:
                async with self._starts, asyncio.timeout(_ANSWERS_WITHIN.total):
                    await self._api.start(self._process, business_key, typed)
            except (EngineUnreachable, EngineRefused, TimeoutError):
                await asyncio.sleep(_AGAIN_AFTER)
            else:
                return

    async def unfinished(self) -> int:
        """Count the instances that have neither ended nor an incident."""
        running = await self._count("/history/process-instance/count", unfinished="true")
        return running - len(await self.incidents())

    async def incidents(self) -> frozenset[str]:
        """Return the instances with an open incident."""
        found = [row async for row in self._rows("/incident", processDefinitionKeyIn=self._process)]
        return frozenset(row["processInstanceId"] for row in found)

    async def instances(self) -> list[Instance]:
        """Return every instance that was ever started."""
        rows = self._rows("/history/process-instance", processDefinitionKey=self._process, sortBy="instanceId")
        return [Instance(row["id"], row["businessKey"], row["endTime"] is not None) async for row in rows]

    async def log(self) -> list[Entry]:
        """Return what was created, and what ended well."""
        path, found = "/history/external-task-log", list[Entry]()
        for kind in ("creationLog", "successLog"):
            rows = self._rows(path, processDefinitionKey=self._process, sortBy="timestamp", **{kind: "true"})
            found += [Entry(r["processInstanceId"], r["externalTaskId"], r["successLog"]) async for r in rows]
        return found

    async def results(self, variable: str) -> list[str]:
        """Return the instance of each variable of that name."""
        rows = self._rows("/history/variable-instance", processDefinitionKey=self._process, variableName=variable)
        return [row["processInstanceId"] async for row in rows]

    async def _count(self, path: str, **query: str) -> int:
        return int((await self._get(path, {"processDefinitionKey": self._process, **query}))["count"])

    async def _rows(self, path: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        order = {"sortOrder": "asc"} if "sortBy" in query else {}
        first = 0
        while True:
            page = await self._get(path, {**query, **order, "firstResult": str(first), "maxResults": str(_PAGE)})
            for row in page:
                yield row
            if len(page) < _PAGE:
                return
            first += _PAGE

    async def _get(self, path: str, query: dict[str, str]) -> Any:
        while True:
            try:
                async with self._session.get(self._base_url + path, params=query, timeout=_ANSWERS_WITHIN) as answer:
                    if answer.status == 200:
                        return await answer.json()
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(_AGAIN_AFTER)
