"""The connection to MongoDB, and the reads over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self

from beanie import Document, init_beanie
from pymongo import DESCENDING, AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from bridge.adapters.mongo.documents import BY_TOPIC_STATE, RecordDocument, TaskDocument
from bridge.adapters.mongo.index_builds import OnBuild, create_indexes
from bridge.adapters.mongo.schema import read_schema, require_ours, write_schema
from bridge.documents.payload import WITHOUT_PAYLOAD
from bridge.documents.raw import Raw
from bridge.documents.task_codec import read_document
from bridge.domain.addresses import ENCODE, LATE, ends_late
from bridge.domain.errors import (
    SearchTooSlow,
    SetupError,
    StoreError,
    StoreRefusing,
    StoreUnavailable,
    TaskTooLarge,
    TaskUnreadable,
)
from bridge.domain.messages import message
from bridge.domain.schema import SchemaVersion
from bridge.domain.task import State, Task, UnreadableTask
from bridge.domain.tls_faults import tls_fault
from bridge.ports.reader import Page, TaskFilter

WAITING_CAP: Final = 10_000
_OLDEST: Final = 1000
TOO_LARGE: Final = frozenset({10334, 17280, 17419})
"""The server's codes for a document, a key or an update's result that is too large."""
INTERRUPTED: Final = frozenset(
    {6, 7, 89, 91, 112, 133, 134, 189, 202, 262, 9001, 10107, 11600, 11602, 13435, 13436, 16500}
)
"""The server's codes for a call that a step-down, a shutdown, a conflict or the load ended: nothing speaks against it.

Source: MongoDB's `error_codes.yml`, categories RetriableError, NetworkError and NotPrimaryError; 16500 is Cosmos DB's.
"""
REFUSING: Final = frozenset({13, 18, 371, 8000, 14031})
"""The server's codes for faults that an operator must mend: rights, a password, blocked writes, quotas, a full disk."""
NO_SUCH_COMMAND: Final = 59
OLD_GREETING: Final = "isMaster"

_CONNECT: Final = timedelta(seconds=3)
_NEWEST: Final = [("created_at", DESCENDING), ("_id", DESCENDING)]


