"""One task: told in plain words, with its runs, and with what the engine says of it now."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.domain import secret_text
from bridge.domain.dead_letter import DeadLetter
from bridge.domain.errors import EngineUnavailable
from bridge.domain.messages import message
from bridge.domain.task import Completion, State, TypedValue
from tests.web.dashboard.dashboard_lab import DashboardLab, page_of
from web.dashboard.task_variables import MOST_SHOWN
from web.i18n.messages import translate
from web.i18n.texts import PORTUGUESE

HOSTILE = '<script>alert("x")</script>'
AWAY = EngineUnavailable("the engine is away")


async def test_what_the_gateway_says_of_a_task_is_told_in_the_readers_language(client: Any, lab: DashboardLab) -> None:
    task = lab.task(state=State.SUPERSEDED, error=message("lock.held", worker="courier"), finished_at=lab.clock.now())
    assert "worker courier holds the task now" in await page_of(client, task)
    client.headers["accept-language"] = "pt-BR"
    told = translate(PORTUGUESE, message("lock.held", worker="courier"))
    for path in ("/dashboard/tasks/t1", "/dashboard/tasks"):
        text = (await client.get(path)).text
        assert told in text
        assert "holds the task now" not in text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.RECEIVED, "waiting to be sent to the broker"),
        (State.QUEUED, "This topic has no consumers"),
        (State.RUNNING, "Its handler has been running since"),
        (State.REPORTING, "its outcome is on its way to the engine"),
        (State.COMPLETED, "It was completed at"),
        (State.RETRYING, "3 retries left"),
        (State.FAILED, "an incident is open in the engine"),
        (State.CANCELLED, "the engine no longer had it"),
        (State.SUPERSEDED, "Another worker has held it in the engine"),
        (State.UNKNOWN, "tell whether this outcome ended it"),
    ],
)
async def test_each_state_is_told_in_plain_words(client: Any, lab: DashboardLab, state: State, words: str) -> None:
    now = lab.clock.now()
    task = lab.task(state=state, claimed_at=now, finished_at=now, attempts=1, replica="replica-a")
    text = await page_of(client, task)
    assert words in text
    assert f'data-state="{state}" aria-current="step"' in text


async def test_why_it_failed_where_and_what_to_do(client: Any, lab: DashboardLab) -> None:
    task = await lab.failed()
    text = await page_of(client, task)
    words = text.partition('id="task-summary"')[2].partition('id="acts"')[0]
    assert "It failed after 2 runs" in words
    assert "ConnectTimeout: the bank did not answer within 30 s" in words
    assert "replica-a" in words
    assert "Fix the cause, then retry it here" in words
    assert "/dashboard/tasks?q=fp%3A0123456789abcdef" in words


async def test_every_run_is_shown_and_one_is_open(client: Any, lab: DashboardLab) -> None:
    task = await lab.failed(trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    runs = (await page_of(client, task)).partition('id="attempts"')[2].partition('id="variables"')[0]
    assert runs.index('id="attempt-2"') < runs.index('id="attempt-1"')
    assert runs.count("https://jaeger.example/trace/4bf92f3577b34da6a3ce929d0e0e4736") == 2
    end = "bank.charge(order.amount_cents)\nhttpx.ConnectTimeout: the bank did not answer within 30 s</pre>"
    assert runs.count(end) == 2
    assert runs.count('<details class="stack" open>') == 1
    assert runs.index('<details class="stack" open>') < runs.index('id="attempt-1"')
    earlier = (await page_of(client, task, "?attempt=1")).partition('id="attempt-1"')[2]
    assert '<details class="stack" open>' in earlier


async def test_the_type_of_an_error_is_named_once(client: Any, lab: DashboardLab) -> None:
    run = lab.attempt(1, lab.clock.now(), message="ConnectTimeout: no answer")
    runs = (await page_of(client, await lab.failed(history=(run,)))).partition('id="attempts"')[2]
    assert "<code x-ignore>ConnectTimeout: no answer</code>" in runs


async def test_the_instance_is_in_cockpit(client: Any, lab: DashboardLab) -> None:
    text = await page_of(client, lab.task(process_instance_id="i/1"))
    assert "https://cockpit.example/default/#/process-instance/i%2F1" in text


async def test_hostile_text_is_text_wherever_it_stands(client: Any, lab: DashboardLab) -> None:
    run = lab.attempt(1, lab.clock.now(), error=HOSTILE, message=HOSTILE, details=HOSTILE, replica=HOSTILE)
    values = {HOSTILE: TypedValue(HOSTILE, HOSTILE), "json": TypedValue("Json", json.dumps({HOSTILE: HOSTILE}))}
    named = dict.fromkeys(
        ("topic", "business_key", "process_instance_id", "process_definition_key", "activity_id", "tenant_id",
         "worker_id", "replica", "error", "error_type", "operation"), HOSTILE,
    )  # fmt: skip
    task = await lab.failed(
        "t1",
        variables=values,
        given=values,
        outcome=Completion(values),
        state=State.COMPLETED,
        history=(run,),
        trace=HOSTILE,
        **named,
    )
    await lab.store.keep_dead_letter(DeadLetter("l1", "x", HOSTILE, HOSTILE, "t1", lab.clock.now()))
    for path in ("", "?engine=now", f"?attempt={HOSTILE}", "/edit"):
        text = await page_of(client, task, path)
        assert "<script>alert" not in text, path
        assert "&lt;script&gt;alert" in text
    lab.store.tasks["t1"] = done = task.changed(state=State.COMPLETED)
    assert done.result
    assert "<script>alert" not in await page_of(client, done)


async def test_a_task_that_is_not_kept_is_a_page_that_says_so(client: Any) -> None:
    response = await client.get("/dashboard/tasks/none")
    assert response.status_code == 404
    assert "no task none is kept here" in response.text


async def test_the_engine_is_asked_only_when_somebody_wants_it(client: Any, lab: DashboardLab) -> None:
    task = await lab.failed()
    lab.engine.fail_next("get", AWAY)
    assert "Queried only on demand" in await page_of(client, task)
    text = await page_of(client, task, "?engine=now")
    assert "The engine isn't responding" in text
    assert "the engine is away" in text
    text = await page_of(client, task, "?engine=now")
    assert "Locked by" in text
    lab.engine.cancel(task.id)
    assert "Gone from the engine" in await page_of(client, task, "?engine=now")


async def test_a_huge_value_is_cut_before_it_is_masked(
    client: Any, lab: DashboardLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    masked = secret_text.mask_text

    def watched(text: str, also: Any = ()) -> str:
        looked.append(len(text))
        return masked(text, also)

    monkeypatch.setattr(secret_text, "mask_text", watched)
    huge = {"huge": TypedValue("String", "eyJ" * 3_200_000), "token": TypedValue("String", "s" * 50_000)}
    text = await page_of(client, lab.task(variables=huge, error="eyJ" * 1_000_000))
    assert len(text) < 200_000
    assert "sss" not in text
    assert 0 < max(looked) <= MOST_SHOWN + secret_text.REACH
