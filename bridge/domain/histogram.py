"""Times counted in buckets that grow: histograms of any replicas and minutes can be added, and quantiles be read.

A quantile is off by at most `ERROR` of itself between a millisecond and eleven days; what is shorter counts as a
millisecond, what is longer as eleven days. The bounds grow by (1 + ERROR) / (1 - ERROR) from bucket to bucket, as in
DDSketch (Masson, Rim, Lee: "DDSketch", 2019), so that 101 buckets are enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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
    total: dict[int, int] = {}
    for buckets in many:
        if not total:
            total = dict(buckets)
            continue
        for bucket, count in buckets.items():
            total[bucket] = total.get(bucket, 0) + count
    return total


def quantile(buckets: Buckets, share: float) -> float | None:
    """Return the time which `share` of all don't exceed; None where none was counted."""
    (found,) = quantiles(buckets, (share,))
    return found


def quantiles(buckets: Buckets, shares: Sequence[float]) -> list[float | None]:
    """Return the quantiles for ascending `shares`, as `quantile` does for one."""
    total = sum(buckets.values())
    if not total:
        return [None] * len(shares)
    ranks = [max(1, math.ceil(share * total)) for share in shares]
    found: list[float | None] = []
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append(seconds_of(bucket))
        if len(found) == len(ranks):
            break
    return found
