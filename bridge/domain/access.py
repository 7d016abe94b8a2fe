"""Permissions: people with a role, programs with a key. Frozen values and pure decisions, denied by default."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

LEAST_PASSWORD: Final = 12
MOST_PASSWORD: Final = 256
MOST_SESSIONS: Final = 50
"""How many sessions a person has at most: one more ends the oldest."""

USED_EVERY: Final = timedelta(minutes=1)
"""How exactly a key's last use is known: a use is written at most so often."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.@-]{0,63}")
_KEY: Final = re.compile(r"wag_([a-z0-9]{12})_([0-9a-f]{64})")
_PREFIX: Final = re.compile(r"[a-z0-9]{12}")
_PREFIX_SIGNS: Final = "abcdefghijkmnpqrstuvwxyz23456789"


class Scope(StrEnum):
    """The permissions: submit tasks, read them, act on them, and administer access."""

    SUBMIT = "submit"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


class Role(StrEnum):
    """The roles of people; each has all permissions of the one before."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


SCOPES: Final[Mapping[Role, frozenset[Scope]]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.SUBMIT, Scope.OPERATE}),
    Role.ADMIN: frozenset(Scope),
}


class Kind(StrEnum):
    """The kind of a principal."""

    PERSON = "person"
    KEY = "key"
    ANYBODY = "anybody"


@dataclass(frozen=True, slots=True)
class User:
    """A person with a password. A disabled person can't log in, and is kept so that the audit has a name.

    `topics` None means every topic. `account` is the person's at the identity provider, whose claims then say the role
    and the topics at each login; they have no password here (empty).
    """

    name: str
    role: Role
    password: str = field(repr=False)
    created_at: datetime
    disabled_at: datetime | None = None
    topics: frozenset[str] | None = None
    account: str | None = None

    @property
    def credential(self) -> str:
        """A hash of the password's hash: sessions are bound to it, so that another password ends them all."""
        return digest(self.password)[:16]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A program's key, as it is kept: of its secret only the hash. `topics` None means every topic."""

    prefix: str
    secret: str = field(repr=False)
    label: str
    scopes: frozenset[Scope]
    created_at: datetime
    topics: frozenset[str] | None = None
    used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A person's login. `id` is the hash of what the browser has, so it may be shown and named in a form.

    `credential` is the person's at the login; empty in a session of a version that kept none. `id_token` is what ends
    the login at the identity provider, where one opened the session.
    """

    id: str
    user: str
    created_at: datetime
    expires_at: datetime
    address: str = ""
    agent: str = ""
    credential: str = ""
    id_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class LoginAttempts:
    """The login attempts from one side (an account or an address); the next is refused before `next_at`."""

    count: int
    next_at: datetime
    forget_at: datetime


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """How many attempts are free, and how the wait grows after them: doubled with each, up to `most`."""

    free: int
    first: timedelta
    most: timedelta
    forget: timedelta


ACCOUNT: Final = LoginPolicy(5, timedelta(seconds=2), timedelta(minutes=5), timedelta(hours=1))
ADDRESS: Final = LoginPolicy(20, timedelta(seconds=2), timedelta(minutes=15), timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller. `topics` None means every topic; `session` is set where a browser's cookie identified the person."""

    name: str
    kind: Kind
    scopes: frozenset[Scope]
    topics: frozenset[str] | None = None
    role: Role | None = None
    session: Session | None = None


def person(user: User, session: Session) -> Principal:
    """Return the principal that a logged-in person is."""
    return Principal(user.name, Kind.PERSON, SCOPES[user.role], user.topics, role=user.role, session=session)


def program(key: ApiKey) -> Principal:
    """Return the principal that a key's holder is; its name is the key's label and prefix."""
    scopes = frozenset(Scope) if Scope.ADMIN in key.scopes else key.scopes
    return Principal(f"{key.label} ({key.prefix})", Kind.KEY, scopes, key.topics)


def anybody() -> Principal:
    """Return the caller of an open API, who needs no key and has every permission."""
    return Principal("anybody", Kind.ANYBODY, frozenset(Scope), role=Role.ADMIN)


def may(principal: Principal, action: Scope, topic: str | None = None) -> bool:
    """Return whether `principal` may do `action` on tasks of `topic`; None asks for it on all topics together."""
    if action not in principal.scopes:
        return False
    return principal.topics is None or (topic is not None and topic in principal.topics)


def is_valid(session: Session | None, user: User | None, now: datetime) -> bool:
    """Return whether a session still stands: not expired, its person let in, their password the same."""
    if session is None or user is None or session.expires_at <= now or user.disabled_at is not None:
        return False
    return session.credential in {"", user.credential}


def may_some(principal: Principal, action: Scope) -> bool:
    """Return whether `principal` may do `action` on one topic at least, as a route's guard asks that knows no topic."""
    return action in principal.scopes and (principal.topics is None or bool(principal.topics))


def is_name(text: str) -> bool:
    """Return whether a login name is usable: lower case, digits and _ . @ -, 64 at most."""
    return _NAME.fullmatch(text) is not None


def new_secret() -> str:
    """Return 256 random bits, as text."""
    return secrets.token_hex(32)


def new_prefix() -> str:
    """Return a key's public half, which names the key, and is no credential."""
    return "".join(secrets.choice(_PREFIX_SIGNS) for _ in range(12))


def is_prefix(text: str) -> bool:
    """Return whether a text has the form of a key's prefix."""
    return _PREFIX.fullmatch(text) is not None


def new_password() -> str:
    """Return a password of nearly 100 random bits, in groups that can be read out and typed."""
    return "-".join("".join(secrets.choice(_PREFIX_SIGNS) for _ in range(5)) for _ in range(4))


def write_key(prefix: str, secret: str) -> str:
    """Return a key as its holder has it."""
    return f"wag_{prefix}_{secret}"


def read_key(text: str) -> tuple[str, str] | None:
    """Return the prefix and the secret of a key; None for other text."""
    found = _KEY.fullmatch(text)
    return None if found is None else (found[1], found[2])


def digest(secret: str) -> str:
    """Return the hash of a secret of 256 bits, for which a plain hash is enough: it can't be found by trying."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare in a time that doesn't tell how much of the two is equal."""
    return hmac.compare_digest(one.encode(), other.encode())


def csrf_token(session_secret: str) -> str:
    """Return the token that the forms of a session carry: it follows from what only the session's cookie has."""
    return hmac.new(session_secret.encode(), b"worker-api-gateway form", hashlib.sha256).hexdigest()


def next_login_attempts(before: LoginAttempts | None, now: datetime, policy: LoginPolicy) -> LoginAttempts:
    """Return the count after one more attempt; `wait_of` says beforehand whether the attempt is allowed."""
    count = 1 if before is None or before.forget_at <= now else before.count + 1
    over = count - policy.free
    wait = timedelta(0) if over < 0 else min(policy.most, policy.first * 2 ** min(over, 20))
    return LoginAttempts(count, now + wait, now + policy.forget)


def neighbourhood(address: str) -> str:
    """Return the key under which attempts from an address are counted: for IPv6 its /64, which one machine can have."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    mapped = found.ipv4_mapped
    return str(ipaddress.IPv6Network((found, 64), strict=False)) if mapped is None else str(mapped)


def wait_of(login_attempts: LoginAttempts | None, now: datetime) -> timedelta:
    """Return how long the next attempt is still refused; zero when it is allowed."""
    if login_attempts is None or login_attempts.forget_at <= now:
        return timedelta(0)
    return max(timedelta(0), login_attempts.next_at - now)
