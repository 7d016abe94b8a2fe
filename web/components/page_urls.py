"""Addresses of pages: under the path that the gateway is mounted at, with a page's whole state in the query."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from litestar import Request

LONGEST_QUERY: Final = 8_192
"""How many characters of a query its page's own addresses have: each of them has it all, or nothing of a longer one."""
Value = str | int | float | Iterable[str] | None


def root_of(request: Request[Any, Any, Any]) -> str:
    """Return the path that the gateway is mounted under, without a slash at its end; empty at the top."""
    return str(request.scope.get("root_path") or "").rstrip("/")


def segment(name: str) -> str:
    """Return a name as one segment of a path, to be encoded with the path: whatever is in it, it stays one segment.

    A server decodes a path before it divides it, and proxies and browsers take out `.` and `..`; so these signs are
    escaped by `~` and their code.
    """
    special = r"." if name in {".", ".."} else r"[~%/\\]"
    return re.sub(special, lambda found: f"~{ord(found[0]):02X}", name)


def from_segment(text: str) -> str:
    """Return the name that a segment stands for."""
    return re.sub(r"~([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text)


class PageUrls:
    """Writes addresses as seen from one request."""

    def __init__(self, request: Request[Any, Any, Any]) -> None:
        self.root = root_of(request)
        self.path = request.url.path.removeprefix(self.root)
        # In their own order, which `query_params` doesn't keep: the same page has the same addresses.
        query = request.url.query
        self._query = parse_qsl(query) if len(query) <= LONGEST_QUERY else []

    def url(self, path: str, **query: Value) -> str:
        """Return the address of `path`; a field that is None or empty is left out, a list gives one for each."""
        return self._join(f"{self.root}{quote(path, safe='/:@')}", _pairs(query))

    def here(self, **changes: Value) -> str:
        """Return the address of this page with fields of its query changed; None or empty removes a field."""
        return self._join(f"{self.root}{quote(self.path, safe='/:@')}", self.fields(**changes))

    def fields(self, **changes: Value) -> list[tuple[str, str]]:
        """Return the query of this page, changed so: also for the hidden fields of a form that keeps the rest."""
        kept = [(name, value) for name, value in self._query if name not in changes and value]
        return [*kept, *_pairs(changes)]

    @staticmethod
    def _join(path: str, pairs: list[tuple[str, str]]) -> str:
        return f"{path}?{urlencode(pairs)}" if pairs else path


def _pairs(query: dict[str, Value]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        values = [value] if isinstance(value, str | int | float) else list(value or ())
        pairs += [(name, str(item)) for item in values if item != ""]
    return pairs
