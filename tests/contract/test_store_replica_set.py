"""What a replica set may answer to each write of the flow: steps down, lags, refuses. A server poses as one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandStartedEvent

from bridge.adapters.mongo import reader as store_reader
from bridge.adapters.mongo.documents import TaskDocument
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.errors import StoreRefusing, StoreUnavailable
from bridge.domain.lifecycle import Event, Move
from bridge.domain.task import State, Task, TaskKey
from bridge.registry import Registry
from bridge.testing import RecordingLog
from gateway.checks import store as store_checks
from gateway.checks.finding import Severity
from gateway.settings import Role, Settings
from gateway.wiring import Gateway
from sandbox.proxies.store import (
    Document,
    Fault,
    StoreProxy,
    asks_a_majority,
    finding_nothing,
    refusal,
    spoiling,
    unconfirmed,
)
from tests.contract.coverage import Commands
from tests.contract.stores import MINUTE, NOW, claim, mongo_store, task
from tests.unit.fakes import Notes

TIMEOUT = timedelta(seconds=1)
STEPPED_DOWN = [
    (10107, "NotWritablePrimary"),
    (13435, "NotPrimaryNoSecondaryOk"),
    (189, "PrimarySteppedDown"),
    (11602, "InterruptedDueToReplStateChange"),
    (91, "ShutdownInProgress"),
    (112, "WriteConflict"),
]
REFUSED = [(13, "Unauthorized"), (14031, "OutOfDiskSpace"), (8000, "AtlasError"), (371, "UserWritesBlocked")]


@dataclass(frozen=True, slots=True)
class Write:
    """A write of the flow: the command that it is, how it is made, and whether it happened once, as the store tells."""

    name: str
    command: str
    make: Callable[[MongoStore], Awaitable[Any]]
    says: Any
    once: Callable[[MongoStore], Awaitable[bool]]


async def _of(store: MongoStore, task_id: str) -> Task:
    found = await store.get(task_id)
    assert found is not None
    return found


async def _accepted(store: MongoStore) -> bool:
    return (await _of(store, "new")).epoch == 1


async def _claimed(store: MongoStore) -> bool:
    found = await _of(store, "t1")
    return (found.state, found.attempts, found.claim_id) == (State.RUNNING, 1, "c1")


async def _both_claimed(store: MongoStore) -> bool:
    return await _claimed(store) and (await _of(store, "t2")).attempts == 1


async def _lost(store: MongoStore) -> bool:
    return (await _of(store, "r1")).lost_claims == 1


async def _both_lost(store: MongoStore) -> bool:
    return await _lost(store) and (await _of(store, "r2")).lost_claims == 1


async def _confirmed(store: MongoStore) -> bool:
    return (await _of(store, "t1")).state is State.QUEUED


async def _refetched(store: MongoStore) -> bool:
    return (await _of(store, "t1")).epoch == 2


async def _recorded(store: MongoStore) -> bool:
    return await store.put_once("invoice", "1", {}) == ("1", False)


async def _attempts(store: MongoStore, *names: str) -> list[int | None]:
    found = await store.claim([claim(name, f"c{name[1:]}") for name in names])
    return [None if each is None else each.attempts for each in found]


async def _epochs(store: MongoStore, new: Task) -> list[int | None]:
    return [None if found is None else found.epoch for found in await store.accept([new])]


def lose(number: int) -> Move:
    return Move(f"r{number}", Event.LOSE_CLAIM, 1, f"c{number}", {"updated_at": NOW, "next_at": NOW})


WRITES = [
    Write("accept", "insert", lambda store: _epochs(store, task("new")), [1], _accepted),
    Write("refetch", "update", lambda store: _epochs(store, task("t1")), [2], _refetched),
    Write("claim", "findAndModify", lambda store: _attempts(store, "t1"), [1], _claimed),
    Write("claims", "update", lambda store: _attempts(store, "t1", "t2"), [1, 1], _both_claimed),
    Write("move", "update", lambda store: store.move([lose(1)]), [True], _lost),
    Write("moves", "update", lambda store: store.move([lose(1), lose(2)]), [True, True], _both_lost),
    Write("confirm", "update", lambda store: store.confirm([TaskKey("t1", 1)], NOW, NOW), None, _confirmed),
    Write("record", "insert", lambda store: store.put_once("invoice", "1", {}), ("1", True), _recorded),
]


@pytest.fixture
async def proxy(servers: dict[str, str]) -> AsyncIterator[StoreProxy]:
    async with spoiling(servers["MONGODB_URI"]) as made:
        yield made


@pytest.fixture
async def store(proxy: StoreProxy) -> AsyncIterator[MongoStore]:
    """A store with tasks that wait, `t1` and `t2`, and tasks that run, `r1` and `r2`."""
    async with mongo_store(proxy.uri) as made:
        await made.accept([task(name) for name in ("t1", "t2", "r1", "r2")])
        await made.claim([claim("r1", "c1"), claim("r2", "c2")])
        proxy.commands.clear()
        yield made


@pytest.fixture(params=WRITES, ids=lambda write: write.name)
def write(request: pytest.FixtureRequest) -> Write:
    found: Write = request.param
    return found


@pytest.mark.parametrize("asked", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("code", "name"), STEPPED_DOWN)
async def test_a_write_that_meets_a_step_down_happens_once(
    proxy: StoreProxy, store: MongoStore, write: Write, code: int, name: str, asked: bool
) -> None:
    """The primary refuses the write, or it makes the write and steps down before it answers."""
    fault = proxy.spoil(Fault(write.command, refusal(code, name), asked=asked))
    assert await write.make(store) == write.says
    assert fault.struck == 1
    assert await write.once(store)


async def test_a_write_while_there_is_no_primary_is_told_as_an_outage(
    proxy: StoreProxy, store: MongoStore, write: Write
) -> None:
    deposed = refusal(10107, "NotWritablePrimary")
    faults = [proxy.spoil(Fault(name, deposed, asked=False, times=None)) for name in {write.command, "update"}]
    with pytest.raises(StoreUnavailable):
        await write.make(store)
    assert sum(fault.struck for fault in faults) == 2, "it is repeated once, a claim as an update"
    proxy.heal()
    assert await write.make(store) == write.says


async def test_a_write_that_a_majority_confirms_late_happens_once(
    proxy: StoreProxy, store: MongoStore, write: Write
) -> None:
    fault = proxy.spoil(Fault(write.command, unconfirmed()))
    assert await write.make(store) == write.says
    assert fault.struck == 1
    assert [command for command in proxy.commands if asks_a_majority(command)] or write.name == "record"
    assert await write.once(store)


async def test_a_write_that_no_majority_has_is_no_success(proxy: StoreProxy, store: MongoStore, write: Write) -> None:
    """The primary has it and says so when asked; it would be gone if the primary were."""
    faults = [
        proxy.spoil(Fault(write.command, unconfirmed(), times=None)),
        proxy.spoil(Fault("find", finding_nothing, times=None, where=asks_a_majority)),
    ]
    with pytest.raises(StoreUnavailable):
        await write.make(store)
    assert faults[0].struck + faults[1].struck == 2
    proxy.heal()
    assert await write.once(store)


@pytest.mark.parametrize(("code", "name"), REFUSED)
async def test_a_refusal_that_lasts_is_told_as_one_and_waited_out(
    proxy: StoreProxy, store: MongoStore, write: Write, code: int, name: str
) -> None:
    fault = proxy.spoil(Fault(write.command, refusal(code, name), asked=False, times=None))
    with pytest.raises(StoreRefusing, match="refuses all calls"):
        await write.make(store)
    assert fault.struck == 1, "to repeat it at once is of no use"
    proxy.heal()
    assert await write.make(store) == write.says


async def test_a_refusal_of_each_write_in_a_batch_is_one_of_all(proxy: StoreProxy, store: MongoStore) -> None:
    def refused(_answer: Any) -> dict[str, Any]:
        return {"ok": 1.0, "n": 0, "writeErrors": [{"index": 0, "code": 8000, "errmsg": "over your space quota"}]}

    fault = proxy.spoil(Fault("insert", refused, asked=False, times=2))
    with pytest.raises(StoreRefusing, match="space quota"):
        await store.accept([task("new")])
    with pytest.raises(StoreRefusing, match="space quota"):
        await store.put_once("invoice", "1", {})
    assert fault.struck == 2


async def test_writes_of_the_flow_name_the_index(servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A planner that tries the index of a state would hold up claims behind thousands of tasks in that state."""
    commands = Commands()
    monkeypatch.setattr(store_reader, "AsyncMongoClient", partial(AsyncMongoClient, event_listeners=[commands]))
    async with mongo_store(servers["MONGODB_URI"]) as store:
        await store.accept([task(name) for name in ("t1", "t2", "r1", "r2")])
        await store.claim([claim("r1", "c1"), claim("r2", "c2")])
        for write in WRITES:
            await write.make(store)
    writes = [command for command in commands.sent if "update" in command or "findAndModify" in command]
    hints = [update.get("hint") for command in writes for update in command.get("updates", [command])]
    assert len(hints) >= len([write for write in WRITES if write.command != "insert"])
    assert all(hint == {"_id": 1} for hint in hints)


