"""The alerts and the dashboard: they hold, they name what the code exports, and each alert says what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from bridge.adapters.telemetry.gauges import Gauges, StatusSnapshot
from bridge.adapters.telemetry.metrics import Metrics
from bridge.domain.replica import Load
from bridge.domain.task import State

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
GROUPS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
NAME = re.compile(r"\b((?:gateway|process)_[a-z_]+)\b(?=\s*(?:\{|\[|\)|$|[=<>,+*/-]| ))")
LABELS = re.compile(r"\{([^}]*)\}")


@pytest.fixture(scope="session")
def promtool() -> str | None:
    """Return Prometheus's own checker, from Debian's package where that can be had."""
    found = shutil.which("promtool")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "prometheus"], check=False)
        found = shutil.which("promtool")
    return found


def snapshot() -> StatusSnapshot:
    """Return how a process stands that knows everything."""
    return StatusSnapshot(
        version="1",
        roles="web,intake,work",
        ready=True,
        parts={"engine": True, "mongodb": True, "rabbitmq": True},
        is_another_engine=False,
        circuit="closed",
        error_rate=0.0,
        reporting=1,
        backlogged=False,
        loops={"poll": 0},
        loads={"a": Load(4, 1, 0.1)},
        attached={"a": True},
        credit={"a": (8, 3)},
        queued={"a": 2},
        consumers={"a": 1},
        states={State.QUEUED: 2},
        incidents={"a": 0},
        paused={"a": 1.0},
        oldest_waiting=1.5,
        open_tasks={"a": 3},
        oldest_open={"a": 60.0},
        poll_wait=2.0,
    )


def exported() -> set[str]:
    """Return the name of every series that a process exports."""
    metrics = Metrics()
    metrics.registry.register(Gauges(snapshot))
    names = {"process_resident_memory_bytes", "process_start_time_seconds", "process_cpu_seconds_total"}
    for family in metrics.registry.collect():
        match family.type:
            case "counter":
                names.add(f"{family.name}_total")
            case "histogram":
                names |= {f"{family.name}_{end}" for end in ("bucket", "sum", "count")}
            case _:
                names.add(family.name)
    return names


def queries() -> dict[str, str]:
    """Return every query of the dashboard and the alerts, by where it stands."""
    found = {f"alert {name}": rule["expr"] for name, rule in ALERTS.items()}
    found |= {f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]}
    found |= {f"annotation {item['name']}": item["expr"] for item in DASHBOARD["annotations"]["list"]}
    return found | {
        f"variable {item['name']}": item["query"]["query"]
        for item in DASHBOARD["templating"]["list"]
        if item["type"] == "query"
    }


@pytest.mark.parametrize("place", queries())
def test_every_metric_that_is_asked_for_is_exported(place: str) -> None:
    query = queries()[place]
    named = set(NAME.findall(LABELS.sub("{}", query)))
    assert named or query.startswith(("ALERTS", "up"))
    assert named <= exported(), sorted(named - exported())


def test_no_moments_of_creation_are_exported() -> None:
    metrics = Metrics()
    metrics.expect(["a"])
    metrics.waits.labels("a").observe(1)
    samples = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    assert "gateway_task_wait_seconds_bucket" in samples
    assert [name for name in samples if name.endswith("_created")] == []


def test_what_alerts_ask_an_increase_of_begins_at_zero() -> None:
    """Of a counter that begins at one Prometheus sees no increase."""
    metrics = Metrics()
    metrics.expect(["a"])
    events = re.search(r'event=~"([^"]+)"', ALERTS["GatewayTasksRefused"]["expr"])
    assert events is not None
    for event in events[1].split("|"):
        for topic in ("a", ""):
            assert metrics.registry.get_sample_value("gateway_events_total", {"event": event, "topic": topic}) == 0


def test_the_names_are_found_in_queries() -> None:
    query = 'sum by (topic) (rate(gateway_a_total{gateway_b="c"}[5m])) / gateway_d > 0'
    assert set(NAME.findall(LABELS.sub("{}", query))) == {"gateway_a_total", "gateway_d"}


def test_the_alerts_fire_when_they_should(promtool: str | None) -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for name in ALERTS:
        fires = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == name]
        assert sorted(fires) == [False, True], name
    if promtool is None:
        # Nothing to run them by: at least what they expect is what the rules say.
        assert all(case["alertname"] in ALERTS for case in cases)
        return
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([promtool, *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"page", "warn", "info"}
    assert rule["annotations"]["summary"]
    base = "{{ $externalLabels.runbook_base }}"
    assert rule["annotations"]["runbook_url"] == f"{base}docs/runbook.md#{name.lower()}"
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    paragraph = re.search(rf"^### {name}\n\n(.+?)(?=\n### |\n## |\Z)", runbook, re.MULTILINE | re.DOTALL)
    assert paragraph is not None, f"docs/runbook.md says nothing of {name}"
    assert len(paragraph[1].split()) >= 30


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert all(panel["targets"] and panel["title"] for panel in PANELS)


def test_provisioning_names_what_is_there() -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "gateway.yml").read_text(encoding="utf-8"))["datasources"]
    by_uid = {source["uid"]: source for source in sources}
    (destination,) = by_uid["gateway-prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert by_uid[destination["datasourceUid"]]["type"] == "jaeger"
    assert yaml.safe_load((folder / "dashboards" / "gateway.yml").read_text(encoding="utf-8"))["providers"]


def test_the_manual_names_what_is_exported() -> None:
    manual = (ROOT / "docs" / "reference" / "telemetry.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(gateway_[a-z_]+)`", manual))
    bases = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in exported()}
    assert named <= bases, sorted(named - bases)
    ours = {name for name in bases if name.startswith("gateway_")}
    assert ours <= named, sorted(ours - named)
