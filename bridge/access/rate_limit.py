"""How many requests one API key, and one address, may make in a minute, over all replicas of the gateway.

Requests are counted in the process, in fixed windows of a minute. Only a key or address that has made a tenth of its
limit here is also counted in the store, by batches of a fiftieth of the limit: without a client near a limit the store
is not asked. With up to ten replicas, at most one batch of each passes beyond the limit.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from bridge.domain.errors import TooManyRequests
from bridge.domain.messages import message
from bridge.ports.clock import Clock

WINDOW: Final = timedelta(minutes=1)
MOST_SIDES: Final = 10_000
"""Keys and addresses that are counted at a time; beyond, the first one is dropped."""
_SHARED_FROM: Final = 10
_BATCHES: Final = 50


class Side(StrEnum):
    """The two kinds of limits; `told` is the name in a message."""

    KEY = "key"
    ADDRESS = "address"

    @property
    def told(self) -> str:
        """Return the beginning of a sentence about it."""
        match self:
            case Side.KEY:
                return "An API key"
            case Side.ADDRESS:
                return "An address"


class RequestCounts(Protocol):
    """Counts that all replicas share."""

    async def count_requests(self, side: str, window_end: datetime, count: int) -> int:
        """Add `count` to a side's requests in the window that ends then; return all that were counted in it."""
        ...


@dataclass(slots=True)
class _Count:
    """The requests of one side in this window: `total` as the store has them, `unsent` those that it lacks yet."""

    here: int = 0
    total: int = 0
    unsent: int = 0


class RateLimit:
    """Lets `limit` requests of each key, or of each address, through in a minute; with `limit` 0 all, uncounted."""

    def __init__(self, side: Side, limit: int, counts: RequestCounts, clock: Clock) -> None:
        self._side = side
        self._limit = limit
        self._counts = counts
        self._clock = clock
        self._shared_from = max(1, limit // _SHARED_FROM)
        self._batch = max(1, limit // _BATCHES)
        self._end = datetime.min.replace(tzinfo=UTC)
        self._sides: OrderedDict[str, _Count] = OrderedDict()

    async def admit(self, name: str) -> None:
        """Count a request. Raises `TooManyRequests` beyond the limit, `StoreUnavailable` without a known count."""
        if self._limit == 0:
            return
        now = self._clock.now()
        if now >= self._end:
            self._sides.clear()
            self._end = _end_of_window(now)
        found = self._sides.get(name)
        if found is None:
            found = self._sides[name] = _Count()
            if len(self._sides) > MOST_SIDES:
                self._sides.popitem(last=False)
        if found.total + found.unsent >= self._limit:
            wait = max(1, math.ceil((self._end - now).total_seconds()))
            said = message(f"request.{self._side}_limit", most=self._limit, seconds=wait)
            raise TooManyRequests(said, wait=wait)
        found.here += 1
        found.unsent += 1
        if found.here >= self._shared_from and found.unsent >= self._batch:
            # What comes meanwhile counts by `total`, too: of many at once one asks the store.
            sent, found.unsent = found.unsent, 0
            found.total += sent
            total = await self._counts.count_requests(f"{self._side}:{name}", self._end, sent)
            found.total = max(found.total, total)


def _end_of_window(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) + WINDOW
