"""Checks of the engine: address and login, rights, time zone, history, and whether it may hold a poll."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import uuid4
from zoneinfo import ZoneInfo

from bridge.domain.errors import CallCut, EngineRejected
from bridge.domain.replica import new_worker_id
from bridge.domain.rights import Right
from bridge.domain.time_zones import agrees, offset_of, suggested
from bridge.ports.engine import TopicPoll
from gateway.checks.check import WITHIN, Check, run_in_turn
from gateway.checks.finding import Finding, fault, good, warning
from gateway.wiring import Gateway

PART: Final = "engine"
_LONGEST_POLL: Final = 10.0


def _address(gateway: Gateway) -> str:
    return gateway.settings.camunda_url


async def _answers(gateway: Gateway) -> Sequence[Finding]:
    """Find whether an engine answers, and takes the login for a call that needs one."""
    product = await gateway.engine.product()
    try:
        waiting = await gateway.engine.count()
    except EngineRejected as error:
        if error.status in {401, 403}:
            raise
        says = f"{_address(gateway)}: {product}, which refuses what is asked of it: {error}"
        change = "an engine of another name than `default` has its address at CAMUNDA_URL/engine/NAME: check NAME"
        return (fault(PART, "engine.refuses", says, change),)
    says = f"{_address(gateway)}: {product}, {waiting} open external tasks"
    change = "use a newer line: the manual has a table of what differs between engines"
    too_old = [warning(PART, missing.code, missing, change) for missing in product.shortcomings]
    return (good(PART, says), *too_old)


async def _rights(gateway: Gateway) -> Sequence[Finding]:
    settings = gateway.settings
    user = settings.camunda_username or settings.camunda_oauth_client_id or "the engine"
    missing = await gateway.engine.missing_rights(gateway.topics.definitions)
    if missing:
        change = "the manual lists them under `Rights in the engine`"
        return (fault("rights", "engine.right_missing", f"{user}: {'; '.join(map(str, missing))}", change),)
    return (good("rights", f"{user}: all that are needed, or the engine asks for none"),)


async def _zone(gateway: Gateway) -> Sequence[Finding]:
    """Find whether ENGINE_TIMEZONE has the offsets in which the engine writes."""
    part, name = "time zone", f"ENGINE_TIMEZONE={gateway.settings.engine_timezone}"
    moments = await gateway.engine.written_moments()
    if not moments:
        return (good(part, f"{name}: can't be compared: the engine has no deployment that its user may read"),)
    written = ", ".join(dict.fromkeys(offset_of(moment) for moment in moments))
    if agrees(ZoneInfo(gateway.settings.engine_timezone), moments):
        return (good(part, f"{name}: the engine writes dates in {written}, which agrees"),)
    change = (
        f"set ENGINE_TIMEZONE, as to {suggested(moments)}: it is the zone of the engine's JVM, its -Duser.timezone or "
        "TZ, and decides on which day a Date is"
    )
    return (fault(part, "engine.time_zone", f"{name}: the engine writes dates in {written}", change),)


async def _history(gateway: Gateway) -> Sequence[Finding]:
    missing = await gateway.engine.missing_rights(gateway.topics.definitions)
    if any(one.right is Right.HISTORY for one in missing):
        return (good("history", "can't be told: the engine's user may not read it"),)
    match await gateway.engine.keeps_log():
        case None:
            return (good("history", "can't be told before the engine has a task"),)
        case True:
            return (good("history", "the engine keeps the log of external tasks"),)
        case _:
            says = "the engine keeps no log of external tasks: how a task ended whose answer was lost can't be told"
            change = "set the engine's history level to full (`camunda.bpm.history-level: full`)"
            return (warning("history", "engine.history_level", says, change),)


async def _held_poll(gateway: Gateway) -> Sequence[Finding]:
    """Hold one poll as long as POLL_WAIT says, for a topic that nobody has: nothing is locked by it."""
    wait = timedelta(seconds=gateway.settings.poll_wait)
    topic = TopicPoll(f"gateway-doctor-{uuid4().hex}", timedelta(seconds=gateway.settings.lock_duration))
    began = time.monotonic()
    try:
        await gateway.engine.fetch_and_lock(new_worker_id(gateway.replica), 1, [topic], wait)
    except CallCut as error:
        says = f"a poll that the engine held was cut after {time.monotonic() - began:.1f} s: {error}"
        change = "raise the time-out of the proxy before the engine above POLL_WAIT, or lower POLL_WAIT"
        return (warning("poll", "engine.poll_cut", says, change),)
    held = time.monotonic() - began
    if wait and held < wait.total_seconds() / 2:
        says = f"a poll ended after {held:.1f} s of {wait.total_seconds():g}: the engine, or a proxy, does not hold it"
        change = "let the engine hold polls (asyncResponseTimeout); else each poll is a call that finds nothing"
        return (warning("poll", "engine.poll_not_held", says, change),)
    return (good("poll", f"the engine held a poll for {held:.1f} s"),)


_FIRST: Final = Check(PART, _answers, _address)
_REST: Final = (
    Check("rights", _rights, at_start=False),
    Check("time zone", _zone),
    Check("history", _history),
    Check("poll", _held_poll, _address, within=WITHIN + _LONGEST_POLL, at_start=False),
)


async def check_engine(gateway: Gateway, *, at_start: bool = False) -> Sequence[Finding]:
    """Run the checks of the engine, which is open."""
    return await run_in_turn(gateway, _FIRST, [check for check in _REST if check.at_start or not at_start])
