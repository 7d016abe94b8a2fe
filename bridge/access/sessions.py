"""Authentication: by an API key, by a password, or by the session that a password opened."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bridge.access.accounts import check_password
from bridge.domain.access import (
    ACCOUNT,
    ADDRESS,
    MOST_PASSWORD,
    MOST_SESSIONS,
    USED_EVERY,
    LoginAttempts,
    LoginPolicy,
    Principal,
    Session,
    User,
    csrf_token,
    digest,
    is_name,
    is_valid,
    neighbourhood,
    new_secret,
    next_login_attempts,
    person,
    program,
    read_key,
    same,
    wait_of,
)
from bridge.domain.errors import Forbidden, TooManyLoginAttempts, Unauthenticated
from bridge.domain.messages import Message, message
from bridge.domain.openid import Grant, Identity
from bridge.ports.access import AccessStore, Passwords
from bridge.ports.clock import Clock
from bridge.ports.journal import Journal, Level

_SESSION: Final = re.compile(r"[0-9a-f]{64}")
_CLASHES: Final = 4
_ID_TOKEN: Final = 16_000
_NO_KEY: Final = message("login.key")
_NO_LOGIN: Final = message("login.password")


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was just opened; `secret` is the browser's cookie, and is stored nowhere else."""

    secret: str
    session: Session


