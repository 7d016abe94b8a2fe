"""An event that was renamed is found by its former name for one version: in the log, and among the counted events."""

from __future__ import annotations

import pytest

from bridge.adapters.telemetry.gauges import Gauges, StatusSnapshot
from bridge.adapters.telemetry.metrics import CountingJournal, Metrics
from bridge.ports.journal import FORMER_NAMES
from tests.unit.adapters.log_capture import LogCapture
from tests.unit.fakes import Notes

pytestmark = pytest.mark.usefixtures("logging_as_it_was")


@pytest.mark.parametrize(("event", "former"), FORMER_NAMES.items())
def test_a_line_has_the_events_former_name(event: str, former: str) -> None:
    logs = LogCapture()
    logs.journal.write(event)
    assert [(line["event"], line["formerly"]) for line in logs.lines] == [(event, former)]


def test_an_event_that_was_not_renamed_has_none() -> None:
    logs = LogCapture()
    logs.journal.write("started")
    assert "formerly" not in logs.lines[0]


def test_a_renamed_event_is_counted_by_both_names() -> None:
    metrics = Metrics()
    metrics.expect(["orders"])
    CountingJournal(Notes(), metrics).write("duplicate_message", topic="orders")
    for name in ("duplicate_message", "message_matches_nothing"):
        labels = {"event": name, "topic": "orders"}
        assert metrics.registry.get_sample_value("gateway_events_total", labels) == 1


def test_a_renamed_loop_is_measured_by_both_labels() -> None:
    metrics = Metrics()
    loops = {"statistics": 3, "poll": 1}
    snapshot = StatusSnapshot("1", "web", True, {}, False, "closed", 0.0, 0, False, loops=loops)
    metrics.registry.register(Gauges(lambda: snapshot))
    found = {
        name: metrics.registry.get_sample_value("gateway_loop_failures", {"loop": name})
        for name in ("statistics", "tally", "poll", "beat")
    }
    assert found == {"statistics": 3, "tally": 3, "poll": 1, "beat": None}
