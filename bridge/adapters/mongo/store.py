"""The store on MongoDB: every write is a compare-and-set that `adapters.mongo.moves` makes from the one table."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, ClassVar, Final

from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pydantic_core import to_jsonable_python
from pymongo import ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern

from bridge.adapters.mongo.dead_letters import DeadLetterDocument, DeadLetterStore
from bridge.adapters.mongo.documents import BY_ID
from bridge.adapters.mongo.due import DueStore
from bridge.adapters.mongo.engine_identity import EngineIdentityDocument, IdentityStore
from bridge.adapters.mongo.moves import alike, writes_of
from bridge.adapters.mongo.reader import REFUSING, TOO_LARGE, codes_of, translated, unclear
from bridge.adapters.mongo.replicas import ReplicaStore
from bridge.adapters.mongo.task_counts import CountStore
from bridge.documents.payload import PAYLOAD, WITHOUT_PAYLOAD, most_bytes_of
from bridge.documents.raw import Raw
from bridge.documents.task_codec import UNSTORABLE, as_kept, encode, read_document, to_document
from bridge.domain.errors import StoreError, StoreUnavailable, TaskTooLarge, VariableError
from bridge.domain.lifecycle import Event, Move, claim_of, lease_anew, refetch
from bridge.domain.messages import message
from bridge.domain.task import UNREADABLE_LOOK, Source, State, Task, TaskKey, UnreadableTask
from bridge.ports.store import ClaimRequest

HARD_LIMIT: Final = 16_700_000
"""What a document may take at the very most: MongoDB's 16 MiB, less what a move adds besides its values."""
HEAVY: Final = 250_000
"""Changes above this size are written alone, after a look at what they are added to."""

_DUPLICATE: Final = 11000
_MAJORITY: Final = ReadConcern("majority")


