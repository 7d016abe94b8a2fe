"""How the log holds out against floods, and how much libraries may say."""

from __future__ import annotations

import logging

import pytest
from camunda.client.async_external_task_client import AsyncExternalTaskClient
from camunda.utils.log_utils import log_with_context

from bridge.adapters.logging.journal import BURST, TASK_BURST, WINDOW
from bridge.ports.journal import Level
from bridge.runtime.loop import Loop
from tests.unit.adapters.log_capture import CANARY, LogCapture, failure, task

pytestmark = pytest.mark.usefixtures("logging_as_it_was")


def test_a_flood_is_summed_up_when_its_window_is_over() -> None:
    logs = LogCapture()
    for _ in range(BURST + 7):
        logs.journal.write("loop_failed", level=Level.WARNING, loop="poll", error="x")
    logs.journal.write("loop_failed", level=Level.WARNING, loop="relay", error="x")
    logs.journal.write("loop_failed", level=Level.ERROR, loop="poll", error="x")
    assert logs.events() == ["loop_failed"] * (BURST + 2)
    logs.time += WINDOW
    logs.journal.write("other")
    logs.journal.write("other")
    *_, dropped, _, last = logs.lines
    assert (dropped["event"], dropped["dropped"], dropped["origin"]) == ("events_dropped", "loop_failed", "poll")
    assert (dropped["count"], dropped["of_level"], dropped["level"]) == (7, "warning", "warning")
    assert last["event"] == "other"
    logs.journal.write("loop_failed", level=Level.WARNING, loop="poll")
    assert logs.events()[-1] == "loop_failed"


def test_what_was_dropped_is_told_at_the_end() -> None:
    logs = LogCapture()
    for _ in range(BURST + 3):
        logs.journal.write("publish_failed", level=Level.WARNING, topic="t")
    logs.journal.flush()
    logs.journal.flush()
    assert logs.events().count("events_dropped") == 1
    assert logs.lines[-1]["count"] == 3


def test_another_error_gets_through_a_flood_once() -> None:
    logs = LogCapture()

    def broken(text: str) -> None:
        logs.journal.write("loop_error", level=Level.ERROR, loop="poll", stack=failure(text))

    for number in range(BURST * 3):
        broken(f"task {number} is bad")
    for number in range(5):
        broken(f"another after {number} s")
    assert len(logs.lines) == BURST + 1
    assert "another" in logs.lines[-1]["stack"]
    logs.time += WINDOW
    broken("another")
    assert logs.events()[-2:] == ["events_dropped", "loop_error"]


def test_a_flood_of_ever_new_errors_ends() -> None:
    logs = LogCapture()
    for number in range(1000):
        text = "".join(chr(ord("g") + int(digit)) for digit in str(number))
        logs.journal.write("loop_error", level=Level.ERROR, loop="poll", stack=failure(text))
    assert BURST < len(logs.lines) <= 200


def test_failures_of_tasks_are_limited_later_and_good_news_never() -> None:
    logs = LogCapture()
    for number in range(TASK_BURST + 50):
        logs.journal.write("task_failed", task=task(id=f"t{number}", topic=f"x{number}"), level=Level.WARNING)
        logs.journal.write("done", task=task())
    assert logs.events().count("task_failed") == TASK_BURST
    assert logs.events().count("done") == TASK_BURST + 50


async def test_a_loop_that_stays_broken_does_not_flood() -> None:
    logs = LogCapture()

    async def step() -> None:
        raise ConnectionError(f"mongodb://u:{CANARY}@h")

    loop = Loop("poll", step, logs.journal)
    for _ in range(100):
        await loop.run_once()
    assert len(logs.lines) == BURST
    assert CANARY not in logs.text


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_the_camunda_client_is_not_heard_below_warning(level: str) -> None:
    logs = LogCapture(level)
    AsyncExternalTaskClient("w1", config={"auth_bearer": {"access_token": CANARY}})
    logging.getLogger("camunda.client").info("Setting retries")
    log_with_context(f"config: {{'auth_bearer': {{'access_token': '{CANARY}'}}}}", log_level="warning")
    (line,) = logs.lines
    assert (line["logger"], line["event"]) == ("camunda", "config: {'auth_bearer': ***}")


@pytest.mark.parametrize(
    "name", ["aio_pika", "aiormq.connection", "faststream", "pymongo.command", "litestar", "httpx", "asyncio", "other"]
)
def test_libraries_speak_less(name: str) -> None:
    for level, expected in (("DEBUG", ["info", "warning"]), ("INFO", ["warning"]), ("ERROR", [])):
        logs = LogCapture(level)
        for rank in (logging.DEBUG, logging.INFO, logging.WARNING):
            logging.getLogger(name).log(rank, "connect to mongodb://u:%s@h", CANARY)
        assert [line["level"] for line in logs.lines] == expected
        assert CANARY not in logs.text


def test_requests_are_not_logged_and_the_server_is() -> None:
    logs = LogCapture()
    logging.getLogger("uvicorn.access").error("GET /?token=x")
    logging.getLogger("aiohttp.access").error("GET /?token=x")
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
    assert [(line["logger"], line["event"]) for line in logs.lines] == [("uvicorn.error", "Started server process [7]")]


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
    logs = LogCapture()
    logging.getLogger(name).log(level, "failed", exc_info=error)
    (line,) = logs.lines
    assert CANARY not in logs.text
    assert ("stack" in line) is (expected is None)
    assert line["level"] == (expected or "error")
    assert expected is None or line["error"].startswith(type(error).__name__)


def test_a_library_that_repeats_itself_is_summed_up() -> None:
    logs = LogCapture()
    for number in range(BURST + 5):
        logging.getLogger("aio_pika").warning("attempt %d failed", number)
    logs.time += WINDOW
    logging.getLogger("aio_pika").warning("attempt %d failed", 99)
    *first, dropped, last = logs.lines
    assert len(first) == BURST
    assert (dropped["event"], dropped["dropped"], dropped["count"]) == ("events_dropped", "attempt %d failed", 5)
    assert last["event"] == "attempt 99 failed"
