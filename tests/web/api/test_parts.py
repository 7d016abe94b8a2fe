"""What the web rests on: fingerprints, health checks and plain results."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bridge.domain.errors import EngineUnavailable, VariableError
from bridge.domain.submission import Submission, fingerprint
from bridge.operations.health import Component, check
from bridge.topic import File
from web.api.results import plain, plain_result
from web.api.schemas import depth_exceeds


def test_a_fingerprint_ignores_the_order_of_keys() -> None:
    one = Submission("t", "w", "topic", {"a": 1, "b": {"x": "ü", "y": [1, None]}})
    same = Submission("t", "w", "topic", {"b": {"y": [1, None], "x": "ü"}, "a": 1})
    assert fingerprint(one) == fingerprint(same)
    assert len(fingerprint(one)) == 64


@pytest.mark.parametrize(
    "other",
    [
        Submission("t2", "w", "topic", {"a": 1}),
        Submission("t", "w2", "topic", {"a": 1}),
        Submission("t", "w", "topic2", {"a": 1}),
        Submission("t", "w", "topic", {"a": "1"}),
        Submission("t", "w", "topic", {"a": True}),
        Submission("t", "w", "topic", {}),
    ],
)
def test_a_fingerprint_tells_bodies_apart(other: Submission) -> None:
    assert fingerprint(Submission("t", "w", "topic", {"a": 1})) != fingerprint(other)


@pytest.mark.parametrize("value", [float("nan"), b"bytes", {1, 2}])
def test_a_fingerprint_needs_json(value: object) -> None:
    with pytest.raises(VariableError, match="not JSON"):
        fingerprint(Submission("t", "w", "topic", {"a": value}))


async def test_check_asks_all_parts_at_once_and_bounds_each() -> None:
    met = asyncio.Barrier(2)

    async def first() -> str:
        await met.wait()
        return "7.24.0"

    async def second() -> str:
        await met.wait()
        raise EngineUnavailable("refused")

    async def silent() -> str:
        await asyncio.Event().wait()
        return "never"

    async def broken() -> str:
        raise KeyError("secret")

    probes = {"engine": first, "mongodb": second, "rabbitmq": silent, "other": broken}
    health = await check(probes, timedelta(milliseconds=200))
    assert not health.ok
    assert health.components == (
        Component("engine", True, "7.24.0"),
        Component("mongodb", False, None, "refused"),
        Component("rabbitmq", False, None, "no answer within 0.2 s"),
        Component("other", False, None, "the probe failed: KeyError"),
    )


async def test_check_warns_of_a_part_that_answers() -> None:
    async def well() -> str:
        return "7.24.0"

    async def badly() -> str:
        raise EngineUnavailable("refused")

    probes = {"engine": well, "mongodb": well, "rabbitmq": badly}
    warnings = {"engine": lambda: ["answers 401"], "mongodb": list, "rabbitmq": lambda: ["answers 401"]}
    health = await check(probes, timedelta(seconds=5), warnings)
    assert health.components == (
        Component("engine", True, "7.24.0", warnings=("answers 401",)),
        Component("mongodb", True, "7.24.0"),
        Component("rabbitmq", False, error="refused"),
    )


def test_plain_makes_json_of_everything() -> None:
    moment = datetime(2026, 1, 31, 8, tzinfo=UTC)
    value = {"b": b"\x00\xff", "f": File("a.pdf", b"x", "application/pdf"), "d": moment, "l": ({1}, None, 1.5, True)}
    assert plain(value) == {
        "b": "AP8=",
        "f": {"name": "a.pdf", "mime_type": "application/pdf", "encoding": None},
        "d": "2026-01-31T08:00:00+00:00",
        "l": [[1], None, 1.5, True],
    }


def test_no_result_stays_none() -> None:
    assert plain_result(None) is None


def test_depth_counts_containers() -> None:
    assert not depth_exceeds({"a": 1}, 1)
    assert depth_exceeds({"a": [1]}, 1)
    assert not depth_exceeds({"a": [1]}, 2)
