"""Passwords by argon2id, with the parameters of RFC 9106 for machines that are short of memory (64 MiB a hash)."""

from __future__ import annotations

import base64
import secrets
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from bridge.runtime.own_threads import OwnThreads

AT_ONCE: Final = 2
"""Hashes under way at once: each takes 64 MiB and a core, and a storm of logins must not take them all."""


class Argon2Passwords:
    """`bridge.ports.access.Passwords`; a hash is made in a thread, so that the loop goes on meanwhile."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4, type=Type.ID)
        self._nobodys = _no_hash(self._hasher)
        self._threads = OwnThreads("password", AT_ONCE)

    async def make(self, password: str) -> str:
        return await self._threads.run(self._hasher.hash, password)

    async def verify(self, kept: str | None, password: str) -> bool:
        found = await self._threads.run(self._verify, self._nobodys if kept is None else kept, password)
        return found and kept is not None

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False


def _no_hash(hasher: PasswordHasher) -> str:
    """Return what an unknown name's password is compared with: it costs what a real one costs, and nothing fits it."""
    salt, tag = (_text(secrets.token_bytes(size)) for size in (hasher.salt_len, hasher.hash_len))
    terms = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${terms}${salt}${tag}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).rstrip(b"=").decode("ascii")
