"""The bench's own sums: ratios within a round, targets, and stacks read back."""

from __future__ import annotations

import pytest

from bench.drain import Drain
from bench.latency import Latency, quantile
from bench.profile import Frame, Profile, read_stacks
from bench.results import Results, judged


def run(rate: float, cpu: float = 0.5) -> Drain:
    return Drain(tasks=int(rate), seconds=1.0, cpu={"client": cpu}, memory=[100_000_000])


def test_a_ratio_is_taken_within_its_round() -> None:
    rounds = [
        {"ceiling": run(1000), "gateway": run(700)},
        {"ceiling": run(100), "gateway": run(60)},  # somebody else had the machine, for both
        {"ceiling": run(500), "gateway": run(250)},
    ]
    results = Results({}, rounds=rounds)
    assert results.ratio("gateway") == pytest.approx(0.6)
    assert results.ratio("java") is None


def test_traces_are_judged_against_the_gateway_without_them() -> None:
    rounds = [
        {"gateway": run(100), "gateway-traced": run(91), "gateway-traced-1pct": run(96)},
        {"gateway": run(200), "gateway-traced": run(182), "gateway-traced-1pct": run(192)},
    ]
    found = {name: met for name, _, met in judged(Results({}, rounds)) if "traces" in name}
    assert list(found.values()) == [True, False]


def test_targets_are_judged_by_what_was_measured() -> None:
    results = Results({}, rounds=[{"ceiling": run(100), "gateway": run(59, cpu=1.1)}])
    results.idle = {"ceiling": Latency(10, 10.0, 10.0), "gateway": Latency(10, 20.0, 41.0)}
    results.first = {"gateway": [1.0, 2.5, 1.5]}
    assert [met for _, _, met in judged(results)] == [False, False, True, True, False, True]


@pytest.mark.parametrize(("part", "value"), [(0.0, 1.0), (0.5, 3.0), (0.95, 5.0), (1.0, 5.0)])
def test_quantiles_are_values_that_were_there(part: float, value: float) -> None:
    assert quantile([5.0, 3.0, 1.0, 2.0, 4.0], part) == value


def test_stacks_are_charged_to_what_ran_and_to_who_of_ours_called_it() -> None:
    site = "/somewhere/lib/python3.11/site-packages"
    stacks = read_stacks(
        [
            f"run (/somewhere/lib/python3.11/asyncio/runners.py);put (bridge/runtime/batch.py);"
            f"send ({site}/pymongo/pool.py) 3",
            "run (/somewhere/lib/python3.11/asyncio/runners.py) 1",
            "not a stack",
        ]
    )
    found = Profile(stacks, tasks=10, cpu_ms=2.0)
    assert found.samples == 4
    assert found.own() == {Frame("pymongo/pool", "send"): 3, Frame("asyncio/runners", "run"): 1}
    assert found.charged() == {Frame("bridge/runtime/batch", "put"): 3, Frame("asyncio/runners", "run"): 1}
    assert found.packages() == {"pymongo": 3, "asyncio": 1}
    assert found.within()[Frame("asyncio/runners", "run")] == 4
    assert found.cost(found.within()[Frame("bridge/runtime/batch", "put")]) == pytest.approx(1.5)
