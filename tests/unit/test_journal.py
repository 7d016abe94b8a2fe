"""What the log tells, what it keeps to itself, and how it holds out against floods."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
from camunda.client.async_external_task_client import AsyncExternalTaskClient
from camunda.utils.log_utils import log_with_context
from pydantic import BaseModel, SecretStr

from bridge.adapters.journal import BURST, TASK_BURST, WINDOW, StructlogJournal, configure_logging, task_log, wants_json
from bridge.adapters.log_lines import LONGEST_STACK, LONGEST_TEXT, MOST_ITEMS
from bridge.adapters.log_records import RecordHandler
from bridge.loop import Loop
from bridge.ports import EngineTask, Journal, Level
from bridge.settings import Settings
from bridge.task import Completion, State, Task, TypedValue

CANARY = "c4nary-S3cret"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Logging belongs to the process: put back what `configure_logging` changes in it."""
    root = logging.getLogger()
    level, shown = root.level, warnings.showwarning
    names = {name: logger for name, logger in root.manager.loggerDict.items() if isinstance(logger, logging.Logger)}
    before = {name: (logger.level, logger.propagate, list(logger.handlers)) for name, logger in names.items()}
    yield
    for handler in list(root.handlers):
        if isinstance(handler, RecordHandler):
            root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)
    warnings.showwarning = shown
    for name, logger in list(root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            least, logger.propagate, logger.handlers[:] = before.get(name, (logging.NOTSET, True, []))
            logger.setLevel(least)
    structlog.reset_defaults()


@dataclass
class Desk:
    """A journal at work, its time in the test's hand, and what it wrote."""

    level: str = "DEBUG"
    as_json: bool = True
    time: float = 0.0
    stream: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        # the test runner's own handlers: one of them raises for a record that can't be formatted
        logging.getLogger().handlers.clear()
        configure_logging(level=self.level, json=self.as_json, stream=self.stream, monotonic=lambda: self.time)
        self.journal = StructlogJournal(monotonic=lambda: self.time)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


def task(**fields: Any) -> Task:
    whole: dict[str, Any] = {
        "id": "t1",
        "topic": "charge_card",
        "worker_id": "w1",
        "lease_until": NOW,
        "created_at": NOW,
        "updated_at": NOW,
        "retries": 3,
        "variables": {"card": TypedValue("String", CANARY), "order": TypedValue("Json", {"x": CANARY})},
        "state": State.RUNNING,
        "epoch": 2,
        "attempts": 4,
        "business_key": "order-7",
        "process_instance_id": "p1",
        "outcome": Completion({"receipt": TypedValue("String", CANARY)}),
        "trace": f"00-{TRACE}-b7ad6b7169203331-01",
    }
    return Task(**{**whole, **fields})


def failure(text: str) -> Exception:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


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
    desk = Desk()
    journal: Journal = desk.journal
    journal.write("outcome_settled", task=task(), level=Level.DEBUG, how="delivered", kept=True)
    (line,) = desk.lines
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
    desk = Desk()
    desk.journal.write("x", task=task(trace=trace, business_key=None, process_instance_id=None))
    assert not {"trace_id", "business_key", "process_instance_id"} & desk.lines[0].keys()


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_only_what_matters_enough_is_written(level: str) -> None:
    desk = Desk(level)
    log = task_log(desk.journal, task())
    for each in Level:
        desk.journal.write("told", level=each)
        getattr(log, each.value)("told")
        logging.getLogger("bridge.rabbit").log(getattr(logging, each.name), "told")
    names = [each.name for each in Level]
    expected = [each.lower() for each in names[names.index(level) :] for _ in range(3)]
    assert [line["level"] for line in desk.lines] == expected


def test_an_exception_is_one_line_with_its_stack() -> None:
    desk = Desk()
    error = failure(f"amqp://u:{CANARY}@h is away")
    desk.journal.write("loop_broken", level=Level.ERROR, loop="poll", error=repr(error), stack=error)
    structlog.get_logger("web.problems").error("request failed", exc_info=error)
    try:
        raise error
    except ValueError:
        structlog.get_logger("web.problems").exception("request failed")
        logging.getLogger("web").exception("request %s", "failed")
    assert len(desk.lines) == 4
    for line in desk.lines:
        assert line["stack"].startswith("Traceback")
        assert line["stack"].endswith("ValueError: amqp://u:***@h is away")
        assert "exc_info" not in line
    assert [line["logger"] for line in desk.lines] == ["bridge", "web.problems", "web.problems", "web"]


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
    desk = Desk(as_json=as_json)
    desk.journal.write("x", task=task(), value=value)
    task_log(desk.journal, task()).info("x", value=value)
    assert CANARY not in desk.text
    if as_json:
        assert [line["value"] for line in desk.lines] == [expected] * 2


def test_long_values_are_cut_after_they_were_masked() -> None:
    desk = Desk()
    text = "x" * (LONGEST_TEXT - 10) + f" amqp://user:{CANARY}@host " + "y" * 100
    desk.journal.write("x", text=text, items=list(range(MOST_ITEMS + 5)), pairs=dict.fromkeys(range(500)))
    desk.journal.write("x", level=Level.ERROR, stack=failure("z" * 100_000))
    first, second = desk.lines
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
    desk = Desk()
    circle: list[Any] = []
    circle.append(circle)
    desk.journal.write("x", value=Unshowable())
    desk.journal.write("x", level=Level.ERROR, stack="not an exception", circle=circle, name="\udcff", event_="y")
    desk.journal.write("x", timestamp=1, logger="y")
    logging.getLogger("web").warning("%d of %d", 1)  # noqa: PLE1206 - a library's mistake
    assert len(desk.lines) == 4
    assert desk.lines[0]["error"].startswith("RuntimeError")
    assert CANARY not in desk.text
    assert desk.lines[1]["name"] == "\udcff"
    assert desk.lines[2]["timestamp_"] == 1
    configure_logging(level="INFO", json=True, stream=FullDisk())
    StructlogJournal().write("x")
    logging.getLogger("web").error("x")


def test_a_terminal_gets_no_control_characters() -> None:
    desk = Desk(as_json=False)
    desk.journal.write("a\n\x1b[2Jforged", task=task(business_key="\x1b[31m"), level=Level.ERROR, stack=failure("\x1b"))
    desk.journal.write("next")
    assert "\x1b" not in desk.text
    lines = desk.text.splitlines()
    assert "forged" in lines[0]
    assert "charge_card" in lines[0]
    assert "ValueError: \\x1b" in lines
    assert "next" in lines[-1]


def test_a_handlers_lines_name_its_task_and_mask_its_topics_secrets() -> None:
    desk = Desk()
    log = task_log(desk.journal, task(), secrets={"card_number"})
    log.info("charged", amount=5, cardNumber=CANARY, deep=[{"card_number": CANARY}], topic="x", password=CANARY)
    log.error("failed", stack=failure("y"))
    first, second = desk.lines
    assert (first["logger"], first["task_id"], first["topic"], first["topic_"]) == ("topics", "t1", "charge_card", "x")
    assert (first["amount"], first["cardNumber"], first["deep"]) == (5, "***", [{"card_number": "***"}])
    assert second["stack"].endswith("ValueError: y")
    assert CANARY not in desk.text


def test_a_flood_is_summed_up_when_its_window_is_over() -> None:
    desk = Desk()
    for _ in range(BURST + 7):
        desk.journal.write("loop_failed", level=Level.WARNING, loop="poll", error="x")
    desk.journal.write("loop_failed", level=Level.WARNING, loop="relay", error="x")
    desk.journal.write("loop_failed", level=Level.ERROR, loop="poll", error="x")
    assert desk.events() == ["loop_failed"] * (BURST + 2)
    desk.time += WINDOW
    desk.journal.write("other")
    desk.journal.write("other")
    *_, dropped, _, last = desk.lines
    assert (dropped["event"], dropped["dropped"], dropped["origin"]) == ("events_dropped", "loop_failed", "poll")
    assert (dropped["count"], dropped["of_level"], dropped["level"]) == (7, "warning", "warning")
    assert last["event"] == "other"
    desk.journal.write("loop_failed", level=Level.WARNING, loop="poll")
    assert desk.events()[-1] == "loop_failed"


def test_what_was_dropped_is_told_at_the_end() -> None:
    desk = Desk()
    for _ in range(BURST + 3):
        desk.journal.write("publish_failed", level=Level.WARNING, topic="t")
    desk.journal.flush()
    desk.journal.flush()
    assert desk.events().count("events_dropped") == 1
    assert desk.lines[-1]["count"] == 3


def test_another_error_gets_through_a_flood_once() -> None:
    desk = Desk()

    def broken(text: str) -> None:
        desk.journal.write("loop_broken", level=Level.ERROR, loop="poll", stack=failure(text))

    for number in range(BURST * 3):
        broken(f"task {number} is bad")
    for number in range(5):
        broken(f"another after {number} s")
    assert len(desk.lines) == BURST + 1
    assert "another" in desk.lines[-1]["stack"]
    desk.time += WINDOW
    broken("another")
    assert desk.events()[-2:] == ["events_dropped", "loop_broken"]


def test_a_flood_of_ever_new_errors_ends() -> None:
    desk = Desk()
    for number in range(1000):
        text = "".join(chr(ord("g") + int(digit)) for digit in str(number))
        desk.journal.write("loop_broken", level=Level.ERROR, loop="poll", stack=failure(text))
    assert BURST < len(desk.lines) <= 200


def test_failures_of_tasks_are_limited_later_and_good_news_never() -> None:
    desk = Desk()
    for number in range(TASK_BURST + 50):
        desk.journal.write("task_failed", task=task(id=f"t{number}", topic=f"x{number}"), level=Level.WARNING)
        desk.journal.write("done", task=task())
    assert desk.events().count("task_failed") == TASK_BURST
    assert desk.events().count("done") == TASK_BURST + 50


async def test_a_loop_that_stays_broken_does_not_flood() -> None:
    desk = Desk()

    async def step() -> None:
        raise ConnectionError(f"mongodb://u:{CANARY}@h")

    loop = Loop("poll", step, desk.journal)
    for _ in range(100):
        await loop.run_once()
    assert len(desk.lines) == BURST
    assert CANARY not in desk.text


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_the_camunda_client_is_not_heard_below_warning(level: str) -> None:
    desk = Desk(level)
    AsyncExternalTaskClient("w1", config={"auth_bearer": {"access_token": CANARY}})
    logging.getLogger("camunda.client").info("Setting retries")
    log_with_context(f"config: {{'auth_bearer': {{'access_token': '{CANARY}'}}}}", log_level="warning")
    (line,) = desk.lines
    assert (line["logger"], line["event"]) == ("camunda", "config: {'auth_bearer': ***}")


@pytest.mark.parametrize(
    "name", ["aio_pika", "aiormq.connection", "faststream", "pymongo.command", "litestar", "httpx", "asyncio", "other"]
)
def test_libraries_speak_less(name: str) -> None:
    for level, expected in (("DEBUG", ["info", "warning"]), ("INFO", ["warning"]), ("ERROR", [])):
        desk = Desk(level)
        for rank in (logging.DEBUG, logging.INFO, logging.WARNING):
            logging.getLogger(name).log(rank, "connect to mongodb://u:%s@h", CANARY)
        assert [line["level"] for line in desk.lines] == expected
        assert CANARY not in desk.text


def test_requests_are_not_logged_and_the_server_is() -> None:
    desk = Desk()
    logging.getLogger("uvicorn.access").error("GET /?token=x")
    logging.getLogger("aiohttp.access").error("GET /?token=x")
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
    assert [(line["logger"], line["event"]) for line in desk.lines] == [("uvicorn.error", "Started server process [7]")]


@pytest.mark.parametrize(
    ("name", "level", "error", "expected"),
    [
        ("aio_pika.robust_connection", logging.WARNING, ValueError(f"amqp://u:{CANARY}@h"), "warning"),
        ("aiormq.connection", logging.ERROR, ConnectionResetError(f"amqp://u:{CANARY}@h"), "warning"),
        ("faststream", logging.ERROR, TimeoutError(), "warning"),
        ("aiormq.channel", logging.ERROR, ValueError("a callback's"), None),
        ("asyncio", logging.ERROR, ConnectionResetError("another's"), None),
    ],
)
def test_a_lost_connection_to_the_broker_is_told_without_a_stack(
    name: str, level: int, error: Exception, expected: str | None
) -> None:
    desk = Desk()
    logging.getLogger(name).log(level, "failed", exc_info=error)
    (line,) = desk.lines
    assert CANARY not in desk.text
    assert ("stack" in line) is (expected is None)
    assert line["level"] == (expected or "error")
    assert expected is None or line["error"].startswith(type(error).__name__)


def test_a_library_that_repeats_itself_is_summed_up() -> None:
    desk = Desk()
    for number in range(BURST + 5):
        logging.getLogger("aio_pika").warning("attempt %d failed", number)
    desk.time += WINDOW
    logging.getLogger("aio_pika").warning("attempt %d failed", 99)
    *first, dropped, last = desk.lines
    assert len(first) == BURST
    assert (dropped["event"], dropped["dropped"], dropped["count"]) == ("events_dropped", "attempt %d failed", 5)
    assert last["event"] == "attempt 99 failed"


def test_setting_up_again_replaces_what_was_set_up() -> None:
    first, second = Desk(), Desk()
    logging.getLogger("bridge.rabbit").warning("x")
    second.journal.write("y")
    assert first.text == ""
    assert second.events() == ["x", "y"]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_is_nowhere_in_the_log(as_json: bool) -> None:
    desk = Desk(as_json=as_json)
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
        desk.journal.write,
        task_log(desk.journal, task()).info,
        lambda event, **values: structlog.get_logger("web").info(event, **values),
        lambda event, **values: logging.getLogger("bridge.rabbit").info("%s %s", event, values),
        lambda event, **values: logging.getLogger("pymongo").error(event, exc_info=values.get("stack")),
    ]
    for way in ways:
        way("started", settings=settings, addresses=addresses, url=settings.camunda_url, camunda_token=CANARY)
        way(f"can't reach {addresses[0]}", headers={"Authorization": f"Bearer {CANARY}", "Cookie": CANARY})
        way("refused", stack=refused, error=str(refused))
        way("failed", stack=failure(f"no answer from {addresses[1]}, password={CANARY}"), task_=task())
    desk.journal.write("x", task=task(), level=Level.ERROR, tasks=[task()], variables=task().variables)
    desk.journal.flush()
    assert desk.text.count("***") > 20
    assert CANARY not in desk.text
