"""A way to a MongoDB on which answers are spoiled, as a replica set does when its primary steps down or it lags."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import bson

from sandbox.ports import LOOPBACK
from sandbox.proxies.listener import listening

Document = Mapping[str, Any]

_HEAD: Final = struct.Struct("<iiii")
_REPLY: Final = 1
_MESSAGE: Final = 2013
_REPLY_BODY: Final = 16 + 20
"""Where the document of an OP_REPLY begins: after the head, the flags, the cursor and two counts."""
_MESSAGE_BODY: Final = 16 + 5
"""Where the document of an OP_MSG begins: after the head, the flags and the kind of its first section."""
_QUERY_NAME: Final = 16 + 4
"""Where the collection's name of an OP_QUERY begins: after the head and the flags."""
_GREETINGS: Final = frozenset({"hello", "ismaster", "isMaster"})
_OF_MEMBERS: Final = _GREETINGS | {"ping", "buildInfo", "buildinfo", "endSessions"}
"""What every member of a replica set answers, primary or not."""
_NOT_PRIMARY: Final = {"ok": 0.0, "code": 10107, "codeName": "NotWritablePrimary", "errmsg": "not primary"}
_INTERRUPTED: Final = {
    "ok": 0.0,
    "code": 11602,
    "codeName": "InterruptedDueToReplStateChange",
    "errmsg": "operation was interrupted",
}
_SECONDARY: Final = {"ismaster": False, "isWritablePrimary": False, "secondary": True, "primary": None}


@dataclass(slots=True)
class Fault:
    """What is done to the answers of a command: `change` makes the answer from the server's own.

    Where the server is not `asked` it never sees the command, and `change` gets an empty document. `struck` counts the
    answers that were spoiled; after `times` of them the command is left alone, None for never. Answers are kept back
    until `released`.
    """

    command: str
    change: Callable[[Document], Document]
    asked: bool = True
    times: int | None = 1
    where: Callable[[Document], bool] = lambda _command: True
    released: asyncio.Event | None = None
    struck: int = 0

    def wants(self, command: Document) -> bool:
        open_ = self.times is None or self.struck < self.times
        return open_ and next(iter(command)) == self.command and self.where(command)


