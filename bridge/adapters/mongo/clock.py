"""Time that all replicas share: the store's own clock, carried on by this process's monotonic one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bridge.domain.errors import StoreError

SLOWEST: Final = 0.5
"""How fast time passes while it is ahead of the store's: half as fast, so that it neither stops nor runs backwards."""

OnDifference = Callable[[timedelta], None]


def _wall() -> datetime:
    return datetime.now(UTC)


def _ignore(_difference: timedelta) -> None:
    return


@dataclass(frozen=True, slots=True)
class _Sample:
    """The store's time at a moment of the monotonic clock, known to half of `trip` (seconds)."""

    moment: datetime
    at: float
    trip: float


class SharedClock:
    """`ports.clock.Clock` that follows the store's clock; `sync` it before the first use, and then every minute or so.

    `read` asks the store for its time. Until the first `sync` the local wall clock counts.
    `now` never runs backwards: where it turns out to be ahead of the store it passes at half speed until it isn't.
    Only the first `sync` sets back a local clock that is ahead by more than `tolerance`: at half speed that replica
    would take others' claims for lapsed for hours.
    The local wall clock is not trusted, but a difference above `tolerance` points to a machine that is set wrong:
    `on_difference` gets it (the store's time less the local one), once until it changes by as much again.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[datetime]],
        *,
        samples: int = 5,
        tolerance: timedelta = timedelta(seconds=2),
        on_difference: OnDifference = _ignore,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = _wall,
    ) -> None:
        self._read = read
        self._samples = samples
        self._tolerance = tolerance
        self._on_difference = on_difference
        self._monotonic = monotonic
        self._wall = wall
        self._base: datetime | None = None
        self._base_at = 0.0
        self._ahead = 0.0
        self._last: datetime | None = None
        self._last_until = 0.0
        self._warned: timedelta | None = None

    def now(self) -> datetime:
        """Return the shared time, aware, in UTC; in whole milliseconds, as the store and the engine keep it."""
        at = self._monotonic()
        if self._last is not None and at < self._last_until:
            return self._last
        moment = self._moment(at)
        over = moment.microsecond % 1000
        if self._base is not None:
            self._last_until = at + (1000 - over) / 1_000_000
        moment -= timedelta(microseconds=over)
        if self._last is not None and moment < self._last:
            return self._last
        self._last = moment
        return moment

    async def sync(self) -> timedelta:
        """Measure the store's clock and follow it; return the store's time less the local wall clock's.

        Raises what `read` raises if not one sample could be taken; time then goes on as before. A difference that the
        time of the round trip can explain is not corrected.
        """
        best = await self._measure()
        at = self._monotonic()
        target = best.moment + timedelta(seconds=at - best.at)
        self._follow(target, at, best.trip / 2)
        difference = target - self._wall()
        self._check(difference)
        return difference

    def _moment(self, at: float) -> datetime:
        if self._base is None:
            return self._wall()
        elapsed = at - self._base_at
        if self._ahead:
            elapsed -= min(self._ahead, elapsed * (1 - SLOWEST))
        return self._base + timedelta(seconds=elapsed)

    async def _measure(self) -> _Sample:
        best: _Sample | None = None
        for _ in range(self._samples):
            began = self._monotonic()
            try:
                moment = await self._read()
            except StoreError:
                if best is None:
                    raise
                break
            trip = self._monotonic() - began
            if best is None or trip < best.trip:
                best = _Sample(moment, began + trip / 2, trip)
        if best is None:
            raise ValueError(f"samples must be 1 or more, not {self._samples}")
        return best

    def _follow(self, target: datetime, at: float, uncertain: float) -> None:
        current = self._moment(at)
        synced = self._base is not None and not self._ahead
        if synced and abs((current - target).total_seconds()) <= uncertain:
            return
        lead = self._last - target if self._last is not None else timedelta(0)
        if self._last is None or (self._base is None and lead > self._tolerance):
            self._last = None
            self._set(target, at, ahead=0.0)
            return
        current = max(current, self._last)
        ahead = (current - target).total_seconds()
        self._set(max(current, target), at, ahead=max(ahead, 0.0))

    def _set(self, base: datetime, at: float, *, ahead: float) -> None:
        self._base, self._base_at, self._ahead = base, at, ahead
        self._last_until = at

    def _check(self, difference: timedelta) -> None:
        if abs(difference) <= self._tolerance:
            self._warned = None
        elif self._warned is None or abs(difference - self._warned) > self._tolerance:
            self._warned = difference
            self._on_difference(difference)
