"""People, keys and sessions kept in this process: for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.domain.access import USED_EVERY, ApiKey, LoginAttempts, Role, Session, User


class MemoryAccessStore:
    """`bridge.ports.access.AccessStore` on dictionaries."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._keys: dict[str, ApiKey] = {}
        self._sessions: dict[str, Session] = {}
        self._login_attempts: dict[str, LoginAttempts] = {}
        self._requests: Counter[tuple[str, datetime]] = Counter()

    async def add_user(self, user: User) -> bool:
        return self._users.setdefault(user.name, user) is user

    async def user(self, name: str) -> User | None:
        return self._users.get(name)

    async def user_by_account(self, account: str) -> User | None:
        return next((user for user in self._users.values() if user.account == account), None)

    async def users_by_name(self, names: Collection[str]) -> Sequence[User]:
        return [self._users[name] for name in names if name in self._users]

    async def users(self) -> Sequence[User]:
        return [user for _, user in sorted(self._users.items())]

    async def set_password(self, name: str, password: str) -> bool:
        return self._change_user(name, password=password)

    async def set_role(self, name: str, role: Role) -> bool:
        return self._change_user(name, role=role)

    async def set_grant(self, name: str, role: Role, topics: frozenset[str] | None) -> bool:
        return self._change_user(name, role=role, topics=topics)

    async def set_topics(self, name: str, topics: frozenset[str] | None) -> bool:
        return self._change_user(name, topics=topics)

    async def set_disabled(self, name: str, at: datetime | None) -> bool:
        return self._change_user(name, disabled_at=at)

    def _change_user(self, name: str, **changes: object) -> bool:
        user = self._users.get(name)
        if user is None:
            return False
        self._users[name] = replace(user, **changes)  # type: ignore[arg-type]  # the callers name fields of their types
        return True

    async def add_key(self, key: ApiKey) -> bool:
        return self._keys.setdefault(key.prefix, key) is key

    async def key(self, prefix: str) -> ApiKey | None:
        return self._keys.get(prefix)

    async def keys(self) -> Sequence[ApiKey]:
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.prefix), reverse=True)

    async def revoke_key(self, prefix: str, at: datetime) -> bool:
        key = self._keys.get(prefix)
        if key is None or key.revoked_at is not None:
            return False
        self._keys[prefix] = replace(key, revoked_at=at)
        return True

    async def use_key(self, prefix: str, at: datetime) -> None:
        key = self._keys.get(prefix)
        if key is not None and (key.used_at is None or key.used_at <= at - USED_EVERY):
            self._keys[prefix] = replace(key, used_at=at)

    async def add_session(self, session: Session) -> None:
        self._sessions[session.id] = session

    async def session(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    async def sessions_by_id(self, session_ids: Collection[str]) -> Sequence[Session]:
        return [self._sessions[session_id] for session_id in session_ids if session_id in self._sessions]

    async def sessions(self, user: str) -> Sequence[Session]:
        mine = [session for session in self._sessions.values() if session.user == user]
        return sorted(mine, key=lambda session: (session.created_at, session.id), reverse=True)

    async def rebind_session(self, user: str, session_id: str, credential: str) -> bool:
        session = self._sessions.get(session_id)
        if session is None or session.user != user:
            return False
        self._sessions[session_id] = replace(session, credential=credential)
        return True

    async def end_session(self, user: str, session_id: str) -> bool:
        session = self._sessions.get(session_id)
        if session is None or session.user != user:
            return False
        del self._sessions[session_id]
        return True

    async def end_sessions(self, user: str, *, keep: str | None = None) -> int:
        mine = [session.id for session in await self.sessions(user) if session.id != keep]
        for session_id in mine:
            del self._sessions[session_id]
        return len(mine)

    async def end_oldest_sessions(self, user: str, *, keep: int) -> int:
        oldest = (await self.sessions(user))[keep:]
        for session in oldest:
            del self._sessions[session.id]
        return len(oldest)

    async def login_attempts(self, side: str) -> LoginAttempts | None:
        return self._login_attempts.get(side)

    async def swap_login_attempts(self, side: str, before: LoginAttempts | None, after: LoginAttempts) -> bool:
        if self._login_attempts.get(side) != before:
            return False
        self._login_attempts[side] = after
        return True

    async def forget_login_attempts(self, side: str) -> None:
        self._login_attempts.pop(side, None)

    async def count_requests(self, side: str, window_end: datetime, count: int) -> int:
        self._requests[side, window_end] += count
        return self._requests[side, window_end]