class StoreReader:
    """`bridge.ports.TaskReader` on MongoDB; `open` it before use and `close` it after, or use it as a context.

    `timeout` bounds each call once a server is found; for that it waits three seconds. `max_time` is how long the
    server may work on a list or a count, `tell_every` how often is told of indexes that are being built. `options` are
    the driver's own, as tlsCAFile; they win over the URI's.
    """

    models: ClassVar[Sequence[type[Document]]] = (TaskDocument, RecordDocument)

    def __init__(
        self,
        uri: str,
        database: str,
        *,
        pool_size: int = 32,
        timeout: timedelta = timedelta(seconds=10),
        max_time: timedelta = timedelta(seconds=5),
        tell_every: timedelta = timedelta(seconds=5),
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._uri = uri
        self._options = options
        self._tell_every = tell_every
        self._database = database
        self._pool_size = pool_size
        self._timeout = _millis(timeout)
        self._max_time_ms = _millis(max_time)
        self.on_unreadable: Callable[[UnreadableTask], None] = lambda _found: None
        """Called for each document that can't be read, each time that it is read."""
        self.schema = SchemaVersion()
        self._greeting = "hello"
        self._client: AsyncMongoClient[Raw] | None = None
        self._collections: dict[str, AsyncCollection[Raw]] = {}

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def open(self, on_build: OnBuild = lambda _progress: None) -> None:
        """Connect, and create the collections' indexes where they are missing; `on_build` is called while that lasts.

        Raises `SetupError` for an address that can't be read, `StoreNotOurs` for a database of another program,
        `StoreTooNew` where newer gateways work, and `StoreUnavailable` where no server answers.
        """
        client = self._connect()
        try:
            with translated("open"):
                database = self._database_on(client)
                await require_ours(database, self.models, self.schema)
                await init_beanie(database=database, document_models=[*self.models], skip_indexes=True)
                await create_indexes(client, self._database, self.models, on_build=on_build, every=self._tell_every)
                await write_schema(database, self.schema)
        except (StoreError, SetupError, asyncio.CancelledError):
            await client.close()
            raise
        self._client = client

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            self._collections.clear()
            await client.close()

    async def version(self) -> str:
        with translated("version"):
            return str((await self._connected().server_info())["version"])

    async def check_schema(self) -> None:
        """Raise `StoreTooNew` where a gateway works on the store by now beside which this one must not."""
        with translated("check_schema"):
            kept = await read_schema(self._database_on(self._connected()))
        if kept is not None:
            self.schema.require(kept)

    async def replica_set(self) -> str | None:
        """Return the name of the replica set that answers; None for a server that is alone."""
        with translated("replica_set"):
            return (await self._greet()).get("setName")

    async def server_time(self) -> datetime:
        """Return the server's own clock, in UTC, to the millisecond."""
        with translated("server_time"):
            answer = await self._greet()
        moment = answer.get("localTime")
        if not isinstance(moment, datetime):
            raise StoreError(message("store.no_clock"))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    async def _greet(self) -> Raw:
        admin, greeting = self._connected().admin, self._greeting
        try:
            return await admin.command(greeting)
        except OperationFailure as error:
            if error.code != NO_SUCH_COMMAND or greeting == OLD_GREETING:
                raise
        # Servers that speak MongoDB's protocol of before 4.4 know it by its old name only.
        self._greeting = OLD_GREETING
        return await admin.command(self._greeting)

    async def get(self, task_id: str) -> Task | None:
        """Return the task; None where none is kept. Raises `TaskUnreadable`."""
        with translated("get"):
            document = await self._tasks.find_one({"_id": {"$eq": task_id}})
        found = None if document is None else self._read(document)
        if isinstance(found, UnreadableTask):
            raise TaskUnreadable(found)
        return found

    async def waiting(self) -> int:
        with translated("waiting"):
            return await self._tasks.count_documents(
                {"state": {"$eq": State.RECEIVED.value}}, limit=WAITING_CAP, maxTimeMS=self._max_time_ms
            )

    async def waiting_by_topic(self) -> Mapping[str, int]:
        pipeline: list[dict[str, object]] = [
            {"$match": {"state": {"$eq": State.RECEIVED.value}}},
            {"$limit": WAITING_CAP},
            {"$group": {"_id": "$topic", "tasks": {"$sum": 1}}},
        ]
        with translated("waiting_by_topic"):
            found = await self._tasks.aggregate(pipeline, maxTimeMS=self._max_time_ms)
            return {str(row["_id"]): int(row["tasks"]) async for row in found}

    async def count_of(self, state: State) -> int:
        """Count the tasks in a state, up to `WAITING_CAP`."""
        with translated("count_of"):
            return await self._tasks.count_documents(
                {"state": {"$eq": state.value}}, limit=WAITING_CAP, maxTimeMS=self._max_time_ms
            )

    async def incidents(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Count the incidents of these topics, from the index alone, up to `WAITING_CAP` together; without zeros."""
        wanted: Raw = {"topic": {"$in": list(topics)}, "state": {"$eq": State.FAILED.value}}
        counted: Raw = {"$group": {"_id": "$topic", "tasks": {"$sum": 1}}}
        pipeline: list[Raw] = [{"$match": wanted}, {"$limit": WAITING_CAP}, counted]
        with translated("incidents"):
            found = await self._tasks.aggregate(pipeline, hint=BY_TOPIC_STATE, maxTimeMS=self._max_time_ms)
            return {str(row["_id"]): int(row["tasks"]) async for row in found}

    async def oldest(self, state: State) -> datetime | None:
        """Return when the oldest task in a state was accepted; None where there is none.

        It is looked for among the thousand whose last change is the longest ago: no index is in the order of both.
        """
        with translated("oldest"):
            found = self._tasks.find({"state": {"$eq": state.value}}, {"created_at": 1}, max_time_ms=self._max_time_ms)
            documents = await found.sort([("updated_at", 1), ("_id", 1)]).limit(_OLDEST).to_list()
        moments = (document.get("created_at") for document in documents)
        return min((moment for moment in moments if isinstance(moment, datetime)), default=None)

    async def page(self, wanted: TaskFilter, limit: int, after: tuple[datetime, str] | None = None) -> Page:
        with translated("page"):
            found = self._tasks.find(_wanted(wanted, after), WITHOUT_PAYLOAD, max_time_ms=self._max_time_ms)
            try:
                documents = await found.sort(_NEWEST).limit(limit + 1).to_list()
            except ExecutionTimeout as error:
                raise SearchTooSlow.after(timedelta(milliseconds=self._max_time_ms)) from error
        tasks = tuple(self._read(document) for document in documents[:limit])
        return Page(tasks, last_position(documents[:limit], "created_at") if len(documents) > limit else None)

    def _read(self, document: Raw) -> Task | UnreadableTask:
        """Read one document; of one that can't be read it is told, and it spoils no other."""
        found = read_document(document)
        if isinstance(found, UnreadableTask):
            self.on_unreadable(found)
        return found

    @property
    def _tasks(self) -> AsyncCollection[Raw]:
        # Not asked of Beanie, which knows it only where this process has opened the store itself, too.
        return self._collection(TaskDocument.Settings.name)

    @property
    def _records(self) -> AsyncCollection[Raw]:
        return self._collection(RecordDocument.Settings.name)

    def _collection(self, name: str) -> AsyncCollection[Raw]:
        """Return a collection of this store's own database; Beanie's model knows only the one that was opened last."""
        client = self._connected()
        known = self._collections.get(name)
        if known is None:
            known = self._collections[name] = self._database_on(client)[name]
        return known

    def _database_on(self, client: AsyncMongoClient[Raw]) -> AsyncDatabase[Raw]:
        # Half of what the socket allows, so that the server tells what it waited for in vain. Reads go to the primary
        # whatever the URI says: a member that lags shows tasks as free that others have claimed.
        durable = WriteConcern(w="majority", j=True, wtimeout=self._timeout // 2)
        return client.get_database(self._database, write_concern=durable, read_preference=ReadPreference.PRIMARY)

    def _connected(self) -> AsyncMongoClient[Raw]:
        if self._client is None:
            raise StoreUnavailable(message("store.closed"))
        return self._client

    def _connect(self) -> AsyncMongoClient[Raw]:
        if ends_late(self._uri, "/?"):  # the driver would warn of options that are parts of a password
            raise SetupError(f"MONGODB_URI can't be used: {LATE}")
        try:
            return AsyncMongoClient(
                self._uri,
                tz_aware=True,
                tzinfo=UTC,
                appname="worker-gateway",
                maxPoolSize=self._pool_size,
                serverSelectionTimeoutMS=_millis(_CONNECT),
                connectTimeoutMS=_millis(_CONNECT),
                socketTimeoutMS=self._timeout,
                waitQueueTimeoutMS=self._timeout,
                # The store repeats its writes itself, by their tokens: a server that doesn't know the driver's repeats
                # by their number would run them a second time, and the answer would be that nothing happened.
                retryWrites=False,
                **self._options,
            )
        except (ConfigurationError, ValueError):
            raise SetupError(f"MONGODB_URI can't be used: {_fault_of(self._uri)}") from None  # it quotes passwords


def _fault_of(uri: str) -> str:
    """Return why a connection string can't be used: what the driver says of it without its user and password."""
    scheme, _, rest = uri.partition("://")
    try:
        AsyncMongoClient[Raw](f"{scheme}://{rest.rpartition('@')[2]}")
    except (ConfigurationError, ValueError) as error:
        return str(error)
    return ENCODE


def last_position(documents: Sequence[Raw], name: str) -> tuple[datetime, str] | None:
    """Return the moment and the id behind which the next page begins, of the last document that has such a moment."""
    for document in reversed(documents):
        if isinstance(document.get(name), datetime):
            return document[name], str(document["_id"])
    return None


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Raise PyMongo's errors as ours."""
    try:
        yield
    except DocumentTooLarge as error:
        raise TaskTooLarge(message("store.too_large", operation=operation, error=error)) from error
    except PyMongoError as error:
        if unclear(error):
            said = tls_fault(str(error), "MONGODB") or _first(error)
            raise StoreUnavailable(message("store.no_answer", operation=operation, error=said)) from error
        if REFUSING & codes_of(error):
            raise StoreRefusing(message("store.refuses", operation=operation, error=_first(error))) from error
        kind = TaskTooLarge if getattr(error, "code", None) in TOO_LARGE else StoreError
        raise kind(message("store.refused", operation=operation, error=_first(error))) from error


def unclear(error: PyMongoError) -> bool:
    """Return whether the effect of the call is unknown, or its failure may pass."""
    if isinstance(error, BulkWriteError) and error.details.get("writeConcernErrors"):
        return True
    lost = error.timeout or isinstance(error, ConnectionFailure | WriteConcernError)
    return lost or bool(INTERRUPTED & codes_of(error))


def codes_of(error: PyMongoError) -> frozenset[int]:
    """Return the server's codes in an error; of a bulk write those of its writes."""
    if isinstance(error, BulkWriteError):
        return frozenset(failure["code"] for failure in error.details.get("writeErrors", ()))
    code = error.code if isinstance(error, OperationFailure) else None
    return frozenset() if code is None else frozenset({code})


def _first(error: PyMongoError) -> str:
    """Return the error's message without the description of every server that PyMongo adds."""
    return str(error).partition(", Timeout: ")[0][:500]


def _wanted(wanted: TaskFilter, after: tuple[datetime, str] | None) -> Raw:
    """Return the filter of a page: values only ever stand behind an operator, so none can be read as one."""
    found: Raw = {}
    if wanted.states:
        found["state"] = {"$in": [state.value for state in wanted.states]}
    if wanted.topics:
        found["topic"] = {"$in": list(wanted.topics)}
    if wanted.source is not None:
        found["source"] = {"$eq": wanted.source.value}
    for name in ("business_key", "process_instance_id"):
        if (value := getattr(wanted, name)) is not None:
            found[name] = {"$eq": value}
    created: dict[str, Any] = {}
    if wanted.since is not None:
        created["$gte"] = wanted.since
    if wanted.until is not None:
        created["$lt"] = wanted.until
    if after is not None:
        moment, task_id = after
        created["$lte"] = moment
        found["$or"] = [{"created_at": {"$lt": moment}}, {"created_at": {"$eq": moment}, "_id": {"$lt": task_id}}]
    if created:
        found["created_at"] = created
    return found


def _millis(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
