"""A task that a client hands in over HTTP, before anything is known about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.domain.errors import VariableError
from bridge.domain.messages import message, message_of

LARGE: Final = 200_000
"""Bytes from which on a body, or a value, is worked in a thread: some 20 ms of the loop's time."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What the client asked for.

    `variables` are as the client wrote them: plain JSON values, or Camunda's typed form `{"value": …, "type": …}`.
    `trace` is the `traceparent` that the call came with, and `size` its body's bytes; neither is a part of what was
    asked for.
    """

    task_id: str
    worker_id: str
    topic: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    trace: str | None = None
    size: int = field(default=0, compare=False)


def fingerprint(submission: Submission) -> str:
    """Return a SHA-256 (hex) that is the same for two bodies exactly when they say the same.

    The order of keys and white space don't matter; 1 and 1.0 differ. Raises `VariableError` where a variable is not
    JSON.
    """
    body = {
        "task_id": submission.task_id,
        "worker_id": submission.worker_id,
        "topic": submission.topic,
        "variables": dict(submission.variables),
    }
    digest = hashlib.sha256()
    encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
    try:
        # A large body is hashed in parts, of which none is kept; all at once is faster.
        for part in encoder.iterencode(body) if submission.size > LARGE else (encoder.encode(body),):
            for start in range(0, len(part), LARGE):
                digest.update(part[start : start + LARGE].encode("ascii"))
    except (TypeError, ValueError, RecursionError) as error:
        raise VariableError(message("submission.not_json", error=message_of(error))) from error
    return digest.hexdigest()
