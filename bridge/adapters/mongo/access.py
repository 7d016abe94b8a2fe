"""People, keys, sessions and login attempts on MongoDB; keys, passwords and sessions are stored as hashes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from bridge.adapters.mongo.reader import StoreReader, translated
from bridge.documents.raw import Raw
from bridge.documents.task_codec import cut
from bridge.domain.access import USED_EVERY, ApiKey, LoginAttempts, Role, Scope, Session, User

MOST: Final = 1000
"""How many people, keys or sessions are listed at most."""


class UserDocument(Document):
    """A person; `_id` is the login name, `password` an argon2id hash."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    role: Role
    password: str
    created_at: datetime
    disabled_at: datetime | None = None
    topics: list[str] | None = None
    account: str | None = None

    class Settings:
        """Read by Beanie."""

        name = "access_users"
        indexes: ClassVar = [IndexModel([("account", ASCENDING)], name="account")]


class KeyDocument(Document):
    """A key; `_id` is its prefix, `secret` the SHA-256 of 256 bits of chance."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    secret: str
    label: str
    scopes: list[Scope]
    created_at: datetime
    topics: list[str] | None = None
    used_at: datetime | None = None
    revoked_at: datetime | None = None

    class Settings:
        """Read by Beanie."""

        name = "access_keys"


class SessionDocument(Document):
    """A login; `_id` is the SHA-256 of the cookie. MongoDB deletes it when it has expired."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    user: str
    created_at: datetime
    expires_at: datetime
    address: str
    agent: str
    credential: str = ""
    id_token: str = ""

    class Settings:
        """Read by Beanie."""

        name = "access_sessions"
        indexes: ClassVar = [
            IndexModel([("user", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="user_created_at"),
            IndexModel([("expires_at", ASCENDING)], name="expire", expireAfterSeconds=0),
        ]


class LoginAttemptsDocument(Document):
    """The login attempts from one side. MongoDB deletes the document when they no longer count."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    number: int
    next_at: datetime
    forget_at: datetime

    class Settings:
        """Read by Beanie."""

        name = "access_tries"
        indexes: ClassVar = [IndexModel([("forget_at", ASCENDING)], name="forget", expireAfterSeconds=0)]


class RequestsDocument(Document):
    """The requests of one side in one minute; MongoDB deletes it some time after."""

    id: str  # type: ignore[assignment]  # Beanie allows any type
    number: int
    forget_at: datetime

    class Settings:
        """Read by Beanie."""

        name = "access_requests"
        indexes: ClassVar = [IndexModel([("forget_at", ASCENDING)], name="forget", expireAfterSeconds=0)]


class MongoAccessStore(StoreReader):
    """`bridge.ports.access.AccessStore` on MongoDB, over a connection of its own: logins never wait behind tasks.

    Values stand only behind an operator, so none can be read as one. `max_time` bounds each command on the server.
    """

    models: ClassVar = (UserDocument, KeyDocument, SessionDocument, LoginAttemptsDocument, RequestsDocument)

    def __init__(
        self,
        uri: str,
        database: str,
        *,
        pool_size: int = 8,
        timeout: timedelta = timedelta(seconds=10),
        max_time: timedelta = timedelta(seconds=3),
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(uri, database, pool_size=pool_size, timeout=timeout, max_time=max_time, options=options)

    # -- people

    async def add_user(self, user: User) -> bool:
        return await self._insert(UserDocument, to_user(user))

    async def user(self, name: str) -> User | None:
        found = await self._find(UserDocument, name)
        return None if found is None else from_user(found)

    async def user_by_account(self, account: str) -> User | None:
        with translated("user_by_account"):
            wanted = {"account": {"$eq": account}}
            found = await self._of(UserDocument).find_one(wanted, max_time_ms=self._max_time_ms)
        return None if found is None else from_user(found)

    async def users_by_name(self, names: Collection[str]) -> Sequence[User]:
        return [from_user(document) for document in await self._find_all(UserDocument, names)]

    async def users(self) -> Sequence[User]:
        with translated("users"):
            found = self._of(UserDocument).find({}, max_time_ms=self._max_time_ms).sort("_id", ASCENDING).limit(MOST)
            return [from_user(document) for document in await found.to_list()]

    async def set_password(self, name: str, password: str) -> bool:
        return await self._set(UserDocument, {"_id": {"$eq": name}}, {"password": password})

    async def set_role(self, name: str, role: Role) -> bool:
        return await self._set(UserDocument, {"_id": {"$eq": name}}, {"role": role.value})

    async def set_grant(self, name: str, role: Role, topics: frozenset[str] | None) -> bool:
        kept = None if topics is None else sorted(topics)
        return await self._set(UserDocument, {"_id": {"$eq": name}}, {"role": role.value, "topics": kept})

    async def set_topics(self, name: str, topics: frozenset[str] | None) -> bool:
        kept = None if topics is None else sorted(topics)
        return await self._set(UserDocument, {"_id": {"$eq": name}}, {"topics": kept})

    async def set_disabled(self, name: str, at: datetime | None) -> bool:
        return await self._set(UserDocument, {"_id": {"$eq": name}}, {"disabled_at": at})

    # -- keys

    async def add_key(self, key: ApiKey) -> bool:
        return await self._insert(KeyDocument, to_key(key))

    async def key(self, prefix: str) -> ApiKey | None:
        found = await self._find(KeyDocument, prefix)
        return None if found is None else from_key(found)

    async def keys(self) -> Sequence[ApiKey]:
        with translated("keys"):
            found = self._of(KeyDocument).find({}, max_time_ms=self._max_time_ms).sort(_NEWEST).limit(MOST)
            return [from_key(document) for document in await found.to_list()]

    async def revoke_key(self, prefix: str, at: datetime) -> bool:
        wanted = {"_id": {"$eq": prefix}, "revoked_at": {"$eq": None}}
        return await self._set(KeyDocument, wanted, {"revoked_at": at})

    async def use_key(self, prefix: str, at: datetime) -> None:
        long_ago = [{"used_at": {"$eq": None}}, {"used_at": {"$lte": at - USED_EVERY}}]
        await self._set(KeyDocument, {"_id": {"$eq": prefix}, "$or": long_ago}, {"used_at": at})

    # -- sessions

    async def add_session(self, session: Session) -> None:
        await self._insert(SessionDocument, to_session(session))

    async def session(self, session_id: str) -> Session | None:
        found = await self._find(SessionDocument, session_id)
        return None if found is None else from_session(found)

    async def sessions_by_id(self, session_ids: Collection[str]) -> Sequence[Session]:
        return [from_session(document) for document in await self._find_all(SessionDocument, session_ids)]

    async def sessions(self, user: str) -> Sequence[Session]:
        with translated("sessions"):
            wanted = {"user": {"$eq": user}}
            found = self._of(SessionDocument).find(wanted, max_time_ms=self._max_time_ms).sort(_NEWEST).limit(MOST)
            return [from_session(document) for document in await found.to_list()]

    async def rebind_session(self, user: str, session_id: str, credential: str) -> bool:
        wanted = {"_id": {"$eq": session_id}, "user": {"$eq": user}}
        return await self._set(SessionDocument, wanted, {"credential": credential})

    async def end_session(self, user: str, session_id: str) -> bool:
        with translated("end_session"):
            wanted = {"_id": {"$eq": session_id}, "user": {"$eq": user}}
            return (await self._of(SessionDocument).delete_one(wanted)).deleted_count > 0

    async def end_sessions(self, user: str, *, keep: str | None = None) -> int:
        wanted: Raw = {"user": {"$eq": user}} if keep is None else {"user": {"$eq": user}, "_id": {"$ne": keep}}
        with translated("end_sessions"):
            return (await self._of(SessionDocument).delete_many(wanted)).deleted_count

    async def end_oldest_sessions(self, user: str, *, keep: int) -> int:
        ended = 0
        with translated("end_oldest_sessions"):
            sessions, wanted = self._of(SessionDocument), {"user": {"$eq": user}}
            while True:
                found = sessions.find(wanted, {"_id": 1}, max_time_ms=self._max_time_ms).sort(_NEWEST)
                oldest = [document["_id"] for document in await found.skip(keep).limit(MOST).to_list()]
                if not oldest:
                    return ended
                ended += (await sessions.delete_many({"_id": {"$in": oldest}})).deleted_count

    # -- login_attempts

    async def login_attempts(self, side: str) -> LoginAttempts | None:
        found = await self._find(LoginAttemptsDocument, side)
        return None if found is None else LoginAttempts(int(found["number"]), found["next_at"], found["forget_at"])

    async def swap_login_attempts(self, side: str, before: LoginAttempts | None, after: LoginAttempts) -> bool:
        document = {"number": after.count, "next_at": after.next_at, "forget_at": after.forget_at}
        if before is None:
            return await self._insert(LoginAttemptsDocument, {"_id": side, **document})
        wanted = {
            "_id": {"$eq": side},
            "number": {"$eq": before.count},
            "next_at": {"$eq": cut(before.next_at)},
            "forget_at": {"$eq": cut(before.forget_at)},
        }
        return await self._set(LoginAttemptsDocument, wanted, document)

    async def forget_login_attempts(self, side: str) -> None:
        with translated("forget_login_attempts"):
            await self._of(LoginAttemptsDocument).delete_one({"_id": {"$eq": side}})

    async def count_requests(self, side: str, window_end: datetime, count: int) -> int:
        wanted = {"_id": {"$eq": f"{window_end.timestamp():.0f}:{side}"}}
        more = {"$inc": {"number": count}, "$setOnInsert": {"forget_at": window_end}}
        with translated("count_requests"):
            requests = self._of(RequestsDocument)
            for last in (False, True):
                try:
                    found = await requests.find_one_and_update(
                        wanted, more, upsert=True, return_document=ReturnDocument.AFTER
                    )
                except DuplicateKeyError:  # of two first ones at once, one inserts
                    if last:
                        raise
                else:
                    return 0 if found is None else int(found["number"])
        raise AssertionError("one of the two returned or raised")

    # -- MongoDB

    def _of(self, model: type[Document]) -> AsyncCollection[Raw]:
        return self._collection(model.get_collection_name())

    async def _insert(self, model: type[Document], document: Raw) -> bool:
        with translated(f"insert {model.__name__}"):
            try:
                await self._of(model).insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    async def _find(self, model: type[Document], key: str) -> Raw | None:
        with translated(f"find {model.__name__}"):
            return await self._of(model).find_one({"_id": {"$eq": key}}, max_time_ms=self._max_time_ms)

    async def _find_all(self, model: type[Document], keys: Collection[str]) -> list[Raw]:
        with translated(f"find {model.__name__}"):
            return await self._of(model).find({"_id": {"$in": list(keys)}}, max_time_ms=self._max_time_ms).to_list()

    async def _set(self, model: type[Document], wanted: Raw, changes: Raw) -> bool:
        with translated(f"change {model.__name__}"):
            return (await self._of(model).update_one(wanted, {"$set": changes})).matched_count > 0


_NEWEST: Final = [("created_at", DESCENDING), ("_id", DESCENDING)]


def to_user(user: User) -> Raw:
    return {
        "_id": user.name,
        "role": user.role.value,
        "password": user.password,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
        "topics": None if user.topics is None else sorted(user.topics),
        "account": user.account,
    }


def from_user(document: Mapping[str, Any]) -> User:
    topics = document.get("topics")
    return User(
        name=document["_id"],
        role=Role(document["role"]),
        password=document["password"],
        created_at=document["created_at"],
        disabled_at=document["disabled_at"],
        topics=None if topics is None else frozenset(topics),
        account=document.get("account"),
    )


def to_key(key: ApiKey) -> Raw:
    return {
        "_id": key.prefix,
        "secret": key.secret,
        "label": key.label,
        "scopes": sorted(scope.value for scope in key.scopes),
        "created_at": key.created_at,
        "topics": None if key.topics is None else sorted(key.topics),
        "used_at": key.used_at,
        "revoked_at": key.revoked_at,
    }


def from_key(document: Mapping[str, Any]) -> ApiKey:
    topics = document["topics"]
    return ApiKey(
        prefix=document["_id"],
        secret=document["secret"],
        label=document["label"],
        scopes=frozenset(Scope(scope) for scope in document["scopes"]),
        created_at=document["created_at"],
        topics=None if topics is None else frozenset(topics),
        used_at=document["used_at"],
        revoked_at=document["revoked_at"],
    )


def to_session(session: Session) -> Raw:
    return {
        "_id": session.id,
        "user": session.user,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
        "address": session.address,
        "agent": session.agent,
        "credential": session.credential,
        "id_token": session.id_token,
    }


def from_session(document: Mapping[str, Any]) -> Session:
    return Session(
        id=document["_id"],
        user=document["user"],
        created_at=document["created_at"],
        expires_at=document["expires_at"],
        address=document["address"],
        agent=document["agent"],
        credential=document.get("credential", ""),
        id_token=document.get("id_token", ""),
    )