class StoreProxy:
    """Passes on questions and answers, each a whole message. `poses` is added to every greeting of the server.

    `commands` has each command that was sent, where the proxy `records`. `refused` counts the commands that met a
    step-down, `unled` the greetings whose answer named no primary, after which a driver sends no command, and `cuts`
    the connections that were cut.
    """

    def __init__(self, host: str, port: int, *, records: bool = True) -> None:
        self.port = 0
        self.poses: Document = {}
        self.commands: list[Document] = []
        self.refused = 0
        self.unled = 0
        self.cuts = 0
        self._records = records
        self._target = (host, port)
        self._faults: list[Fault] = []
        self._deposed = False
        self._met = asyncio.Event()
        self._ends: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()

    @property
    def uri(self) -> str:
        return f"mongodb://{LOOPBACK}:{self.port}/"

    def spoil(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Leave all commands alone from now on."""
        self._faults.clear()

    def pose_as_replica_set(self) -> None:
        """Have the server look like the primary, and only member so far, of a replica set with sessions."""
        address = f"{LOOPBACK}:{self.port}"
        primary = {"ismaster": True, "isWritablePrimary": True, "secondary": False}
        self.poses = {
            **primary,
            "setName": "rs0",
            "setVersion": 1,
            "hosts": [address],
            "primary": address,
            "me": address,
            "logicalSessionTimeoutMinutes": 30,
        }

    def step_down(self) -> None:
        """Have the primary step down: the commands under way are made and told as interrupted, others are refused.

        The server must pose as a replica set. Nobody is primary until `elect`.
        """
        self._deposed = True
        self._met.clear()

    async def wait_until_met(self) -> None:
        """Return once a command or a greeting met the step-down: clients that are just starting ask nothing yet."""
        await self._met.wait()

    def elect(self) -> None:
        """Have the server be the primary again."""
        self._deposed = False

    def cut_all(self) -> None:
        """Reset every connection, whatever is under way on it."""
        for pair in tuple(self._ends):
            self.cuts += 1
            for end in pair:
                end.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, to_server)
        self._ends.add(ends)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    question = await _message(reader)
                    writer.write(await self._answer(question, from_server, to_server))
                    await writer.drain()
        finally:
            self._ends.discard(ends)
            for end in ends:
                end.close()
                with suppress(ConnectionError):
                    await end.wait_closed()

    async def _answer(
        self, question: bytes, from_server: asyncio.StreamReader, to_server: asyncio.StreamWriter
    ) -> bytes:
        fault = self._fault_for(question)
        is_led = self.poses and _name(question) not in _OF_MEMBERS
        if self._deposed and is_led:
            self.refused += 1
            self._met.set()
            return _answer_to(question, _NOT_PRIMARY)
        if fault is not None and not fault.asked:
            answer = _answer_to(question, fault.change({}))
        else:
            to_server.write(question)
            answer = self._spoiled(question, await _message(from_server), fault)
        if fault is not None:
            fault.struck += 1
            if fault.released is not None:
                await fault.released.wait()
        if self._deposed and is_led:
            self.refused += 1
            self._met.set()
            return _answer_to(question, _INTERRUPTED)
        return answer

    def _fault_for(self, question: bytes) -> Fault | None:
        if _HEAD.unpack_from(question)[3] != _MESSAGE or not (self._records or self._faults):
            return None
        command = _document(question, _MESSAGE_BODY)
        if self._records:
            self.commands.append(command)
        return next((fault for fault in self._faults if fault.wants(command)), None)

    def _spoiled(self, question: bytes, answer: bytes, fault: Fault | None) -> bytes:
        is_greeting = self.poses and _name(question) in _GREETINGS
        if fault is None and not is_greeting:
            return answer
        place = _REPLY_BODY if _HEAD.unpack_from(answer)[3] == _REPLY else _MESSAGE_BODY
        document = _document(answer, place)
        if is_greeting:
            document = {**document, **self.poses}
            if self._deposed:
                self.unled += 1
                self._met.set()
                document |= _SECONDARY
        elif fault is not None:
            document = fault.change(document)
        return _with_length(answer[:place] + bson.encode(document))


def _name(question: bytes) -> str:
    """Return the name of the command: the first key of its document, which is not decoded for that."""
    if _HEAD.unpack_from(question)[3] == _MESSAGE:
        place = _MESSAGE_BODY
    else:
        # An OP_QUERY has a flag, the collection's name and two counts before its document.
        place = question.index(b"\0", _QUERY_NAME) + 1 + 8
    begin = place + 4 + 1  # the document's length, and the kind of its first element
    return question[begin : question.index(b"\0", begin)].decode()


def _document(message: bytes, place: int) -> Document:
    (length,) = struct.unpack_from("<i", message, place)
    found: Document = bson.decode(message[place : place + length])
    return found


def _answer_to(question: bytes, document: Document) -> bytes:
    number = _HEAD.unpack_from(question)[1]
    return _with_length(_HEAD.pack(0, 0, number, _MESSAGE) + b"\0" * 5 + bson.encode(document))


def _with_length(message: bytes) -> bytes:
    return struct.pack("<i", len(message)) + message[4:]


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    (length,) = struct.unpack("<i", head)
    return head + await reader.readexactly(length - 4)


@asynccontextmanager
async def spoiling(uri: str, *, records: bool = True) -> AsyncIterator[StoreProxy]:
    """Give such a way to the server."""
    address = urlsplit(uri)
    proxy = StoreProxy(str(address.hostname), address.port or 27017, records=records)
    async with listening(proxy.serve) as proxy.port:
        yield proxy


def refusal(code: int, name: str) -> Callable[[Document], Document]:
    """Return what makes any answer the server's refusal with that code."""
    return lambda _answer: {"ok": 0.0, "code": code, "codeName": name, "errmsg": name}


def unconfirmed(code: int = 64, name: str = "WriteConcernFailed") -> Callable[[Document], Document]:
    """Return what adds to an answer that no majority has confirmed the write."""
    told = {
        "code": code,
        "codeName": name,
        "errmsg": "waiting for replication timed out",
        "errInfo": {"wtimeout": True},
    }
    return lambda answer: {**answer, "writeConcernError": told}


def asks_a_majority(command: Document) -> bool:
    return bool(command.get("readConcern", {}).get("level") == "majority")


def finding_nothing(answer: Document) -> Document:
    """Return the answer to a find as if nothing had been found."""
    return {**answer, "cursor": {**answer["cursor"], "firstBatch": []}}
