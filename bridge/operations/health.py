"""Health: whether the engine, the store and the broker answer. Readiness: whether this process may be sent work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

from bridge.domain.errors import GatewayError
from bridge.domain.messages import message
from bridge.ports.probe import Probe


@dataclass(frozen=True, slots=True)
class Component:
    """The result of one part's probe: its `version` when it answered, else the `error`.

    `warnings` say what is wrong with a part that answered.
    """

    name: str
    ok: bool
    version: str | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """Every part, in the order of the probes; `ok` when all are."""

    ok: bool
    components: tuple[Component, ...]


class Purpose(StrEnum):
    """What a process may be ready for: requests to its API and pages, fetches from the engine, or messages."""

    HTTP = "http"
    INTAKE = "intake"
    WORK = "work"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Why this process should not be sent work now; ready when there is no reason."""

    reasons: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the process may be sent work."""
        return not self.reasons


async def check(
    probes: Mapping[str, Probe],
    within: timedelta,
    warnings: Mapping[str, Callable[[], Sequence[str]]] = MappingProxyType({}),
) -> Health:
    """Probe all parts at once, each for `within` at the most; a probe that fails in any way makes its part not ok.

    `warnings` return what is wrong with a part that answered.
    """
    found = await asyncio.gather(*(_ask(name, probe, within) for name, probe in probes.items()))
    components = [_warned(component, warnings) for component in found]
    return Health(all(component.ok for component in components), tuple(components))


def _warned(component: Component, warnings: Mapping[str, Callable[[], Sequence[str]]]) -> Component:
    found = warnings.get(component.name)
    return replace(component, warnings=tuple(found())) if component.ok and found is not None else component


async def _ask(name: str, probe: Probe, within: timedelta) -> Component:
    try:
        async with asyncio.timeout(within.total_seconds()):
            return Component(name, ok=True, version=await probe())
    except TimeoutError:
        return Component(name, ok=False, error=message("part.no_answer", seconds=f"{within.total_seconds():g}"))
    except GatewayError as error:
        return Component(name, ok=False, error=error.message)
    except Exception as error:  # noqa: BLE001 - asking for health must answer, whatever a driver raises
        return Component(name, ok=False, error=message("part.probe_failed", kind=type(error).__name__))