class MongoStore(DueStore, CountStore, ReplicaStore, DeadLetterStore, IdentityStore):
    """`bridge.ports.store.TaskStore`, `TaskReader`, `Replicas` and `Records` on MongoDB.

    Where the connection breaks, the primary steps down or a majority does not confirm in time, a write's token is
    looked for before it is sent again, once; it happened where a majority has the token. Only if that fails too is
    `StoreUnavailable` raised. `TaskTooLarge` and `VariableError` are raised before anything of the batch is
    written: repeat its members one by one. `document_limit` bounds a new task, or what one move brings. Tasks that
    ended are deleted after `retention`; None keeps them.
    """

    models: ClassVar = (*ReplicaStore.models, *CountStore.models, DeadLetterDocument, EngineIdentityDocument)

    def __init__(
        self,
        uri: str,
        database: str,
        *,
        document_limit: int = 15_000_000,
        retention: timedelta | None = timedelta(days=30),
        pool_size: int = 32,
        timeout: timedelta = timedelta(seconds=10),
        tell_every: timedelta = timedelta(seconds=5),
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(uri, database, pool_size=pool_size, timeout=timeout, tell_every=tell_every, options=options)
        self._limit = document_limit
        self._retention = retention

    async def accept(self, tasks: Sequence[Task]) -> Sequence[Task | None]:
        answers: list[Task | None] = [None] * len(tasks)
        token = _token()
        prepared = [self._encoded(task, token) for task in tasks]
        with translated("accept"):
            for places in _rounds([task.id for task in tasks]):
                kept = await self._insert([tasks[place].id for place in places], [prepared[p] for p in places], token)
                for place in places:
                    answers[place] = as_kept(tasks[place]) if tasks[place].id in kept else None
                known = [p for p in places if tasks[p].id not in kept and tasks[p].source is Source.POLLED]
                for place, task in zip(known, await self._refetch([tasks[p] for p in known]), strict=True):
                    answers[place] = task
                # An id that comes again within the batch isn't new, though its document has the first one's token.
                token = _token()
        return answers

    async def move(self, moves: Sequence[Move]) -> Sequence[bool]:
        answers = [False] * len(moves)
        with translated("move"):
            heavy = {place for place, move in enumerate(moves) if await self._is_heavy(move)}
            for places in _rounds([move.task_id for move in moves]):
                light = [place for place in places if place not in heavy]
                for group in ([light] if light else []) + [[place] for place in places if place in heavy]:
                    for place, happened in zip(group, await self._round([moves[p] for p in group]), strict=True):
                        answers[place] = happened
        return answers

    async def confirm(self, keys: Sequence[TaskKey], now: datetime, next_at: datetime) -> None:
        changes = {"updated_at": now, "next_at": next_at}
        with translated("confirm"):
            await self._send([Move(key.id, Event.CONFIRM, key.epoch, changes=changes) for key in keys], _token())

    async def claim(self, claims: Sequence[ClaimRequest]) -> Sequence[Task | None]:
        moves = [
            claim_of(claim.topic, claim.key, claim.claim_id, replica=claim.replica, now=claim.now, until=claim.until)
            for claim in claims
        ]
        answers: list[Task | None] = [None] * len(claims)
        with translated("claim"):
            for places in _rounds([move.task_id for move in moves]):
                found = await self._claim([moves[place] for place in places])
                tasks = {task.id: task for task in await self._readable(found)}
                if len(tasks) < len(found):
                    await self._unclaim([document for document in found if document["_id"] not in tasks])
                for place in places:
                    answers[place] = tasks.get(moves[place].task_id)
        return answers

    async def _unclaim(self, documents: Sequence[Raw]) -> None:
        """Give back claims of documents that can't be read: they wait for a version that can, as if never claimed."""
        moves = []
        for document in documents:
            counted = {name: document.get(name) for name in ("attempts", "lost_claims")}
            changes = {name: count for name, count in counted.items() if isinstance(count, int)}
            if "attempts" in changes:
                changes["attempts"] -= 1
            moves.append(Move(document["_id"], Event.LOSE_CLAIM, document["epoch"], document["claim_id"], changes))
        await self._round(moves)
        claimed = [read_document(document) for document in documents]
        until = max(document["updated_at"] for document in documents) + UNREADABLE_LOOK
        await self.set_aside([found for found in claimed if isinstance(found, UnreadableTask)], until)

    async def get_many(self, task_ids: Sequence[str]) -> Sequence[Task]:
        with translated("get_many"):
            return await self._readable(await self._whole(task_ids)) if task_ids else []

    async def unstarted(self, replica: str, limit: int) -> Sequence[Task]:
        wanted = {"state": {"$in": [State.RECEIVED.value, State.QUEUED.value]}, "replica": {"$eq": replica}}
        with translated("unstarted"):
            found = self._tasks.find(wanted, WITHOUT_PAYLOAD, max_time_ms=self._max_time_ms).limit(limit)
            return [task for task in map(self._read, await found.to_list()) if isinstance(task, Task)]

    async def put_once(self, kind: str, key: str, record: Mapping[str, Any]) -> tuple[str, bool]:
        document = {"_id": ObjectId(), "kind": kind, "key": key, "record": to_jsonable_python(record)}
        with translated("put_once"):
            try:
                return key, await self._put(document)
            except PyMongoError as error:
                _raise_unless_worth_repeating(error)
                # A second insert that finds a duplicate waits for a majority to have it, whose ever it is.
                if await self._put(document):
                    return key, True
            wanted = {"kind": {"$eq": kind}, "key": {"$eq": key}}
            kept = await self._records.find_one(wanted, {"_id": 1})
        return key, kept is not None and kept["_id"] == document["_id"]

    async def _put(self, document: Raw) -> bool:
        """Insert the record; return whether its key was free."""
        try:
            # Not `insert_one`, which says nothing of a majority that has not confirmed the other's record.
            await self._records.insert_many([document])
        except BulkWriteError as error:
            if unclear(error) or codes_of(error) != {_DUPLICATE}:
                raise _refused(error) from error
            return False
        return True

    def _encoded(self, task: Task, token: int) -> RawBSONDocument:
        data = encode({**to_document(task), "tokens": [token]}, task.id)
        if len(data) > self._limit:
            raise TaskTooLarge(message("task.size", task=task.id, size=len(data), most=self._limit))
        return RawBSONDocument(data)

    async def _insert(self, ids: list[str], documents: list[RawBSONDocument], token: int) -> set[str]:
        """Insert the documents; return the ids of those that weren't known."""
        try:
            return await self._insert_new(ids, documents)
        except PyMongoError as error:
            _raise_unless_worth_repeating(error)
        kept = await self._landed(ids, token)
        rest = [place for place, task_id in enumerate(ids) if task_id not in kept]
        if rest:
            await self._insert_new([ids[place] for place in rest], [documents[place] for place in rest])
        return await self._proven(ids, token)

    async def _insert_new(self, ids: list[str], documents: list[RawBSONDocument]) -> set[str]:
        try:
            await self._tasks.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if unclear(error) or codes_of(error) != {_DUPLICATE}:
                raise _refused(error) from error
            return set(ids) - {ids[failure["index"]] for failure in failures}
        return set(ids)

    async def _refetch(self, tasks: list[Task]) -> list[Task | None]:
        moves = [refetch(task) for task in tasks]
        happened = await self.move(moves) if moves else []
        ids = [task.id for task, yes in zip(tasks, happened, strict=True) if yes]
        found = await self._tasks.find({"_id": {"$in": ids}}).to_list() if ids else []
        now = {task.id: task for task in await self._readable(found)}
        answers = [now.get(task.id) if yes else None for task, yes in zip(tasks, happened, strict=True)]
        rest = [place for place, answer in enumerate(answers) if answer is None]
        for place, task in zip(rest, await self._lease_anew([tasks[place] for place in rest]), strict=True):
            answers[place] = task
        return answers

    async def _lease_anew(self, tasks: list[Task]) -> list[Task | None]:
        """Give tasks that ended, or that are others now, their new lease; None for each that has changed meanwhile."""
        if not tasks:
            return []
        known = {task.id: task for task in await self.get_many([task.id for task in tasks])}
        moves = {task.id: lease_anew(known[task.id], task) for task in tasks if task.id in known}
        wanted = [move for move in moves.values() if move is not None]
        happened = await self.move(wanted)
        ids = [move.task_id for move, yes in zip(wanted, happened, strict=True) if yes]
        now = {task.id: task for task in (await self.get_many(ids) if ids else [])}
        return [now.get(task.id) for task in tasks]

    async def _claim(self, moves: list[Move]) -> list[Raw]:
        """Make the claims, each of another task; return the documents of those that were granted."""
        token = _token()
        if len(moves) == 1 and len(writes := writes_of(moves, token, self._retention)) == 1:
            try:
                document = await self._tasks.find_one_and_update(
                    *writes[0], return_document=ReturnDocument.AFTER, hint=BY_ID
                )
            except PyMongoError as error:
                _raise_unless_worth_repeating(error)
                await self._resolve(moves, token)
            else:
                return [] if document is None else [document]
        elif not await self._send(moves, token):
            return []
        wanted = {
            "_id": {"$in": [move.task_id for move in moves]},
            "claim_id": {"$in": list({move.changes["claim_id"] for move in moves})},
            "tokens": {"$eq": token},
            "state": {"$eq": State.RUNNING.value},
        }
        return await self._tasks.find(wanted).to_list()

    async def _round(self, moves: list[Move]) -> list[bool]:
        """Make moves, each of another task; tell for each whether it happened."""
        token = _token()
        count = await self._send(moves, token)
        if count in {0, len(moves)}:
            return [count > 0] * len(moves)
        landed = await self._landed((move.task_id for move in moves), token)
        return [move.task_id in landed for move in moves]

    async def _send(self, moves: Sequence[Move], token: int) -> int:
        """Send the moves in one go; return how many happened."""
        try:
            return await self._write(moves, token)
        except PyMongoError as error:
            _raise_unless_worth_repeating(error)
            return await self._resolve(moves, token)

    async def _resolve(self, moves: Sequence[Move], token: int) -> int:
        """After an unclear write: send again what didn't happen; return how many moves did, then or now."""
        ids = [move.task_id for move in moves]
        landed = await self._landed(ids, token)
        await self._write([move for move in moves if move.task_id not in landed], token)
        return len(await self._proven(ids, token))

    async def _write(self, moves: Sequence[Move], token: int) -> int:
        try:
            groups = alike(moves)
            writes = [(len(some), write) for some in groups for write in writes_of(some, token, self._retention)]
            if len(writes) == 1:
                ((tasks, write),) = writes
                update = self._tasks.update_one if tasks == 1 else self._tasks.update_many
                return (await update(*write, hint=BY_ID)).matched_count
            if not writes:
                return 0
            updates = [(UpdateOne if tasks == 1 else UpdateMany)(*write, hint=BY_ID) for tasks, write in writes]
            return (await self._tasks.bulk_write(updates, ordered=False)).matched_count
        except BulkWriteError as error:
            raise _refused(error) from error
        except UNSTORABLE as error:
            raise VariableError(message("task.move_not_storable", error=error)) from error

    async def _landed(self, ids: Iterable[str], token: int, concern: ReadConcern | None = None) -> set[str]:
        """Return which of the tasks have the token, as the primary has them: after a write that was confirmed."""
        wanted = {"_id": {"$in": list(ids)}, "tokens": {"$eq": token}}
        found = self._tasks.with_options(read_concern=concern).find(wanted, {"_id": 1})
        return {document["_id"] for document in await found.to_list()}

    async def _proven(self, ids: Sequence[str], token: int) -> set[str]:
        """Return which of the tasks have the token, after a write that was not confirmed: a majority has to agree."""
        landed = await self._landed(ids, token)
        if landed and landed != await self._landed(ids, token, _MAJORITY):
            raise StoreUnavailable(message("store.unconfirmed"))
        return landed

    async def _is_heavy(self, move: Move) -> bool:
        """Return whether the move is better written alone. Raises `TaskTooLarge` where it would burst the document."""
        most = most_bytes_of(move.changes)
        if (most is not None and most <= HEAVY) or not (writes := writes_of([move], 0, self._retention)):
            return False
        _, update = writes[0]
        size = len(encode(update, move.task_id))
        if size <= HEAVY:
            return False
        raw = self._tasks.with_options(CodecOptions(document_class=RawBSONDocument))
        stays = dict.fromkeys(PAYLOAD - update["$set"].keys(), 1) or {"_id": 1}
        kept = await raw.find_one({"_id": {"$eq": move.task_id}}, stays)
        total = size + (0 if kept is None else len(kept.raw))
        if size > self._limit or total > HARD_LIMIT:
            raise TaskTooLarge(message("task.move_size", event=move.event, task=move.task_id, size=size, total=total))
        return True


def _token() -> int:
    return secrets.randbits(63)


def _rounds(ids: Sequence[str]) -> list[list[int]]:
    """Return the places of the ids in rounds, in order: no id comes twice in a round."""
    rounds: list[list[int]] = []
    seen: dict[str, int] = {}
    for place, task_id in enumerate(ids):
        turn = seen.get(task_id, 0)
        seen[task_id] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(place)
    return rounds


def _raise_unless_worth_repeating(error: PyMongoError) -> None:
    """Raise an error that tells what happened, and one that says that no server is there: nothing was sent."""
    if not unclear(error) or isinstance(error, ServerSelectionTimeoutError):
        raise error


def _refused(error: BulkWriteError) -> Exception:
    if unclear(error):
        return error
    if REFUSING & codes_of(error):
        return error
    first = error.details["writeErrors"][0]
    kind = TaskTooLarge if first.get("code") in TOO_LARGE else StoreError
    return kind(f"MongoDB refused a write: {first.get('errmsg')}")
