"""Times counted in buckets that grow: histograms of any replicas and minutes can be added, and quantiles be read.

A quantile is off by at most `ERROR` of itself between a millisecond and eleven days; what is shorter counts as a
millisecond, what is longer as eleven days. The bounds grow by (1 + ERROR) / (1 - ERROR) from bucket to bucket, as in
DDSketch (Masson, Rim, Lee: "DDSketch", 2019), so that 101 buckets are enough.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

ERROR: Final = 0.1
SHORTEST: Final = 0.001
LONGEST: Final = 1_000_000.0

_GROWTH: Final = (1 + ERROR) / (1 - ERROR)
_LOG: Final = math.log(_GROWTH)

Buckets = Mapping[int, int]
"""How many times fell into each bucket."""


def bucket_of(seconds: float) -> int:
    """Return the bucket that counts a time."""
    return math.ceil(math.log(min(max(seconds, SHORTEST), LONGEST) / SHORTEST) / _LOG)


def seconds_of(bucket: int) -> float:
    """Return the time that stands for all that a bucket counts."""
    return SHORTEST * 2 * _GROWTH**bucket / (_GROWTH + 1) if bucket else SHORTEST


def merged(many: Iterable[Buckets]) -> Buckets:
    """Return the histogram of all times that the histograms count."""
    total: Counter[int] = Counter()
    for buckets in many:
        total.update(buckets)
    return total


def quantile(buckets: Buckets, share: float) -> float | None:
    """Return the time which `share` of all don't exceed; None where none was counted."""
    total = sum(buckets.values())
    if not total:
        return None
    rank = max(1, math.ceil(share * total))
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= rank:
            return seconds_of(bucket)
    raise AssertionError("the counts add up to the total")
