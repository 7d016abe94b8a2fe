"""What the store suite needs besides the port: tasks to keep, and a database of its own for each test."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from bridge.adapters.mongo.documents import TaskDocument
from bridge.adapters.mongo.store import MongoStore
from bridge.domain.lifecycle import LEASES, Event, Move, Origin
from bridge.domain.task import Attempt, BpmnFault, Completion, Failure, Outcome, State, Task, TaskKey, TypedValue
from bridge.operations.queue_depths import StateCounts
from bridge.ports.reader import TaskReader
from bridge.ports.store import ClaimRequest, Records, Replicas, TaskStore
from sandbox.ports import LOOPBACK
from sandbox.proxies.listener import listening

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ORIGINS = [
    Origin(topic, instance) for topic in ("orders", "mail") for instance in (None, "i", "j") for _ in ("none", "i")
]

VARIABLES = {
    "none": TypedValue("Null"),
    "yes": TypedValue("Boolean", True),
    "short": TypedValue("Short", -3),
    "int": TypedValue("Integer", 2**31 - 1),
    "long": TypedValue("Long", -(2**63)),
    "beyond": TypedValue("Json", 2**70),
    "double": TypedValue("Double", 0.1),
    "text": TypedValue("String", "ü😀\0"),
    "date": TypedValue("Date", "2026-01-01T00:00:00.000+0000"),
    "bytes": TypedValue("Bytes", "AP8="),
    "file": TypedValue("File", "AP8=", {"filename": "a.bin", "mimeType": "x/y"}),
    "json": TypedValue("Json", '{"a.b": [1, null]}'),
    "parsed": TypedValue("Json", {"$set": {"a.b": [1, 2**70, None], "a\0b": {}}}),
    "object": TypedValue("Object", "{}", {"objectTypeName": "java.util.Map", "$odd.key": {"n": 1}}),
    "xml": TypedValue("Xml", "<a/>"),
    "a.b": TypedValue("String", "$ne"),
    "$where": TypedValue("String", "$x.y"),
    "": TypedValue("String", ""),
}
OUTCOMES: tuple[Outcome, ...] = (
    Completion(),
    Completion(VARIABLES),
    Failure("ValueError", "$no", "line 1\nline 2", 2, timedelta(seconds=1, milliseconds=1)),
    Failure("ValueError", "", "", 0),
    BpmnFault("refused"),
    BpmnFault("refused", "no stock", VARIABLES),
)


class Store(TaskStore, TaskReader, Records, Replicas, StateCounts, Protocol):
    """All ports of a store at once."""


def task(task_id: str = "t1", **fields: Any) -> Task:
    """Return a task as an intake has it."""
    base = {
        "topic": "orders",
        "worker_id": "w1",
        "lease_until": NOW + MINUTE,
        "created_at": NOW,
        "updated_at": NOW,
        "retries": 3,
        "next_at": NOW + MINUTE,
    }
    return Task(task_id, **{**base, **fields})


def lease(task_id: str = "t1", **fields: Any) -> Task:
    """Return a task as an intake has it two minutes later."""
    later = NOW + 2 * MINUTE
    new = {"worker_id": "w2", "created_at": later, "updated_at": later, "next_at": later, "lease_until": later + MINUTE}
    return task(task_id, **{**new, **fields})


def claim(task_id: str = "t1", claim_id: str = "c1", epoch: int = 1, topic: str = "orders") -> ClaimRequest:
    return ClaimRequest(topic, TaskKey(task_id, epoch), claim_id, "replica-1", NOW, NOW + MINUTE)


def decide(outcome: Outcome, task_id: str = "t1", claim_id: str = "c1") -> Move:
    return Move(task_id, Event.DECIDE, 1, claim_id, {"outcome": outcome, "next_at": NOW}, attempt(1))


def attempt(number: int) -> Attempt:
    return Attempt(number, f"c{number}", "replica-1", NOW, NOW + MINUTE, "failed", "ValueError", "no", None)


def every_stand(event: Event) -> tuple[list[Task], list[Move]]:
    """Return a task in every state, with and without an outcome, for every fence that a move may carry."""
    tasks, moves = [], []
    for state in State:
        for outcome in (None, OUTCOMES[2]):
            for epoch in (None, 4, 5):
                for claim_id in (None, "mine", "other"):
                    name = f"{state}-{outcome is None}-{epoch}-{claim_id}"
                    stand = {"state": state, "outcome": outcome, "epoch": 5, "claim_id": "mine", "reports": 2}
                    tasks.append(task(name, **stand))
                    changes = {"updated_at": NOW + MINUTE, "finished_at": NOW + MINUTE, "retries": 7}
                    due_by = NOW if claim_id == "other" and epoch is None else None
                    moves.append(Move(name, event, epoch, claim_id, changes, attempt(1), due_by))
                for number, origin in enumerate(ORIGINS if event in LEASES else ()):
                    name = f"{state}-{outcome is None}-{epoch}-{number}"
                    instance = "i" if number % 2 else None
                    tasks.append(task(name, state=state, outcome=outcome, epoch=5, process_instance_id=instance))
                    moves.append(Move(name, event, epoch, changes={"updated_at": NOW}, origin=origin))
    return tasks, moves


@asynccontextmanager
async def mongo_store(uri: str, **options: Any) -> AsyncIterator[MongoStore]:
    """Give a store on a fresh database, which is dropped in the end."""
    database = f"test_{uuid4().hex}"
    async with MongoStore(uri, database, **options) as store:
        try:
            yield store
        finally:
            # By the store's own client: one that is closed right after it was opened leaks its monitor's socket.
            await TaskDocument.get_pymongo_collection().database.client.drop_database(database)


class FlakyProxy:
    """A server's address that breaks a connection in the middle of a wanted command."""

    def __init__(self, host: str, port: int) -> None:
        self.uri = ""
        self.cuts = 0
        self._target = (host, port)
        self._command: bytes | None = None
        self._sent = False

    def cut(self, command: str, sent: bool) -> None:
        """Break the connection at the next `command`: before it reaches the server, or (`sent`) before its answer."""
        self._command, self._sent = b"\x02" + command.encode() + b"\0", sent

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on messages, each a question with one answer: the driver streams nothing from this server."""
        from_server, to_server = await asyncio.open_connection(*self._target)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._pass_on(reader, writer, from_server, to_server):
                    pass
        finally:
            for end in (writer, to_server):
                end.close()
                with suppress(ConnectionError):
                    await end.wait_closed()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> bool:
        question = await _message(reader)
        cut = self._command is not None and self._command in question
        if cut:
            self._command = None
            self.cuts += 1
        if not cut or self._sent:
            to_server.write(question)
            answer = await _message(from_server)
            if not cut:
                writer.write(answer)
                await writer.drain()
        return not cut


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    (length,) = struct.unpack("<i", head)
    return head + await reader.readexactly(length - 4)


@asynccontextmanager
async def flaky(uri: str) -> AsyncIterator[FlakyProxy]:
    """Give a flaky way to the server."""
    address = urlsplit(uri)
    proxy = FlakyProxy(str(address.hostname), address.port or 27017)
    async with listening(proxy.serve) as port:
        proxy.uri = f"mongodb://{LOOPBACK}:{port}/"
        yield proxy


async def kept(store: Store, task_id: str = "t1") -> Task:
    """Return a task that the store has."""
    found = await store.get(task_id)
    assert found is not None
    return found
