"""The collector's tail sampling: it holds together, keeps faults, and asks for what spans really have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from bridge.adapters.telemetry.attributes import describe
from tests.unit.adapters.test_tracing import Bench

CONFIG = Path(__file__).parents[2] / "deploy" / "collector" / "tail-sampling.yml"
COLLECTOR: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
SAMPLING: dict[str, Any] = COLLECTOR["processors"]["tail_sampling"]
POLICIES: dict[str, dict[str, Any]] = {policy["type"]: policy for policy in SAMPLING["policies"]}


def seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)s", text)
    assert found is not None, text
    return int(found[1])


def test_the_pipeline_names_what_is_there() -> None:
    (pipeline,) = COLLECTOR["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(COLLECTOR[kind]), kind
    # The limiter refuses before anything is kept; batches are made of what is left.
    assert pipeline["processors"] == ["memory_limiter", "tail_sampling", "batch"]


def test_faults_are_kept_and_a_late_one_too() -> None:
    assert POLICIES["status_code"]["status_code"] == {"status_codes": ["ERROR"]}
    assert "non_sampled_cache_size" not in SAMPLING["decision_cache"]
    assert SAMPLING["decision_cache"]["sampled_cache_size"] > SAMPLING["num_traces"]


def test_a_policy_has_its_own_settings_and_can_be_met() -> None:
    assert all(policy["type"] in policy for policy in SAMPLING["policies"])
    assert POLICIES["latency"]["latency"]["threshold_ms"] < seconds(SAMPLING["decision_wait"]) * 1_000
    assert 0 < POLICIES["probabilistic"]["probabilistic"]["sampling_percentage"] < 100


def test_the_attributes_that_are_asked_for_are_on_a_tasks_span() -> None:
    assert POLICIES["string_attribute"]["string_attribute"]["key"] in describe(Bench().task())
