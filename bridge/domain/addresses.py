"""Addresses that have a user and a password in them: what is wrong with one, in words without either."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

ENCODE: Final = "percent-encode / ? # @ : [ ] and % in the user and the password, as %2F %3F %23 %40 %3A %5B %5D %25"
LATE: Final = f"an @ comes after the host: {ENCODE}"


def fault_of(address: str, schemes: Collection[str]) -> str | None:
    """Return why the address can't be used; None where nothing is wrong. No part of the address is in the answer."""
    scheme, found, _ = address.partition("://")
    if not found or scheme not in schemes:
        return f"it must start with {' or '.join(f'{each}://' for each in schemes)}"
    if ends_late(address):
        return LATE
    try:
        parts = urlsplit(address)
        known = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    return None if known else f"the host or its port can't be read: {ENCODE}"


def ends_late(address: str, ends: str = "/?#") -> bool:
    """Return whether an `@` comes behind what is taken for the host; `ends` are the signs that may follow that.

    It is the end of a password that has a raw `/`, `?` or `#` in it, whose rest is taken for a path, and its beginning
    for a port or a host; both would be told as such.
    """
    rest = address.partition("://")[2]
    found = [at for sign in ends if (at := rest.find(sign)) >= 0]
    return bool(found) and "@" in rest[min(found) :]
