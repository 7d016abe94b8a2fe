"""Examples at random: a bounded number, the same in each run; or, with FUZZ_SECONDS, others until the time is over."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

_SHORT: Final = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
_LONG: Final = settings(
    max_examples=500,
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def fuzz_seconds() -> float:
    """Return how long each property is tried; 0 for the short run, which tries the same examples each time."""
    return float(os.environ.get("FUZZ_SECONDS", "0"))


def fuzzed(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Return what turns a property of values of these strategies into a test.

    What fails is told with FUZZ_SEED, by which the same examples are tried again.
    """

    def decorate(check: Callable[..., None]) -> Callable[[], None]:
        tried = given(*strategies)(check)

        def test() -> None:
            seconds, again = fuzz_seconds(), os.environ.get("FUZZ_SEED")
            if again is not None:
                seed(int(again))(_LONG(tried))()
            elif seconds == 0:
                _SHORT(tried)()
            else:
                _until(_LONG(tried), time.monotonic() + seconds)

        test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
        return test

    return decorate


def _until(tried: Callable[[], None], end: float) -> None:
    while time.monotonic() < end:
        number = secrets.randbits(32)
        try:
            seed(number)(tried)()
        except BaseException as error:
            error.add_note(f"The same again: FUZZ_SEED={number} python -m pytest {os.environ['PYTEST_CURRENT_TEST']}")
            raise
