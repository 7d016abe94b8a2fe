"""What the log tells, what it keeps to itself, and how it holds out against floods."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
from pydantic import BaseModel, SecretStr

from bridge.adapters.logging.journal import StructlogJournal, configure_logging, task_log, wants_json
from bridge.adapters.logging.lines import LONGEST_STACK, LONGEST_TEXT, MOST_ITEMS
from bridge.domain.task import Completion, State
from bridge.ports.engine import EngineTask
from bridge.ports.journal import Journal, Level
from gateway.settings import Settings
from tests.unit.adapters.log_capture import CANARY, NOW, TRACE, LogCapture, failure, task

pytestmark = pytest.mark.usefixtures("logging_as_it_was")


@pytest.mark.parametrize(
    ("setting", "isatty", "expected"),
    [
        ("auto", True, False),
        ("auto", False, True),
        ("json", True, True),
        ("json", False, True),
        ("console", True, False),
        ("console", False, False),
    ],
)
def test_a_terminal_gets_text_unless_json_is_asked_for(setting: str, isatty: bool, expected: bool) -> None:
    assert wants_json(setting, isatty) is expected


def test_a_line_about_a_task_names_it() -> None:
    logs = LogCapture()
    journal: Journal = logs.journal
    journal.write("outcome_settled", task=task(), level=Level.DEBUG, how="delivered", kept=True)
    (line,) = logs.lines
    moment = line.pop("timestamp")
    assert moment.endswith("Z")
    assert abs(datetime.fromisoformat(moment) - datetime.now(UTC)) < timedelta(minutes=1)
    assert line == {
        "level": "debug",
        "logger": "bridge",
        "event": "outcome_settled",
        "task_id": "t1",
        "topic": "charge_card",
        "business_key": "order-7",
        "process_instance_id": "p1",
        "epoch": 2,
        "attempt": 4,
        "state": "running",
        "trace_id": TRACE,
        "how": "delivered",
        "kept": True,
    }


@pytest.mark.parametrize("trace", [None, "", "junk", "00-short-b7ad6b7169203331-01"])
def test_what_a_task_has_not_is_left_out(trace: str | None) -> None:
    logs = LogCapture()
    logs.journal.write("x", task=task(trace=trace, business_key=None, process_instance_id=None))
    assert not {"trace_id", "business_key", "process_instance_id"} & logs.lines[0].keys()


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_only_what_matters_enough_is_written(level: str) -> None:
    logs = LogCapture(level)
    log = task_log(logs.journal, task())
    for each in Level:
        logs.journal.write("told", level=each)
        getattr(log, each.value)("told")
        logging.getLogger("bridge.rabbit").log(getattr(logging, each.name), "told")
    names = [each.name for each in Level]
    expected = [each.lower() for each in names[names.index(level) :] for _ in range(3)]
    assert [line["level"] for line in logs.lines] == expected


def test_an_exception_is_one_line_with_its_stack() -> None:
    logs = LogCapture()
    error = failure(f"amqp://u:{CANARY}@h is away")
    logs.journal.write("loop_error", level=Level.ERROR, loop="poll", error=repr(error), stack=error)
    structlog.get_logger("web.api.problems").error("request failed", exc_info=error)
    try:
        raise error
    except ValueError:
        structlog.get_logger("web.api.problems").exception("request failed")
        logging.getLogger("web").exception("request %s", "failed")
    assert len(logs.lines) == 4
    for line in logs.lines:
        assert line["stack"].startswith("Traceback")
        assert line["stack"].endswith("ValueError: amqp://u:***@h is away")
        assert "exc_info" not in line
    assert [line["logger"] for line in logs.lines] == ["bridge", "web.api.problems", "web.api.problems", "web"]


class Order(BaseModel):
    card: str


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (task(), "t1"),
        (EngineTask("t2", "x", None, None, None, variables=task().variables), "t2"),
        (task().variables, {"card": "<String>", "order": "<Json>"}),
        ([task().variables["card"]], ["<String>"]),
        (Completion(task().variables), "<Completion>"),
        (Order(card=CANARY), "<Order>"),
        (SecretStr(CANARY), "<SecretStr>"),
        (CANARY.encode(), "<13 bytes>"),
        (State.RUNNING, "running"),
        (NOW, "2026-01-02T03:04:05+00:00"),
        (timedelta(milliseconds=1500), 1.5),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (2**70, str(2**70)),
        (0.5, 0.5),
        (None, None),
        (ValueError("x"), "ValueError: x"),
        ({1: {"a"}}, {"1": ["a"]}),
        (f"https://u:{CANARY}@h/", "https://u:***@h/"),
        ({"a": {"api_key": CANARY}}, {"a": {"api_key": "***"}}),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_what_a_line_shows_of_a_value(value: object, expected: object, as_json: bool) -> None:
    logs = LogCapture(as_json=as_json)
    logs.journal.write("x", task=task(), value=value)
    task_log(logs.journal, task()).info("x", value=value)
    assert CANARY not in logs.text
    if as_json:
        assert [line["value"] for line in logs.lines] == [expected] * 2


def test_long_values_are_cut_after_they_were_masked() -> None:
    logs = LogCapture()
    text = "x" * (LONGEST_TEXT - 10) + f" amqp://user:{CANARY}@host " + "y" * 100
    logs.journal.write("x", text=text, items=list(range(MOST_ITEMS + 5)), pairs=dict.fromkeys(range(500)))
    logs.journal.write("x", level=Level.ERROR, stack=failure("z" * 100_000))
    first, second = logs.lines
    assert CANARY[:2] not in first["text"]
    assert len(first["text"]) < LONGEST_TEXT + 50
    assert first["items"][-1] == "… 5 more"
    assert len(first["pairs"]) == MOST_ITEMS + 1
    assert len(second["stack"]) < LONGEST_STACK + 100


class Unshowable(Exception):
    def __str__(self) -> str:
        raise RuntimeError(CANARY)


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("no space left on device")


def test_the_log_never_stops_the_work() -> None:
    logs = LogCapture()
    circle: list[Any] = []
    circle.append(circle)
    logs.journal.write("x", value=Unshowable())
    logs.journal.write("x", level=Level.ERROR, stack="not an exception", circle=circle, name="\udcff", event_="y")
    logs.journal.write("x", timestamp=1, logger="y")
    logging.getLogger("web").warning("%d of %d", 1)  # noqa: PLE1206 - a library's mistake
    assert len(logs.lines) == 4
    assert logs.lines[0]["error"].startswith("RuntimeError")
    assert CANARY not in logs.text
    assert logs.lines[1]["name"] == "\udcff"
    assert logs.lines[2]["timestamp_"] == 1
    configure_logging(level="INFO", json=True, stream=FullDisk())
    StructlogJournal().write("x")
    logging.getLogger("web").error("x")


def test_a_terminal_gets_no_control_characters() -> None:
    logs = LogCapture(as_json=False)
    logs.journal.write("a\n\x1b[2Jforged", task=task(business_key="\x1b[31m"), level=Level.ERROR, stack=failure("\x1b"))
    logs.journal.write("next")
    assert "\x1b" not in logs.text
    lines = logs.text.splitlines()
    assert "forged" in lines[0]
    assert "charge_card" in lines[0]
    assert "ValueError: \\x1b" in lines
    assert "next" in lines[-1]


def test_a_handlers_lines_name_its_task_and_mask_its_topics_secrets() -> None:
    logs = LogCapture()
    log = task_log(logs.journal, task(), secrets={"card_number"})
    log.info("charged", amount=5, cardNumber=CANARY, deep=[{"card_number": CANARY}], topic="x", password=CANARY)
    log.error("failed", stack=failure("y"))
    first, second = logs.lines
    assert (first["logger"], first["task_id"], first["topic"], first["topic_"]) == ("topics", "t1", "charge_card", "x")
    assert (first["amount"], first["cardNumber"], first["deep"]) == (5, "***", [{"card_number": "***"}])
    assert second["stack"].endswith("ValueError: y")
    assert CANARY not in logs.text


def test_setting_up_again_replaces_what_was_set_up() -> None:
    first, second = LogCapture(), LogCapture()
    logging.getLogger("bridge.rabbit").warning("x")
    second.journal.write("y")
    assert first.text == ""
    assert second.events() == ["x", "y"]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_is_nowhere_in_the_log(as_json: bool) -> None:
    logs = LogCapture(as_json=as_json)
    settings = Settings(
        mongodb_uri=SecretStr(f"mongodb://u:{CANARY}@h/"),
        rabbitmq_url=SecretStr(f"amqp://u:{CANARY}@h/"),
        camunda_url=f"http://u:{CANARY}@h/engine-rest",
        camunda_password=SecretStr(CANARY),
        camunda_token=SecretStr(CANARY),
    )
    addresses = (settings.mongodb_uri.get_secret_value(), settings.rabbitmq_url.get_secret_value())
    try:
        Order.model_validate({"card": {"number": CANARY}})
    except ValueError as invalid:
        refused = invalid
    ways: list[Callable[..., None]] = [
        logs.journal.write,
        task_log(logs.journal, task()).info,
        lambda event, **values: structlog.get_logger("web").info(event, **values),
        lambda event, **values: logging.getLogger("bridge.rabbit").info("%s %s", event, values),
        lambda event, **values: logging.getLogger("pymongo").error(event, exc_info=values.get("stack")),
    ]
    for way in ways:
        way("started", settings=settings, addresses=addresses, url=settings.camunda_url, camunda_token=CANARY)
        way(f"can't reach {addresses[0]}", headers={"Authorization": f"Bearer {CANARY}", "Cookie": CANARY})
        way("refused", stack=refused, error=str(refused))
        way("failed", stack=failure(f"no answer from {addresses[1]}, password={CANARY}"), task_=task())
    logs.journal.write("x", task=task(), level=Level.ERROR, tasks=[task()], variables=task().variables)
    logs.journal.flush()
    assert logs.text.count("***") > 20
    assert CANARY not in logs.text
