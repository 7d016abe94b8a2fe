"""What the composition root builds, before anything is connected."""

from __future__ import annotations

from typing import TypeVar

from bridge.registry import Registry
from bridge.testing import RecordingLog
from gateway.settings import Role, read_settings
from gateway.wiring import Gateway
from tests.unit.fakes import Notes

Part = TypeVar("Part")


async def test_a_test_can_wrap_each_part_that_reaches_outside() -> None:
    wrapped: dict[str, object] = {}

    def wrap(name: str, part: Part, /) -> Part:
        wrapped[name] = part
        return part

    gateway = Gateway(read_settings(), frozenset(Role), Registry({}), Notes(), lambda _t, _s: RecordingLog(), wrap=wrap)
    assert wrapped == {name: getattr(gateway, name) for name in ("store", "engine", "publisher", "consumer")}
