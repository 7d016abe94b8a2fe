"""The variables that a topic's input model reads."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel
from pydantic.fields import FieldInfo


def input_names(model: type[BaseModel]) -> tuple[str, ...] | None:
    """Return the names under which the model reads its fields, each field's own and its aliases; None for any name.

    Any: a model with `extra="allow"` keeps what it doesn't name, one with `extra="forbid"` refuses it, and a
    `RootModel` has no fields. Of an `AliasPath` its first part is the variable's name. A validator that runs before
    the fields and reads further names is not seen.
    """
    if issubclass(model, RootModel) or model.model_config.get("extra", "ignore") != "ignore":
        return None
    return tuple(dict.fromkeys(name for field, info in model.model_fields.items() for name in field_names(field, info)))


def refuses_others(model: type[BaseModel]) -> bool:
    """Return whether the model refuses what it doesn't name, so that nothing else may be handed to it."""
    return model.model_config.get("extra") == "forbid"


def field_names(field: str, info: FieldInfo) -> Iterator[str]:
    """Return the names under which a model reads one field: its own, and its aliases."""
    yield field
    aliases = info.validation_alias
    for alias in aliases.choices if isinstance(aliases, AliasChoices) else (aliases,):
        match alias:
            case str():
                yield alias
            case AliasPath(path=[str(first), *_]):
                yield first
    if info.alias is not None:
        yield info.alias
