"""Which engine answers: its brand and version, and what the gateway misses in an engine that is too old."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bridge.domain.messages import Message, message


class Brand(StrEnum):
    """Camunda 7, and the engines that were made of its source."""

    CAMUNDA = "Camunda"
    OPERATON = "Operaton"
    CIB_SEVEN = "CIB seven"


@dataclass(frozen=True, slots=True)
class EngineProduct:
    """A brand and its version; None is what the engine doesn't tell, or not to this user."""

    brand: Brand | None = None
    version: str | None = None

    @property
    def line(self) -> tuple[int, int] | None:
        """The version's first two numbers; None where they aren't known."""
        found = _LINE.match(self.version or "")
        return None if found is None else (int(found[1]), int(found[2]))

    @property
    def shortcomings(self) -> Sequence[Message]:
        """What the gateway misses in this engine; nothing where brand or version isn't known."""
        if self.brand is not Brand.CAMUNDA or self.line is None:
            return ()
        return [message(code, engine=self) for first, code in _SINCE if self.line < first]

    def __str__(self) -> str:
        brand = self.brand or "Camunda 7 or an engine of its kind"
        return f"{brand} {self.version or 'of an unknown version'}" if self.brand else f"{brand}, {self._numbered}"

    @property
    def _numbered(self) -> str:
        return f"version {self.version}" if self.version else "of an unknown version"


def engine_product(version: str | None, product: str | None) -> EngineProduct:
    """Return what an engine says of itself: its `/version`, and the product's name in its `/telemetry/data`.

    Not everybody is told the name. Only Camunda's versions begin with 7; CIB seven before 2.0 called itself Camunda.
    """
    named = next((brand for name, brand in _NAMES if product and product.casefold().startswith(name)), None)
    found = EngineProduct(named, version)
    is_seven = found.line is not None and found.line[0] == _CAMUNDA_SEVEN
    if named is None and is_seven:
        return EngineProduct(Brand.CAMUNDA, version)
    if named is Brand.CAMUNDA and found.line is not None and found.line[0] < _CAMUNDA_SEVEN:
        return EngineProduct(Brand.CIB_SEVEN, version)
    return found


_LINE: Final = re.compile(r"(\d{1,4})\.(\d{1,4})")
_CAMUNDA_SEVEN: Final = 7
# "Camunda BPM Runtime", "Operaton BPM Runtime", "CIB seven" (ProcessEngineConfigurationImpl.PRODUCT_NAME of each).
_NAMES: Final = (("camunda", Brand.CAMUNDA), ("operaton", Brand.OPERATON), ("cib seven", Brand.CIB_SEVEN))
# The first line of Camunda 7 that has it; the others began as copies of 7.22 and later.
_SINCE: Final = (((7, 21), "engine.too_old.sorting"), ((7, 15), "engine.too_old.lock"))
