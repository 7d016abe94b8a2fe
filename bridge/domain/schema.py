"""The version of what is kept in the store: which gateways may work on it side by side.

A version is a number. Each gateway writes one, `SCHEMA`, and says by `LEAST` from which version on a gateway may work
beside it. The store keeps the highest of either that ever worked on it. The rule: `LEAST` is never above the schema of
the release before, so that two releases in a row may work on one store while one replaces the other; a gateway
whose schema is below the store's least would misread or spoil what newer ones wrote, and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.domain.errors import StoreTooNew
from bridge.domain.messages import message

SCHEMA: Final = 1
"""What this version writes. Raise it with every change that an older version does not know."""
LEAST: Final = 1
"""The lowest schema whose gateways may work beside this one. Raise it a release after `SCHEMA`, at the earliest."""


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """What a gateway writes, and the lowest schema of a gateway beside it."""

    number: int = SCHEMA
    least: int = LEAST

    def require(self, kept: SchemaVersion) -> None:
        """Raise `StoreTooNew` where the store is of gateways beside which this one must not work."""
        if self.number < kept.least:
            raise StoreTooNew(message("store.too_new", own=self.number, least=kept.least, kept=kept.number))
