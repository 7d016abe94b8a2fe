"""A document as MongoDB's driver takes and gives it."""

from __future__ import annotations

from typing import Any

Raw = dict[str, Any]
