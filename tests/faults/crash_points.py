"""Named points at which a gateway kills, ends, freezes or delays itself; `tests.faults.crashing` puts them in.

A point is `CALL:before` or `CALL:after`, where CALL is a port's method, as in `store.accept`; a move of the store is
also named by its event, as in `store.move.decide`. After it may stand what to do there (`kill`, which is the default,
`term`, `stop`, `delay=SECONDS`) and at which time that the point is reached (`3`: the third). Commas separate points.
`consumer.start` is watched by its acknowledgements, as `acknowledger.ack`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from enum import StrEnum
from inspect import iscoroutinefunction
from typing import Any, Final, TypeVar, cast

from bridge.domain.lifecycle import Move
from bridge.domain.task import TaskKey
from bridge.ports.broker import Acknowledger, Consumer, Handle

Part = TypeVar("Part")

_STDERR: Final = 2
_POINT: Final = re.compile(
    r"(?P<call>[a-z_]+(?:\.[a-z_]+)+):(?P<when>before|after)"
    r"(?::(?P<deed>kill|term|stop|delay=(?P<seconds>\d+(?:\.\d+)?)))?(?::(?P<turn>[1-9]\d*))?"
)


class When(StrEnum):
    """On which side of its call a point is."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Point:
    """What happens at which time that a call is made. `number` is the signal; None delays by `seconds`."""

    call: str
    when: When
    turn: int = 1
    number: signal.Signals | None = signal.SIGKILL
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.call}:{self.when}"


_SIGNALS: Final[Mapping[str | None, signal.Signals]] = {
    None: signal.SIGKILL,
    "kill": signal.SIGKILL,
    "term": signal.SIGTERM,
    "stop": signal.SIGSTOP,
}


def read_points(text: str) -> tuple[Point, ...]:
    """Read points; raise `ValueError` for what is none."""
    return tuple(_read_point(part.strip()) for part in text.split(",") if part.strip())


def _read_point(text: str) -> Point:
    found = _POINT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no point; write CALL:before or CALL:after, as in store.accept:after")
    turn = int(found["turn"] or 1)
    number = None if found["seconds"] else _SIGNALS[found["deed"]]
    return Point(found["call"], When(found["when"]), turn, number, float(found["seconds"] or 0))


class CrashPoints:
    """Watches the calls to ports, and does at each point what is asked for there, once."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = tuple(points)
        self._turns: Counter[Point] = Counter()

    def wrap(self, name: str, part: Part) -> Part:
        """Return a part of the gateway with its calls watched: a `gateway.part_wrapper.PartWrapper`."""
        return self.over_consumer(part) if name == "consumer" else self.over(part, name)

    def over(self, part: Part, name: str) -> Part:
        """Return the part with its calls watched, under this name."""
        return cast("Part", _Watched(part, name, self))

    def over_consumer(self, consumer: Part) -> Part:
        """Return the consumer with its acknowledgements watched, as `acknowledger.ack` and `acknowledger.requeue`."""
        return cast("Part", _WatchedConsumer(consumer, "consumer", self))

    async def reach(self, calls: Sequence[str], when: When) -> None:
        """Count that the calls are made, or were; and do what is to be done now."""
        for point in self._points:
            if point.when is when and point.call in calls:
                self._turns[point] += 1
                if self._turns[point] == point.turn:
                    await self._strike(point)

    async def _strike(self, point: Point) -> None:
        _tell("crash_point", point, "delay" if point.number is None else point.number.name)
        if point.number is None:
            await asyncio.sleep(point.seconds)
        else:
            os.kill(os.getpid(), point.number)
        _tell("crash_point_passed", point, "alive")


def _tell(event: str, point: Point, deed: str) -> None:
    # Past the log: nothing may be left in a buffer of a process that is about to be killed.
    line = {"event": event, "point": point.name, "turn": point.turn, "deed": deed, "pid": os.getpid()}
    os.write(_STDERR, json.dumps(line).encode() + b"\n")


class _Watched:
    """Any part, with its coroutine methods watched; all else is the part's own."""

    def __init__(self, part: Any, name: str, points: CrashPoints) -> None:
        self._part = part
        self._name = name
        self._points = points

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._part, attribute)
        return self._watched(attribute, found) if iscoroutinefunction(found) else found

    def _watched(self, attribute: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **named: Any) -> Any:
            calls = _names(f"{self._name}.{attribute}", arguments)
            await self._points.reach(calls, When.BEFORE)
            answer = await method(*arguments, **named)
            # A poll that brought nothing, and a sweep that found nothing, are not what a test waits for.
            if not (isinstance(answer, Sized) and len(answer) == 0):
                await self._points.reach(calls, When.AFTER)
            return answer

        return call


class _WatchedConsumer(_Watched):
    async def start(self, handle: Handle) -> None:
        async def watched(topic: str, key: TaskKey, acknowledger: Acknowledger) -> None:
            await handle(topic, key, self._points.over(acknowledger, "acknowledger"))

        await cast("Consumer", self._part).start(watched)


def _names(call: str, arguments: Sequence[Any]) -> list[str]:
    moves = arguments[0] if arguments and isinstance(arguments[0], Sequence) else ()
    return [call, *sorted({f"{call}.{move.event}" for move in moves if isinstance(move, Move)})]
