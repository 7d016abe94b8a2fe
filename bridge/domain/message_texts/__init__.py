"""The English text of each code: the one table of what the gateway says of errors. The catalogs have each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.domain.message_texts.parts import ENGINE, PARTS
from bridge.domain.message_texts.requests import ACCESS, INPUT, QUERIES, REQUESTS
from bridge.domain.message_texts.tasks import ENDINGS, OPERATIONS, SUBMISSIONS, TASKS, VARIABLES

TEXTS: Final[Mapping[str, str]] = {
    **TASKS,
    **ENDINGS,
    **SUBMISSIONS,
    **OPERATIONS,
    **ACCESS,
    **PARTS,
    **ENGINE,
    **VARIABLES,
    **INPUT,
    **REQUESTS,
    **QUERIES,
}
"""A parameter stands as `%(name)s`. Those named `before` and `now` are states of tasks; others are names, numbers or
messages."""
