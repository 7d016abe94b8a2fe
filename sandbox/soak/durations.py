"""How long things last in a soak, in seconds: short, so that what faults leave behind is picked up within its time."""

from __future__ import annotations

from typing import Final

CLAIM: Final = 6.0
LOCK: Final = 12.0
PLAIN_TIMEOUT: Final = 5.0
"""After how long a plain handler is given up."""
HANG: Final = 7.0
"""For how long a plain handler hangs; its thread goes on after its timeout."""
BLOCK: Final = 1.0
"""For how long an async handler blocks the event loop: no other task's claim may be lost by that."""
STORED: Final = 1.0
"""Within how long the outcome of a handler is stored."""
STORED_AFTER: Final = 10.0
"""Within how long it is stored when the store is back."""
