"""The pages that the rail leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.domain.access import Principal, Scope, may_some
from web.i18n.texts import msg


@dataclass(frozen=True, slots=True)
class Section:
    """A page of the rail: `key` is pressed after `g` to go there, `icon` names a symbol of macros/icons.html."""

    path: str
    label: str
    icon: str
    key: str
    scope: Scope = Scope.READ


SECTIONS: Final = (
    Section("/dashboard", msg("Overview"), "overview", "o"),
    Section("/dashboard/tasks", msg("Tasks"), "tasks", "t"),
    Section("/dashboard/topics", msg("Topics"), "topics", "p"),
    Section("/dashboard/failures", msg("Failures"), "failures", "f"),
    Section("/dashboard/workers", msg("Workers"), "workers", "w"),
    Section("/dashboard/operations", msg("Operations"), "operations", "b"),
    Section("/dashboard/audit", msg("Audit"), "audit", "a", Scope.ADMIN),
    Section("/dashboard/settings", msg("Settings"), "settings", "s"),
)


def sections_for(principal: Principal | None) -> Sequence[Section]:
    """Return the sections that a person may see; none without a login."""
    return [] if principal is None else [section for section in SECTIONS if may_some(principal, section.scope)]


def is_within(section: Section, path: str) -> bool:
    """Return whether a page belongs to a section."""
    return path == section.path or (section.path != "/dashboard" and path.startswith(f"{section.path}/"))
