"""What handlers do with their tasks in a soak: most end well, some in each way in which a handler can misbehave."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final


class Fate(StrEnum):
    """What a handler does with a task. What would keep the task from ever ending well happens in one run only."""

    WELL = "well"
    LARGE = "large"
    """Ends well with a result of some size."""
    RAISES = "raises"
    EXITS = "exits"
    """Calls `sys.exit`."""
    INTERRUPTS = "interrupts"
    """Raises `KeyboardInterrupt`."""
    DIES = "dies"
    """Calls `os._exit`, which ends its process and all that runs in it."""
    HANGS = "hangs"
    """Runs beyond its timeout, in a thread that nothing can stop."""
    BLOCKS = "blocks"
    """Blocks the event loop, and ends well."""
    REFUSES = "refuses"
    """Raises `BpmnError(404)`: the model catches "404"."""
    UNSTORABLE = "unstorable"
    """Returns what no variable can hold."""
    HUGE = "huge"
    """Returns more than a document of the store can hold."""


ONCE: Final = frozenset({Fate.RAISES, Fate.EXITS, Fate.INTERRUPTS, Fate.DIES, Fate.HANGS, Fate.BLOCKS})
"""What happens in one run of the task; the next one ends well."""
RETRIED: Final = frozenset({Fate.RAISES, Fate.EXITS, Fate.INTERRUPTS, Fate.HANGS})
"""What is a failure with retries left: another run follows by right."""
INCIDENT: Final = frozenset({Fate.UNSTORABLE, Fate.HUGE})
"""What no retry can mend: the task ends in an incident."""

_SHARES: Final[Mapping[Fate, float]] = {
    Fate.LARGE: 0.01,
    Fate.RAISES: 0.02,
    Fate.EXITS: 0.01,
    Fate.INTERRUPTS: 0.01,
    Fate.DIES: 0.002,
    Fate.HANGS: 0.005,
    Fate.BLOCKS: 0.005,
    Fate.REFUSES: 0.02,
    Fate.UNSTORABLE: 0.01,
    Fate.HUGE: 0.001,
}


def draw(tasks: int, chance: random.Random) -> Sequence[Fate]:
    """Return a fate for each task: of each kind its share, and one at least, in an order of chance."""
    odd = [fate for fate, share in _SHARES.items() for _ in range(max(1, int(tasks * share)))]
    fates = [*odd, *[Fate.WELL] * (tasks - len(odd))][:tasks]
    chance.shuffle(fates)
    return fates
