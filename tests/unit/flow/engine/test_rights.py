"""What the engine's user lacks is asked for, named, and no longer named once it is granted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from bridge.adapters.camunda.answers import Answer, Read
from bridge.adapters.camunda.rights import find_missing_rights
from bridge.adapters.memory.engine import MemoryEngine
from bridge.domain.errors import EngineRejected, EngineUnavailable
from bridge.domain.rights import MissingRight, Right
from bridge.flow.engine.rights import RightsCheck
from bridge.ports.journal import Level
from bridge.registry import Registry
from bridge.topic import Topic
from tests.unit.fakes import HandClock, Notes
from tests.unit.flow.poll.poll_rig import a_topic

T = TypeVar("T")


class Granting:
    """An engine's answers: `grants` are (permission, process definition or None), `seen` the definitions shown."""

    def __init__(
        self, *grants: tuple[str, str | None], seen: tuple[str, ...] = (), tasks: tuple[str, ...] = ()
    ) -> None:
        self.base_url = "http://engine"
        self.grants = grants
        self.lists: Mapping[str, list[dict[str, str]]] = {
            "/process-definition": [{"key": key} for key in seen],
            "/external-task": [{"processDefinitionKey": key} for key in tasks],
        }
        self.asked: list[tuple[str, str | None]] = []

    async def ask(self, operation: str, method: str, url: str, *, read: Read[T]) -> T:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        if path != "/authorization/check":
            assert int(query["maxResults"][0]) > 0  # else a hardened engine refuses
            found: object = self.lists[path]
        else:
            asked = (query["permissionName"][0], query.get("resourceId", [None])[0])
            self.asked.append(asked)
            found = {"authorized": asked in self.grants}
        return read(Answer(200, orjson.dumps(found), "application/json"))


class Refusing(Granting):
    """An engine that answers no question."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status

    async def ask(self, operation: str, method: str, url: str, *, read: Read[T]) -> T:
        raise EngineRejected("no", status=self.status)


async def test_all_rights_take_one_call_each() -> None:
    engine = Granting(
        ("READ_INSTANCE", None), ("UPDATE_INSTANCE", None), ("READ_HISTORY", None), ("READ", None), seen=("a",)
    )
    assert await find_missing_rights(engine, ()) == ()
    assert engine.asked == list(engine.grants)


async def test_a_right_on_instances_is_as_good_as_one_on_definitions() -> None:
    engine = Granting(("READ", None), ("UPDATE", None))  # READ is a right on both
    assert await find_missing_rights(engine, ()) == [MissingRight(Right.HISTORY)]


@pytest.mark.parametrize("shown", [{"seen": ("a", "b")}, {"tasks": ("a", "b")}])
async def test_a_right_on_any_definition_that_the_user_sees_is_none_missing(shown: dict[str, tuple[str, ...]]) -> None:
    engine = Granting(("READ_INSTANCE", "b"), ("UPDATE_INSTANCE", "c"), **shown)
    assert await find_missing_rights(engine, ()) == [
        MissingRight(Right.UPDATE),
        MissingRight(Right.HISTORY),
        MissingRight(Right.DEFINITIONS),
    ]


async def test_each_definition_that_a_topic_names_is_asked_for() -> None:
    engine = Granting(
        ("READ_INSTANCE", None), ("UPDATE_INSTANCE", "a"), ("READ_HISTORY", "a"), ("READ_HISTORY", "b"), ("READ", None)
    )
    assert await find_missing_rights(engine, {"b", "a"}) == [MissingRight(Right.UPDATE, "b")]


async def test_an_engine_without_users_lacks_nothing_and_other_refusals_are_told() -> None:
    assert await find_missing_rights(Refusing(401), ()) == ()
    with pytest.raises(EngineRejected):
        await find_missing_rights(Refusing(500), ())


def topic(name: str, *keys: str) -> Topic[Any, Any]:
    found: Topic[Any, Any] = a_topic(name)
    object.__setattr__(found, "process_definition_keys", keys or None)
    return found


def test_topics_that_name_their_definitions_say_what_to_ask_for() -> None:
    assert Registry({"a": topic("a", "x", "y"), "b": topic("b", "y")}).definitions == {"x", "y"}
    assert Registry({"a": topic("a", "x"), "b": topic("b")}).definitions == frozenset()
    assert Registry({}).definitions == frozenset()


def lacks(rights: RightsCheck) -> list[Right]:
    return [missing.right for missing in rights.missing]


async def test_what_is_missing_is_said_once_and_again_when_it_changes() -> None:
    clock, notes = HandClock(), Notes()
    engine = MemoryEngine(clock)
    engine.lacking = {Right.READ, Right.HISTORY}
    rights = RightsCheck(engine, clock, notes, ())
    for _ in range(2):
        await rights.run_once()
    first, second = notes.of("engine_right_missing")
    assert first.level is Level.WARNING
    assert first.values["grant"] == "READ_INSTANCE on PROCESS_DEFINITION or READ on PROCESS_INSTANCE"
    assert second.values["right"] == "history"
    assert lacks(rights) == [Right.READ, Right.HISTORY]
    engine.lacking = set()
    await rights.run_once()
    assert lacks(rights) == []
    assert len(notes.of("engine_rights_complete")) == 1


async def test_nothing_is_asked_for_a_minute_after_all_was_there() -> None:
    clock, notes = HandClock(), Notes()
    engine = MemoryEngine(clock)
    rights = RightsCheck(engine, clock, notes, ())
    await rights.run_once()
    engine.lacking = {Right.UPDATE}
    clock.advance(timedelta(seconds=59))
    await rights.run_once()
    assert lacks(rights) == []
    clock.advance(timedelta(seconds=1))
    await rights.run_once()
    assert lacks(rights) == [Right.UPDATE]


async def test_an_engine_that_is_away_leaves_what_it_said() -> None:
    clock = HandClock()
    engine = MemoryEngine(clock)
    engine.lacking = {Right.UPDATE}
    rights = RightsCheck(engine, clock, Notes(), ())
    await rights.run_once()
    engine.fail_next("missing_rights", EngineUnavailable("away"))
    await rights.run_once()
    assert lacks(rights) == [Right.UPDATE]
    engine.fail_next("missing_rights", EngineRejected("no", status=500))
    with pytest.raises(EngineRejected):
        await rights.run_once()