async def test_nothing_in_the_uri_has_the_driver_repeat_writes_or_read_from_others(proxy: StoreProxy) -> None:
    """A secondary is what the URI asks for, and there is none: a read that went by it would find no server."""
    proxy.pose_as_replica_set()
    options = "?readPreference=secondary&retryWrites=true&w=1&readConcernLevel=local"
    async with mongo_store(f"{proxy.uri}{options}") as store:
        await store.accept([task("t1"), task("t2")])
        assert [found and found.attempts for found in await store.claim([claim("t1"), claim("t2", "c2")])] == [1, 1]
        assert await store.move([Move("t1", Event.LOSE_CLAIM, 1, "c1", {"next_at": NOW})]) == [True]
        for state, name in ((State.RECEIVED, "t1"), (State.RUNNING, "t2")):
            assert [found.id for found in (await store.due(state, NOW + MINUTE, 9)).tasks] == [name]
        assert await store.get("t1") is not None
        assert len(await store.get_many(["t1", "t2"])) == 2
    writes = [command for command in proxy.commands if next(iter(command)) in {"insert", "update", "findAndModify"}]
    assert {next(iter(command)) for command in writes} == {"insert", "update"}
    assert not [command for command in proxy.commands if "txnNumber" in command]
    assert all(command["writeConcern"]["w"] == "majority" for command in writes)


