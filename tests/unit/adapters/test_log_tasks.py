"""What a handler says by the standard library's logging names its task, wherever it says it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from bridge.flow.handle.run import Run
from bridge.flow.handle.threads import Threads
from bridge.runtime.current_task import working_for
from bridge.testing import make_context
from bridge.topic import topic
from tests.unit.adapters.log_capture import LogCapture
from tests.unit.fakes import SECOND, Notes, a_task
from tests.unit.flow_lab import Order

pytestmark = pytest.mark.usefixtures("logging_as_it_was")

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "4111-1111"
LOG = "topics.shop"


async def run(handler: Any) -> None:
    declared = topic("orders", secrets=["card"])(handler)
    task = a_task(trace=f"00-{TRACE}-b7ad6b7169203331-01", attempts=1)
    runner = Run(timeout=10 * SECOND, first_delay=SECOND, most_delay=SECOND, threads=Threads(Notes()))
    async with runner.slot(declared) as slot:
        await runner.run(declared, task, make_context(), slot)
    runner.close()


def say() -> None:
    logging.getLogger(LOG).info("charged card=%s", SECRET)


async def say_async(order: Order) -> None:
    say()
    await asyncio.create_task(say_later())


async def say_later() -> None:
    say()


def say_plain(order: Order) -> None:
    say()


async def say_in_a_thread(order: Order) -> None:
    await asyncio.to_thread(say)


@pytest.mark.parametrize(("handler", "lines"), [(say_async, 2), (say_plain, 1), (say_in_a_thread, 1)])
async def test_a_handlers_record_names_its_task_and_masks_its_topics_secrets(handler: Any, lines: int) -> None:
    logs = LogCapture()
    await run(handler)
    assert len(logs.lines) == lines
    for line in logs.lines:
        assert (line["task_id"], line["topic"], line["attempt"], line["trace_id"]) == ("t1", "orders", 1, TRACE)
        assert (line["event"], line["logger"], line["level"]) == ("charged card=***", LOG, "info")
    assert SECRET not in logs.text
    say()
    assert "task_id" not in logs.lines[-1], "the handler has ended"


def test_an_errors_stack_is_masked_too() -> None:
    logs = LogCapture()
    with working_for(a_task(), frozenset({"card"})):
        try:
            raise ValueError(f"card={SECRET}")
        except ValueError:
            logging.getLogger(LOG).exception("refused")
    (line,) = logs.lines
    assert line["task_id"] == "t1"
    assert line["stack"].endswith("ValueError: card=***")
    assert SECRET not in logs.text


def test_in_a_handler_libraries_say_as_much_as_elsewhere() -> None:
    logs = LogCapture(level="INFO")
    with working_for(a_task(), frozenset()):
        logging.getLogger("httpx").info("HTTP Request: GET …")
        for _ in range(50):
            logging.getLogger("urllib3.pool").warning("retrying")
    assert logs.events() == ["retrying"] * 10
