"""A reverse proxy before a real engine that spoils one row of each fetch, each time in another way."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from aiohttp import web

from sandbox.proxies.engine import EngineProxy
from tests.contract.hostile_engine import Spoil


class RowSpoiler(EngineProxy):
    """Spoils a row of a fetch by each of `spoils` once, where another comes with it; `done` has each with a task's id.

    A task is spoiled once, so that it can be worked when it comes again.
    """

    def __init__(self, url: str, spoils: Sequence[Spoil]) -> None:
        super().__init__(url, lambda _operation: None)
        self._left = list(spoils)
        self.done: list[tuple[Spoil, str]] = []

    @property
    def is_done(self) -> bool:
        return not self._left

    async def _pass_on(self, request: web.BaseRequest, body: bytes) -> web.Response:
        answer = await super()._pass_on(request, body)
        if not request.path.endswith("/fetchAndLock") or answer.status != 200 or not isinstance(answer.body, bytes):
            return answer
        rows = orjson.loads(answer.body)
        known = {task_id for _, task_id in self.done}
        spoilable = [row for row in rows if row["id"] not in known]
        if not self._left or len(rows) < 2 or not spoilable:
            return answer
        row, spoil = spoilable[0], self._left.pop(0)
        self.done.append((spoil, row["id"]))
        rows[rows.index(row)] = spoil.of(row)
        return web.Response(status=200, body=orjson.dumps(rows), headers=answer.headers)