INSTANT = timedelta(milliseconds=10)
MODELS_WITH_INDEXES = [model for model in MongoStore.models if getattr(model.Settings, "indexes", ())]


def same(answer: Document) -> Document:
    return answer


def progress(_answer: Document) -> Document:
    batch = [{"ns": "x.tasks", "msg": "Index Build", "progress": {"done": 250, "total": 1000}}]
    return {"ok": 1.0, "cursor": {"id": 0, "ns": "admin.$cmd.aggregate", "firstBatch": batch}}


@pytest.mark.parametrize("may_look", [True, False])
async def test_indexes_that_are_being_built_are_waited_for_and_told_of(proxy: StoreProxy, may_look: bool) -> None:
    """The build takes longer than any other call may; to ask how far it is takes a right that the user may lack."""
    build = proxy.spoil(Fault("createIndexes", same, released=asyncio.Event()))
    look = refusal(13, "Unauthorized") if not may_look else progress
    looks = proxy.spoil(Fault("aggregate", look, asked=False, times=None))
    told: list[str] = []
    began = time.monotonic()

    def tell(words: str) -> None:
        told.append(words)
        if time.monotonic() - began > 3 * TIMEOUT.total_seconds() and len(told) > 2:
            assert build.released is not None
            build.released.set()

    database = f"test_{uuid4().hex}"
    store = MongoStore(proxy.uri, database, timeout=TIMEOUT, tell_every=INSTANT)
    async with asyncio.timeout(60):
        await store.open(tell)
    try:
        assert (build.struck, looks.struck) == (1, len(told))
        assert len(told) > 2
        assert all(words.startswith("collection ") and " s" in words for words in told)
        assert all(("25 %" in words) is may_look for words in told)
        created = [command for command in proxy.commands if next(iter(command)) == "createIndexes"]
        assert len(created) == len(MODELS_WITH_INDEXES)
        assert await store.accept([task()]) == [task()]
    finally:
        await TaskDocument.get_pymongo_collection().database.client.drop_database(database)
        await store.close()