class SessionService:
    """Authenticates requests. Raises `Unauthenticated`, `TooManyLoginAttempts` or `StoreUnavailable`."""

    def __init__(
        self, store: AccessStore, passwords: Passwords, clock: Clock, journal: Journal, *, lifetime: timedelta
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._journal = journal
        self._lifetime = lifetime

    @property
    def lifetime(self) -> timedelta:
        """How long a session lasts."""
        return self._lifetime

    async def by_key(self, text: str) -> Principal:
        """Return the principal of a key. A malformed, an unknown and a revoked key are refused alike."""
        parts = read_key(text)
        if parts is None:
            raise Unauthenticated(_NO_KEY)
        prefix, secret = parts
        key = await self._store.key(prefix)
        fits = same(digest(secret), "" if key is None else key.secret)
        if key is None or not fits or key.revoked_at is not None:
            raise Unauthenticated(_NO_KEY)
        now = self._clock.now()
        if key.used_at is None or now - key.used_at >= USED_EVERY:
            await self._store.use_key(prefix, now)
        return program(key)

    async def by_session(self, secret: str) -> Principal | None:
        """Return the principal of a session; None where it has ended, or its person was disabled."""
        if not _SESSION.fullmatch(secret):
            return None
        session = await self._store.session(digest(secret))
        if session is None or session.expires_at <= self._clock.now():
            return None
        user = await self._store.user(session.user)
        return person(user, session) if user is not None and is_valid(session, user, self._clock.now()) else None

    async def ended(self, session_ids: Collection[str]) -> frozenset[str]:
        """Return which of these sessions are no longer valid; two reads, however many there are."""
        if not session_ids:
            return frozenset()
        sessions = await self._store.sessions_by_id(session_ids)
        users = {user.name: user for user in await self._store.users_by_name({session.user for session in sessions})}
        now = self._clock.now()
        valid = {session.id for session in sessions if is_valid(session, users.get(session.user), now)}
        return frozenset(session_ids) - valid

    async def login(self, name: str, password: str, *, address: str, agent: str, before: str | None = None) -> Opened:
        """Open a session, always under a new id; `before` is the browser's id until now, whose session ends.

        An unknown name, a wrong password and a disabled person get the same answer, after the same work.
        """
        name, now = name.strip().lower(), self._clock.now()
        sides = {f"address:{neighbourhood(address)}": ADDRESS, f"account:{digest(name)}": ACCOUNT}
        taken = await self._take_login_attempts(sides, now)
        user = await self._store.user(name) if is_name(name) else None
        kept = _password_of(user)
        fits = await self._passwords.verify(kept, password[: MOST_PASSWORD + 1])
        if user is None or kept is None or not fits or len(password) > MOST_PASSWORD:
            known = None if user is None else user.name  # what is typed there may be a password
            self._journal.write("login_failed", level=Level.WARNING, user=known, address=address)
            raise Unauthenticated(_NO_LOGIN)
        await self._give_back(taken, now)
        if before is not None:
            await self.end(before)
        return await self._open(user, address, agent)

    async def admit(
        self, identity: Identity, grant: Grant, *, address: str, agent: str, before: str | None = None
    ) -> Opened:
        """Open a session for a person who logged in at the identity provider, with their present role and topics.

        The account at the provider identifies the person: a new name there changes nothing here. Raises `Forbidden` for
        a person without a role, whose older sessions end; for a person who was disabled here; and for a name that a
        person with a password or another account has: else a person who can choose a name there could take it over.
        """
        user = await self._store.user_by_account(identity.account)
        name = grant.name if user is None else user.name
        if grant.role is None:
            if user is not None:
                await self._store.end_sessions(user.name)
            raise self._refused(name, address, message("login.no_role"))
        if user is None:
            user = User(name, grant.role, "", self._clock.now(), topics=grant.topics, account=identity.account)
            if not await self._store.add_user(user):
                raise self._refused(name, address, message("login.name_taken"))
            self._journal.write("user_added", user=name, role=user.role.value, provider=identity.issuer)
        if user.disabled_at is not None:
            raise self._refused(name, address, message("login.disabled"))
        if (user.role, user.topics) != (grant.role, grant.topics):
            await self._store.set_grant(name, grant.role, grant.topics)
            user = replace(user, role=grant.role, topics=grant.topics)
            self._journal.write("role_changed", user=name, role=user.role.value, provider=identity.issuer)
        if before is not None:
            await self.end(before)
        return await self._open(user, address, agent, identity.id_token)

    async def take_try(self, address: str) -> dict[str, LoginAttempts]:
        """Count a login at the identity provider, until `give_back`. Raises `TooManyLoginAttempts`."""
        return await self._take_login_attempts({f"address:{neighbourhood(address)}": ADDRESS}, self._clock.now())

    async def give_back(self, taken: dict[str, LoginAttempts]) -> None:
        """Remove an attempt that led to a login."""
        await self._give_back(taken, self._clock.now())

    def _refused(self, name: str, address: str, why: Message) -> Forbidden:
        self._journal.write("login_failed", level=Level.WARNING, user=name, address=address, error=why)
        return Forbidden(why)

    async def _open(self, user: User, address: str, agent: str, id_token: str = "") -> Opened:
        now, secret = self._clock.now(), new_secret()
        expires_at = now + self._lifetime
        session = Session(
            digest(secret),
            user.name,
            now,
            expires_at,
            address[:64],
            agent[:200],
            user.credential,
            id_token if len(id_token) <= _ID_TOKEN else "",
        )
        await self._store.add_session(session)
        await self._store.end_oldest_sessions(user.name, keep=MOST_SESSIONS)
        self._journal.write("login", user=user.name, role=user.role.value, address=address)
        return Opened(secret, session)

    async def end(self, secret: str) -> None:
        """End the session of this cookie, if there is one."""
        if not _SESSION.fullmatch(secret):
            return
        session = await self._store.session(digest(secret))
        if session is not None:
            await self._store.end_session(session.user, session.id)
            self._journal.write("logout", user=session.user)

    async def sessions(self, user: str) -> Sequence[Session]:
        """Return a person's sessions that have not expired, the newest first."""
        now = self._clock.now()
        return [session for session in await self._store.sessions(user) if session.expires_at > now]

    async def revoke(self, user: str, session_id: str) -> bool:
        """End one of a person's sessions by its public id; False when they have none of that id."""
        ended = await self._store.end_session(user, session_id)
        if ended:
            self._journal.write("session_revoked", user=user)
        return ended

    async def revoke_others(self, user: str, *, keep: str) -> int:
        """End all of a person's sessions but the one of the id `keep`; return how many there were."""
        ended = await self._store.end_sessions(user, keep=keep)
        if ended:
            self._journal.write("session_revoked", user=user)
        return ended

    async def change_password(self, name: str, old: str, new: str, *, keep: str) -> None:
        """Set a person's new password, and end their sessions but `keep`. The old password is checked as at login.

        Raises `Refusal` for a new password that is too short or too long, before anything else.
        """
        check_password(new)
        now = self._clock.now()
        taken = await self._take_login_attempts({f"account:{digest(name)}": ACCOUNT}, now)
        user = await self._store.user(name)
        kept = _password_of(user)
        if not await self._passwords.verify(kept, old[: MOST_PASSWORD + 1]):
            self._journal.write("password_not_changed", level=Level.WARNING, user=name)
            raise Unauthenticated(message("login.old_password"))
        await self._give_back(taken, now)
        made = await self._passwords.make(new)
        await self._store.set_password(name, made)  # from here on no session stands, as each is bound to the old one
        if user is not None:
            await self._store.rebind_session(name, keep, replace(user, password=made).credential)
        await self._store.end_sessions(name, keep=keep)
        self._journal.write("password_changed", user=name)

    @staticmethod
    def form_token(secret: str) -> str:
        """Return the token that a form of this session carries."""
        return csrf_token(secret)

    async def _take_login_attempts(self, sides: dict[str, LoginPolicy], now: datetime) -> dict[str, LoginAttempts]:
        """Count an attempt before the password is checked, so that many at once are limited as if made in sequence."""
        found = {side: await self._store.login_attempts(side) for side in sides}
        wait = max(wait_of(login_attempts, now) for login_attempts in found.values())
        if wait:
            raise _too_many(wait)
        return {side: await self._take_try(side, policy, now) for side, policy in sides.items()}

    async def _take_try(self, side: str, policy: LoginPolicy, now: datetime) -> LoginAttempts:
        for _ in range(_CLASHES):
            before = await self._store.login_attempts(side)
            if wait := wait_of(before, now):
                raise _too_many(wait)
            after = next_login_attempts(before, now, policy)
            if await self._store.swap_login_attempts(side, before, after):
                return after
        raise _too_many(timedelta(seconds=1))

    async def _give_back(self, taken: dict[str, LoginAttempts], now: datetime) -> None:
        """After a login: reset the account's count; the address gets back this attempt only."""
        for side, login_attempts in taken.items():
            if side.startswith("account:"):
                await self._store.forget_login_attempts(side)
            else:
                await self._store.swap_login_attempts(
                    side, login_attempts, replace(login_attempts, count=login_attempts.count - 1, next_at=now)
                )


def _password_of(user: User | None) -> str | None:
    """Return the hash that a password is compared with; None for a person without one here, or who is disabled."""
    return None if user is None or user.disabled_at is not None or user.account is not None else user.password


def _too_many(wait: timedelta) -> TooManyLoginAttempts:
    seconds = max(1, math.ceil(wait.total_seconds()))
    return TooManyLoginAttempts(message("login.attempts", seconds=seconds), wait=seconds)
