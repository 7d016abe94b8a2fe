"""An operator's edit of a task's variables, and whether it arrived with the engine's next lease."""

from __future__ import annotations

import json
from collections.abc import Collection
from hashlib import blake2b
from typing import Final

from bridge.domain.errors import VariableError
from bridge.domain.task import Edit, Task, TypedValue, Variables
from bridge.domain.topic import File
from bridge.domain.variables import decode

_DIGEST_BYTES: Final = 16


def edit_of(task: Task, variables: Variables, fetched: Collection[str] | None) -> Edit:
    """Return the stored fingerprint of an edit, without variables that are not fetched (None: all are)."""
    told = {name: variable for name, variable in variables.items() if fetched is None or name in fetched}
    return Edit(task.epoch, {name: _fingerprint(name, variable) for name, variable in told.items()})


def missed_edits(task: Task) -> tuple[str, ...]:
    """Return the names of edited variables that a later lease brought with another value, or not at all; sorted."""
    edit, inputs = task.edit, task.inputs
    if edit is None or task.epoch <= edit.epoch:
        return ()
    return tuple(
        name
        for name, mark in sorted(edit.values.items())
        if name not in inputs or _fingerprint(name, inputs[name]) != mark
    )


def _fingerprint(name: str, variable: TypedValue) -> str:
    """Return a text that is the same for equal values, in any form in which the engine sends one.

    A File is compared by its name and kind alone, as it comes without its content.
    """
    try:
        value = decode({name: variable})[name]
    except VariableError:
        value = variable.value
    plain = [value.name, value.mime_type, value.encoding] if isinstance(value, File) else value
    text = json.dumps(plain, sort_keys=True, default=str)
    return blake2b(text.encode(errors="replace"), digest_size=_DIGEST_BYTES).hexdigest()
