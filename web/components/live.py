"""Live updates by server-sent events: they name the regions of a page that have changed, never their content.

One watcher reads the changes for all open pages of this process, and only while a page is open.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import orjson
import structlog
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import SkipValidation
from litestar.response import Stream

from bridge.domain.access import Principal, Scope
from bridge.domain.errors import GatewayError
from bridge.domain.messages import message
from bridge.ports.changes import Changes
from web.auth.guard import needs

EVERYTHING: Final = "*"
"""The name for all regions, where the changes that a page missed are no longer known."""

_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """Intervals of live updates, and the limits of streams.

    Every `recheck` the sessions of all streams are checked: those of people who were disabled, or signed out, end. A
    stream ends after `lifetime`, and its page opens another with its session, which may have ended meanwhile. After the
    last stream the watcher goes on for `linger`, so that a reader who changes pages misses nothing. Refetched pages may
    take the `share` of one core, all together: the more they cost the later the next update is sent, but not later than
    after `longest`.
    """

    every: timedelta = timedelta(milliseconds=500)
    heartbeat: timedelta = timedelta(seconds=15)
    linger: timedelta = timedelta(seconds=10)
    lifetime: timedelta = timedelta(minutes=5)
    recheck: timedelta = timedelta(seconds=3)
    per_user: int = 12
    together: int = 500
    share: float = 0.05
    longest: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Hint:
    """Something has changed: the names of the regions concerned."""

    number: int
    names: frozenset[str]


@dataclass(eq=False, slots=True)
class _Listener:
    user: str
    session: str = ""
    ended: bool = False
    waiting: set[str] = field(default_factory=set)
    last: int = 0
    woken: asyncio.Event = field(default_factory=asyncio.Event)


async def _none_ended(_session_ids: Collection[str]) -> Collection[str]:
    return ()


class Live:
    """The one watcher of a process, and its streams; `ending` closes every stream.

    `ended` returns which of the sessions of those ids are no longer valid.
    """

    def __init__(
        self,
        changes: Changes,
        ending: asyncio.Event,
        live_config: LiveConfig | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        ended: Callable[[Collection[str]], Awaitable[Collection[str]]] = _none_ended,
    ) -> None:
        self.live_config = live_config or LiveConfig()
        self._now = now
        self._ended = ended
        self._recheck_at = 0.0
        self._changes = changes
        self._ending = ending
        self._boot = secrets.token_hex(4)
        self._tokens: Mapping[str, str] | None = None
        self._number = 0
        self._hints: deque[Hint] = deque(maxlen=_REMEMBERED)
        self._listeners: set[_Listener] = set()
        self._watching: asyncio.Task[None] | None = None
        self._untold: set[str] = set()
        self._tell_at = 0.0
        self._spent = 0.0
        self._each = 0.0

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    def has_capacity_for(self, user: str) -> bool:
        """Return whether another stream of this user may be opened."""
        mine = Counter(listener.user for listener in self._listeners)[user]
        return (
            mine < self.live_config.per_user
            and len(self._listeners) < self.live_config.together
            and not self._ending.is_set()
        )

    @property
    def cursor(self) -> str:
        """The position of a page that is written now; empty while the watcher doesn't run."""
        return f"{self._boot}-{self._number}" if self._watching is not None else ""

    async def run_once(self) -> None:
        """Read the change tokens, and wake the streams where one differs. Raises `GatewayError`."""
        tokens = dict(await self._changes.change_tokens())
        before, self._tokens = self._tokens, tokens
        if before is None:
            return
        self._untold |= {name for name in tokens.keys() | before.keys() if tokens.get(name) != before.get(name)}
        now = self._now()
        if self._untold and now >= self._tell_at:
            names, self._untold = frozenset(self._untold), set()
            # What the last news cost is what the next will.
            self._tell_at = now + min(self._spent / self.live_config.share, self.live_config.longest.total_seconds())
            self._spent = 0.0
            self._tell(names)

    async def end_streams(self) -> None:
        """End the streams whose session has ended. Raises `GatewayError`."""
        ended = await self._ended({listener.session for listener in self._listeners if listener.session})
        for listener in self._listeners:
            if listener.session in ended:
                listener.ended = True
                listener.woken.set()

    def spend(self, seconds: float) -> None:
        """Count the time that a page took which was refetched after a change."""
        self._spent += seconds
        self._each = seconds if self._each == 0.0 else self._each + (seconds - self._each) / 8

    async def stream(self, user: str, last_id: str, session: str = "") -> AsyncIterator[bytes]:
        """Yield the stream's bytes, until the browser leaves, or the session, the stream's time or the process ends.

        `last_id` is the page's position, from `cursor` or the last event; for an unknown position all has changed.
        """
        listener, clock = _Listener(user, session), asyncio.get_running_loop()
        until = clock.time() + self.live_config.lifetime.total_seconds()
        self._join(listener)
        try:
            listener.waiting |= self._missed(last_id)
            listener.last = self._number
            yield b"retry: 2000\n\n"
            while not self._ending.is_set() and not listener.ended and (left := until - clock.time()) > 0:
                if listener.waiting:
                    names, listener.waiting = sorted(listener.waiting), set()
                    yield self._written(listener.last, names)
                elif not await self._news(listener, min(left, self.live_config.heartbeat.total_seconds())):
                    yield b": still here\n\n"
        finally:
            self._leave(listener)

    # -- streams

    def _join(self, listener: _Listener) -> None:
        self._listeners.add(listener)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="live")

    def _leave(self, listener: _Listener) -> None:
        self._listeners.discard(listener)

    @staticmethod
    async def _news(listener: _Listener, seconds: float) -> bool:
        """Wait for a hint, or for the end; False when it's time for a heartbeat."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await listener.woken.wait()
        woken = listener.woken.is_set()
        listener.woken.clear()
        return woken

    def _tell(self, names: frozenset[str]) -> None:
        self._number += 1
        self._hints.append(Hint(self._number, names))
        # One after the other, with as long between two as one takes: what else runs in this process runs in between.
        loop, most = asyncio.get_running_loop(), self.live_config.longest.total_seconds() / max(1, len(self._listeners))
        for place, listener in enumerate(self._listeners):
            listener.waiting |= names
            listener.last = self._number
            if (later := place * min(2 * self._each, most)) > 0:
                loop.call_later(later, listener.woken.set)
            else:
                listener.woken.set()

    def _missed(self, last_id: str) -> set[str]:
        """Return the changes that a page at the position `last_id` has missed."""
        boot, _, number = last_id.partition("-")
        if boot != self._boot or not number.isdecimal() or len(number) > 18 or int(number) > self._number:
            return {EVERYTHING}
        heard, oldest = int(number), self._hints[0].number if self._hints else self._number + 1
        if heard < self._number and heard + 1 < oldest:
            return {EVERYTHING}
        return {name for hint in self._hints if hint.number > heard for name in hint.names}

    def _written(self, number: int, names: list[str]) -> bytes:
        return f"id: {self._boot}-{number}\nevent: changed\ndata: ".encode() + orjson.dumps(names) + b"\n\n"

    # -- the watcher

    async def _watch(self) -> None:
        clock, failed = asyncio.get_running_loop(), False
        ended = asyncio.create_task(self._ending.wait())
        seen = clock.time()
        try:
            while not ended.done() and (
                self._listeners or clock.time() - seen < self.live_config.linger.total_seconds()
            ):
                failed = await self._poll(failed)
                await asyncio.wait([ended], timeout=self.live_config.every.total_seconds())
                seen = clock.time() if self._listeners else seen
        finally:
            ended.cancel()
            self._forget()

    async def _poll(self, failed: bool) -> bool:
        """Read the changes once; return whether that failed, which is logged once an outage."""
        try:
            await self.run_once()
            if self._now() >= self._recheck_at:
                self._recheck_at = self._now() + self.live_config.recheck.total_seconds()
                await self.end_streams()
        except GatewayError as error:
            if not failed:
                structlog.get_logger("web.components.live").warning("changes_unknown", error=str(error))
            return True
        return False

    def _forget(self) -> None:
        """Make older positions unknown: changes while the watcher does not run are not seen."""
        self._watching, self._tokens = None, None
        self._hints.clear()
        self._number += 1
        for listener in self._listeners:
            listener.woken.set()


def live_routes(live: Live) -> tuple[HTTPRouteHandler, ...]:
    """Return the route of the stream."""

    @get("/events", opt=needs(Scope.READ))
    async def events(request: Request[Any, Any, Any], principal: NamedDependency[SkipValidation[Principal]]) -> Stream:
        if not live.has_capacity_for(principal.name):
            raise HTTPException(detail=message("request.listeners"), status_code=429)
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache, no-store"}
        heard: str = request.headers.get("last-event-id") or request.query_params.get("since") or ""
        session = "" if principal.session is None else principal.session.id
        body = live.stream(principal.name, heard[:64], session)
        return Stream(body, media_type="text/event-stream", headers=headers)

    return (events,)