async def test_the_doctor_takes_a_build_of_indexes_for_no_outage(
    proxy: StoreProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_checks, "_BUILDS_FOR", 0.0)
    build = proxy.spoil(Fault("createIndexes", same, released=asyncio.Event()))
    settings = Settings(mongodb_uri=proxy.uri, mongodb_database=f"test_{uuid4().hex}")
    gateway = Gateway(settings, frozenset({Role.WEB}), Registry({}), Notes(), lambda _task, _secrets: RecordingLog())
    gateway.store = MongoStore(proxy.uri, settings.mongodb_database, timeout=TIMEOUT, tell_every=INSTANT)
    (found,) = await store_checks.check_store(gateway)
    assert build.struck == 1
    assert (found.code, found.severity) == ("mongodb.indexes_being_built", Severity.WARNING)
    assert "indexes are being built: collection " in found.says
    assert build.released is not None
    build.released.set()


async def test_a_server_that_goes_away_while_it_builds_indexes_is_an_outage(proxy: StoreProxy) -> None:
    build = proxy.spoil(Fault("createIndexes", same, released=asyncio.Event()))
    away = proxy.spoil(Fault("aggregate", same, released=asyncio.Event(), times=None))
    with pytest.raises(StoreUnavailable):
        await MongoStore(proxy.uri, f"test_{uuid4().hex}", timeout=TIMEOUT, tell_every=INSTANT).open()
    assert build.struck == 1
    assert away.struck >= 1
    for fault in (build, away):
        assert fault.released is not None
        fault.released.set()


def test_a_login_is_no_command_that_needs_an_index() -> None:
    commands = Commands()
    for name in ("saslStart", "saslContinue", "authenticate", "logout", "find"):
        commands.started(CommandStartedEvent({name: "tasks"}, "admin", 1, ("store", 27017), 1))
    assert [next(iter(command)) for command in commands.sent] == ["find"]


async def test_a_primary_that_steps_down_is_an_outage_until_it_is_elected_again(proxy: StoreProxy) -> None:
    """As the driver sees it: the answer to the write under way is lost, and there is no primary for the next."""
    proxy.pose_as_replica_set()
    async with mongo_store(proxy.uri) as store:
        await store.accept([task("t1")])
        proxy.step_down()
        with pytest.raises(StoreUnavailable):
            await store.accept([task("t2")])
        assert proxy.refused >= 1
        proxy.elect()
        assert [found.epoch for found in await store.accept([task("t2")]) if found is not None] == [1]


async def test_connections_that_are_cut_are_made_anew(proxy: StoreProxy) -> None:
    async with mongo_store(proxy.uri) as store:
        await store.accept([task("t1")])
        proxy.cut_all()
        assert proxy.cuts >= 1
        with suppress(StoreUnavailable):
            await store.get("t1")
        assert (await _of(store, "t1")).epoch == 1
