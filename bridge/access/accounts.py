"""Administration of people and keys, by the command line or the dashboard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bridge.domain.access import (
    LEAST_PASSWORD,
    MOST_PASSWORD,
    ApiKey,
    Role,
    Scope,
    User,
    digest,
    is_name,
    new_prefix,
    new_secret,
    write_key,
)
from bridge.domain.errors import Refusal
from bridge.domain.messages import message
from bridge.ports.access import AccessStore, Passwords
from bridge.ports.clock import Clock
from bridge.ports.journal import Journal


class Accounts:
    """Adds and changes people and keys. Raises `Refusal`, whose message says what to do, or `StoreUnavailable`."""

    def __init__(self, store: AccessStore, passwords: Passwords, clock: Clock, journal: Journal) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._journal = journal

    async def add_user(self, name: str, role: Role, password: str, topics: Iterable[str] | None = None) -> User:
        """Keep a new person, who sees and changes tasks of `topics` alone; None is every topic."""
        name = name.strip().lower()
        if not is_name(name):
            raise Refusal(message("user.name", name=repr(name)))
        check_password(password)
        limited = _limited(role, topics)
        user = User(name, role, await self._passwords.make(password), self._clock.now(), topics=limited)
        if not await self._store.add_user(user):
            raise Refusal(message("user.taken", name=name))
        self._journal.write("user_added", user=name, role=role.value, **_topics_field(limited))
        return user

    async def first_admin(self, name: str, password: str) -> bool:
        """Make the admin that the environment names; False, and nothing changes, where somebody has the name."""
        if await self._store.user(name.strip().lower()) is not None:
            return False
        try:
            await self.add_user(name, Role.ADMIN, password)
        except Refusal:
            if await self._store.user(name.strip().lower()) is not None:
                return False  # another process was faster
            raise
        return True

    async def set_password(self, name: str, password: str) -> None:
        """Set a person's password, and end their sessions."""
        check_password(password)
        await self._local(name)
        self._found(name, await self._store.set_password(name, await self._passwords.make(password)))
        await self._store.end_sessions(name)
        self._journal.write("password_changed", user=name)

    async def set_role(self, name: str, role: Role) -> None:
        """Give a person another role; it counts from their next request on."""
        user = await self._local(name)
        _limited(role, None if user is None else user.topics)
        self._found(name, await self._store.set_role(name, role))
        self._journal.write("role_changed", user=name, role=role.value)

    async def set_topics(self, name: str, topics: Iterable[str] | None) -> None:
        """Limit a person to `topics`, or to none (None); it counts from their next request on."""
        user = await self._local(name)
        limited = _limited(Role.VIEWER if user is None else user.role, topics)
        self._found(name, await self._store.set_topics(name, limited))
        self._journal.write("user_topics_changed", user=name, topics=None if limited is None else sorted(limited))

    async def disable(self, name: str) -> None:
        """Disable a person, and end their sessions."""
        self._found(name, await self._store.set_disabled(name, self._clock.now()))
        await self._store.end_sessions(name)
        self._journal.write("user_disabled", user=name)

    async def enable(self, name: str) -> None:
        """Enable a disabled person."""
        self._found(name, await self._store.set_disabled(name, None))
        self._journal.write("user_enabled", user=name)

    async def users(self) -> Sequence[User]:
        """Return all people, by name."""
        return await self._store.users()

    async def user(self, name: str) -> User | None:
        """Return a person."""
        return await self._store.user(name)

    async def create_key(
        self, label: str, scopes: Iterable[Scope], topics: Iterable[str] | None = None, *, prefix: str | None = None
    ) -> tuple[ApiKey, str]:
        """Store a new key; return it, and the text that its holder sends, which is not stored.

        A caller that gives the `prefix` gets one key for it, however often it asks.
        """
        allowed, limited = frozenset(scopes), None if topics is None else frozenset(topics)
        label = label.strip()
        if not label or len(label) > 100 or not label.isprintable():
            raise Refusal(message("key.label"))
        if not allowed:
            raise Refusal(message("key.scope", scopes=", ".join(Scope)))
        if limited is not None and Scope.ADMIN in allowed:
            raise Refusal(message("key.admin_topics"))
        secret = new_secret()
        key = ApiKey(prefix or new_prefix(), digest(secret), label, allowed, self._clock.now(), limited)
        if not await self._store.add_key(key):
            raise Refusal(message("key.prefix"))
        given: dict[str, Any] = {"label": label, "scopes": sorted(allowed)}
        if limited is not None:
            given["topics"] = sorted(limited)
        self._journal.write("key_created", key=key.prefix, **given)
        return key, write_key(key.prefix, secret)

    async def keys(self) -> Sequence[ApiKey]:
        """Return all keys, also revoked ones, the newest first."""
        return await self._store.keys()

    async def key(self, prefix: str) -> ApiKey | None:
        """Return a key."""
        return await self._store.key(prefix)

    async def revoke_key(self, prefix: str) -> None:
        """Revoke a key; it is refused from the next request on."""
        if not await self._store.revoke_key(prefix, self._clock.now()):
            raise Refusal(message("key.unknown", key=prefix))
        self._journal.write("key_revoked", key=prefix)

    async def _local(self, name: str) -> User | None:
        user = await self._store.user(name)
        if user is not None and user.account is not None:
            raise Refusal(message("user.company", name=name))
        return user

    @staticmethod
    def _found(name: str, found: bool) -> None:
        if not found:
            raise Refusal(message("user.unknown", name=name))


def _limited(role: Role, topics: Iterable[str] | None) -> frozenset[str] | None:
    limited = None if topics is None else frozenset(topics)
    if limited is None:
        return None
    if role is Role.ADMIN:
        raise Refusal(message("user.admin_topics"))
    if not limited:
        raise Refusal(message("user.no_topic"))
    return limited


def _topics_field(topics: frozenset[str] | None) -> dict[str, Any]:
    return {} if topics is None else {"topics": sorted(topics)}


def check_password(password: str) -> None:
    """Raise `Refusal` for a password that is too short, or too long to be one."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise Refusal(message("user.password", least=LEAST_PASSWORD, most=MOST_PASSWORD))
