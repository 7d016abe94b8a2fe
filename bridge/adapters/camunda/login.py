"""How the gateway says who it is at the engine: a fixed Authorization header, and headers of the operator's own."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Final

from pydantic import SecretStr

from bridge.domain.errors import SetupError

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, 5.6.2)."""
_OURS: Final = frozenset(
    {"accept", "connection", "content-length", "content-type", "transfer-encoding", "traceparent", "tracestate"}
)


def authorization(
    username: str | None = None, password: SecretStr | None = None, token: SecretStr | None = None
) -> str | None:
    """Return the Authorization header for basic (`username`, `password`) or bearer (`token`) authentication.

    A token may come with its "Bearer " or without. None where nothing is given; `SetupError` where both kinds are, or
    half of one.
    """
    if token is not None:
        if username is not None or password is not None:
            raise SetupError("CAMUNDA_TOKEN and CAMUNDA_USERNAME/CAMUNDA_PASSWORD: set one kind, not both")
        secret = token.get_secret_value().strip()
        kind, _, rest = secret.partition(" ")
        secret = rest.strip() if kind.lower() == "bearer" else secret
        if not secret.isascii() or not secret.isprintable() or not secret:
            raise SetupError("CAMUNDA_TOKEN is empty, or has characters that no HTTP header may have")
        return f"Bearer {secret}"
    if username is None and password is None:
        return None
    if username is None or password is None:
        raise SetupError("CAMUNDA_USERNAME and CAMUNDA_PASSWORD: set both, or neither")
    pair = f"{username}:{password.get_secret_value()}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def parse_headers(text: SecretStr | None) -> Mapping[str, str]:
    """Return the headers of CAMUNDA_HEADERS: `Name=value` separated by commas, or a JSON object.

    Raises `SetupError` for what is no header, and for one that the protocol or the tracing sets; values are not told.
    """
    given = "" if text is None else text.get_secret_value().strip()
    pairs = _pairs_of_json(given) if given.startswith("{") else _pairs_of_list(given)
    headers: dict[str, str] = {}
    for place, (name, value) in enumerate(pairs, 1):
        if not _NAME.fullmatch(name):
            raise SetupError(f"CAMUNDA_HEADERS: entry {place} has no header's name: write Name=value, Other=value")
        if name.lower() in _OURS:
            raise SetupError(f"CAMUNDA_HEADERS: {name} is set by the gateway itself")
        if name.lower() in {known.lower() for known in headers}:
            raise SetupError(f"CAMUNDA_HEADERS: {name} is there twice")
        if not value.isascii() or not value.isprintable():
            raise SetupError(f"CAMUNDA_HEADERS: the value of {name} has characters that no HTTP header may have")
        headers[name] = value
    return headers


def _pairs_of_list(text: str) -> list[tuple[str, str]]:
    parts = [part for part in text.split(",") if part.strip()]
    return [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in parts)]


def _pairs_of_json(text: str) -> list[tuple[str, str]]:
    try:
        found = json.loads(text)
    except ValueError:
        raise SetupError("CAMUNDA_HEADERS begins with { and is no JSON object") from None  # it quotes the values
    if not all(isinstance(value, str) for value in found.values()):
        raise SetupError("CAMUNDA_HEADERS: each value of the JSON object must be a text")
    return list(found.items())
