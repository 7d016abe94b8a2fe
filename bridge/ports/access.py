"""The store of people, keys and sessions; two adapters, `mongo` and `memory`, pass the same tests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from bridge.domain.access import ApiKey, LoginAttempts, Role, Session, User


class AccessStore(Protocol):
    """Stores people, keys and sessions. Raises `StoreUnavailable` when it can't be reached.

    Times are kept to the millisecond. Expired sessions may still be returned: the caller compares the time.
    """

    async def add_user(self, user: User) -> bool:
        """Keep a new person; False when the name is taken."""
        ...

    async def user(self, name: str) -> User | None: ...

    async def user_by_account(self, account: str) -> User | None:
        """Return the person with this account at the identity provider."""
        ...

    async def users_by_name(self, names: Collection[str]) -> Sequence[User]:
        """Return the people with these names, in any order."""
        ...

    async def users(self) -> Sequence[User]:
        """Return all people, by name."""
        ...

    async def set_password(self, name: str, password: str) -> bool:
        """Replace the hash of a password; False when there is no such person."""
        ...

    async def set_role(self, name: str, role: Role) -> bool: ...

    async def set_grant(self, name: str, role: Role, topics: frozenset[str] | None) -> bool:
        """Replace the role and the topics at once; False when there is no such person."""
        ...

    async def set_topics(self, name: str, topics: frozenset[str] | None) -> bool: ...

    async def set_disabled(self, name: str, at: datetime | None) -> bool:
        """Disable a person since `at`, or enable them again (None); False when there is none."""
        ...

    async def add_key(self, key: ApiKey) -> bool:
        """Keep a new key; False when the prefix is taken."""
        ...

    async def key(self, prefix: str) -> ApiKey | None: ...

    async def keys(self) -> Sequence[ApiKey]:
        """Return all keys, also those that were revoked, the newest first."""
        ...

    async def revoke_key(self, prefix: str, at: datetime) -> bool:
        """Revoke a key; False when there is none that wasn't revoked before."""
        ...

    async def use_key(self, prefix: str, at: datetime) -> None:
        """Write down a key's last use, where none is known within the minute before."""
        ...

    async def add_session(self, session: Session) -> None: ...

    async def session(self, session_id: str) -> Session | None: ...

    async def sessions_by_id(self, session_ids: Collection[str]) -> Sequence[Session]:
        """Return which of these sessions there are, in any order."""
        ...

    async def sessions(self, user: str) -> Sequence[Session]:
        """Return a person's sessions, the newest first."""
        ...

    async def rebind_session(self, user: str, session_id: str, credential: str) -> bool:
        """Bind a session of this person to another credential; False when they have none of that id."""
        ...

    async def end_session(self, user: str, session_id: str) -> bool:
        """Delete a session of this person; False when they have none of that id."""
        ...

    async def end_sessions(self, user: str, *, keep: str | None = None) -> int:
        """Delete all sessions of a person but the one of the id `keep`; return how many were deleted."""
        ...

    async def end_oldest_sessions(self, user: str, *, keep: int) -> int:
        """Delete a person's sessions but the `keep` newest; return how many were deleted."""
        ...

    async def login_attempts(self, side: str) -> LoginAttempts | None: ...

    async def swap_login_attempts(self, side: str, before: LoginAttempts | None, after: LoginAttempts) -> bool:
        """Replace `before` by `after`; False where another attempt came in between."""
        ...

    async def forget_login_attempts(self, side: str) -> None: ...

    async def count_requests(self, side: str, window_end: datetime, count: int) -> int:
        """Add `count` to a side's requests in the window that ends then; return all that were counted in it."""
        ...


class Passwords(Protocol):
    """Turns passwords into hashes that are slow to search through, and compares with them."""

    async def make(self, password: str) -> str: ...

    async def verify(self, kept: str | None, password: str) -> bool:
        """Compare; for `kept` None (an unknown name) return False, after the time of a real comparison."""
        ...
