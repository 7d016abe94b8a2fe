"""Topics and workers by the pages: what stands, what is missing, and the switch that stops fetching."""

from __future__ import annotations

import re
from datetime import timedelta
from html import escape, unescape
from urllib.parse import unquote

import pytest

from bridge.domain.access import Role
from bridge.domain.dead_letter import DeadLetter
from bridge.domain.histogram import bucket_of
from bridge.domain.records import Pause
from bridge.domain.replica import Load, Replica
from bridge.domain.statistics import Count, Rollup, Step
from bridge.domain.task import State
from bridge.operations.health import Component, Health
from tests.web.dashboard.operations_lab import HOSTILE, OperationsLab, bound_to, person, told
from web.components.page_urls import from_segment

TOPICS, TOPIC, WORKERS = "/dashboard/topics", "/dashboard/topics/charge_card", "/dashboard/workers"


@pytest.fixture
def lab() -> OperationsLab:
    return OperationsLab()


async def count_some(lab: OperationsLab, topic: str = "charge_card") -> None:
    at = Step.MINUTE.floor(lab.clock.now())
    counts = {Count.COMPLETED: 90, Count.FAILED: 10}
    row = Rollup(at, topic, counts, {bucket_of(0.5): 10}, {bucket_of(2.0): 10})
    await lab.dashboard_store.add({Step.MINUTE: [row]}, [])


def row_of(html: str, topic: str) -> str:
    found = re.search(rf"<tr[^>]*>(?:(?!</tr>).)*>{topic}</a>.*?</tr>", html, re.S)
    assert found is not None, topic
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", found[0]))


async def test_a_topic_stands_with_its_numbers(lab: OperationsLab) -> None:
    await lab.worker()
    await count_some(lab)
    lab.parts.task(state=State.QUEUED, updated_at=lab.clock.now() - timedelta(minutes=5))
    html = await (await person(lab, Role.VIEWER)).get(TOPICS)
    row = row_of(html, "charge_card")
    assert re.search(r"\d+ (d|h|min|s) ", row)
    for number in ("2 / 16", "1.5", "10%"):
        assert number in row
    assert "–" in row_of(html, "ship")
    assert await (await person(lab, Role.ADMIN)).get(f"{TOPICS}?range=7d")
    html = await (await person(lab)).get(f"{TOPIC}?range=nope")
    assert "replica-a" in html
    assert "90 in this period" in html
    for fact in ("Run timeout", "5 min", "Lock", "1 min", "Attempts"):
        assert fact in html


async def test_a_topic_shows_what_it_fetches(lab: OperationsLab) -> None:
    await lab.worker()
    visitor = await person(lab, Role.VIEWER)
    facts = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", (await visitor.get(TOPIC)).partition('id="terms"')[2]))
    assert "Variables amount_cents Processes all Tenants all Further filters –" in facts
    await count_some(lab, "ship")
    html = (await visitor.get(f"{TOPICS}/ship")).partition('id="terms"')[2]
    facts = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))
    assert "Tenants without a tenant Further filters business_key=A-17 and process_variables={" in facts
    assert "&lt;BR&gt;" in html


async def test_no_consumers_are_told_unless_it_is_paused(lab: OperationsLab) -> None:
    visitor = await person(lab, Role.VIEWER)
    assert "No consumers" in row_of(await visitor.get(TOPICS), "ship")
    await lab.dashboard_store.pause(Pause("ship", "ada", "the court is down", lab.clock.now()))
    row = row_of(await visitor.get(TOPICS), "ship")
    assert "No consumers" not in row
    assert "Paused" in row
    html = await visitor.get("/dashboard/topics/ship")
    assert "the court is down" in html
    assert "Paused by ada" in html
    assert "No consumers" not in html


async def test_while_the_broker_is_away_the_rest_is_shown(lab: OperationsLab) -> None:
    lab.away = True
    visitor = await person(lab)
    html = await visitor.get(TOPICS)
    assert "The broker isn't responding" in html.replace("&#39;", "'")
    assert "Unknown" in row_of(html, "ship")
    await lab.worker()
    assert "Active" in row_of(await visitor.get(TOPICS), "ship")
    assert await visitor.get(TOPIC)


async def test_a_topic_is_paused_and_resumed_with_a_reason_and_the_audit_has_both(lab: OperationsLab) -> None:
    visitor = await person(lab)
    assert "Give a reason" in told(await visitor.post(f"{TOPIC}/pause", {"reason": "  "}))
    assert await lab.dashboard_store.pauses() == []
    html = await visitor.post(f"{TOPIC}/pause", {"reason": "the bank is down"})
    assert "Topic charge_card paused" in told(html)
    assert "the bank is down" in html
    (pause,) = await lab.dashboard_store.pauses()
    assert (pause.topic, pause.by, pause.reason) == ("charge_card", "operator", "the bank is down")
    assert "Topic charge_card resumed" in told(await visitor.post(f"{TOPIC}/resume", {"reason": "it is back"}))
    assert "no longer paused" in told(await visitor.post(f"{TOPIC}/resume", {"reason": ""}))
    assert await lab.dashboard_store.pauses() == []
    assert [(entry.action, entry.target, entry.reason) for entry in lab.dashboard_store.audit] == [
        ("topic.pause", "topic:charge_card", "the bank is down"),
        ("topic.resume", "topic:charge_card", "it is back"),
    ]
    assert (lab.dashboard_store.audit[0].before, lab.dashboard_store.audit[0].after) == (
        {"paused": False},
        {"paused": True},
    )


@pytest.mark.parametrize(
    "topic", ["Ação/de cobrança 1", "a/pause", "50%", "%2F", "~2F", "..", "a\\b", "?x#y", "é" * 255]
)
async def test_any_topic_of_a_model_has_its_page(lab: OperationsLab, topic: str) -> None:
    visitor = await person(lab)
    await count_some(lab, topic)
    html = await visitor.get(TOPICS)
    links = [unescape(link) for link in re.findall(r'href="(/dashboard/topics/[^"]+)"[^>]*data-open', html)]
    (path,) = (link for link in links if from_segment(unquote(link.removeprefix("/dashboard/topics/"))) == topic)
    assert path.count("/") == 3
    html = await visitor.get(path)
    assert "90 in this period" in html
    filtered = re.search(r'href="(/dashboard/tasks\?state=queued&amp;topic=[^"]+)"', html)
    assert filtered is not None
    assert escape(topic) in await visitor.get(unescape(filtered[1]))
    now = lab.clock.now()
    await lab.store.heartbeat(Replica("replica-a", "1", ("work",), now, now, {topic: Load(1, 0, 0.0)}, reporting=0))
    assert "paused" in told(await visitor.post(f"{path}/pause", {"reason": "the bank is down"}))
    assert [pause.topic for pause in await lab.dashboard_store.pauses()] == [topic]
    assert "resumed" in told(await visitor.post(f"{path}/resume", {"reason": ""}))


async def test_a_viewer_pauses_nothing(lab: OperationsLab) -> None:
    visitor = await person(lab, Role.VIEWER)
    assert "Only operators can do this" in await visitor.get(TOPIC)
    await visitor.post(f"{TOPIC}/pause", {"reason": "x"}, 403)
    assert await lab.dashboard_store.pauses() == []


async def test_topics_that_nobody_knows_are_not_found_and_not_paused(lab: OperationsLab) -> None:
    visitor = await person(lab)
    for name in ("nope", "a.b:c-d", "%3Cscript%3E"):
        assert "No such topic" in await visitor.get(f"{TOPICS}/{name}", 404)
        await visitor.post(f"{TOPICS}/{name}/pause", {"reason": "x"}, 404)
    assert await lab.dashboard_store.pauses() == []


async def test_of_other_topics_nothing_is_seen(lab: OperationsLab) -> None:
    await lab.worker()
    await lab.store.keep_dead_letter(DeadLetter("d1", "charge_card", "rejected", "body-of-it", None, lab.clock.now()))
    visitor = await person(lab)
    bound_to(lab, "ship")
    assert "charge_card" not in await visitor.get(TOPICS)
    html = await visitor.get(WORKERS)
    assert "ship" in html
    assert "charge_card" not in html
    assert "body-of-it" not in html
    await visitor.get(TOPIC, 403)
    await visitor.post(f"{TOPIC}/pause", {"reason": "x"}, 403)


async def test_workers_stand_with_what_they_do_and_stale_ones_are_marked(lab: OperationsLab) -> None:
    await lab.worker("lives", lag=0.25)
    await lab.worker("silent", seconds=60)
    html = await (await person(lab, Role.VIEWER)).get(WORKERS)
    rows = [html[html.index(name) : html.index("</tr>", html.index(name))] for name in ("lives", "silent")]
    assert ("Stale" in rows[0], "Stale" in rows[1]) == (False, True)
    for part in ("1.2.3", "intake and work", "250 ms", "4 ", "/ 32", ">3<"):
        assert part in rows[0]
    by_topic = html[html.index('id="by-topic"') :]
    assert "lives" in by_topic
    assert "silent" not in by_topic


@pytest.mark.parametrize(
    ("circuit", "said"), [("closed", "calls go through"), ("open", "no calls until"), ("half_open", "one trial call")]
)
async def test_what_the_gateway_rests_on_is_told(lab: OperationsLab, circuit: str, said: str) -> None:
    lab.circuit = circuit
    parts = (Component("engine", True, "7.24.0"), Component("rabbitmq", False, None, "no answer within 3 s"))
    lab.parts.health = Health(False, parts)
    html = await (await person(lab, Role.VIEWER)).get(WORKERS)
    for part in ("7.24.0", "no answer within 3 s", said, "Up", "Down"):
        assert part in html
    assert "No live replicas" in html


async def test_dead_letters_are_told_and_lead_to_their_task(lab: OperationsLab) -> None:
    await lab.store.keep_dead_letter(DeadLetter("d1", "ship", "delivery_limit", HOSTILE, "t77", lab.clock.now()))
    html = await (await person(lab, Role.VIEWER)).get(WORKERS)
    assert "delivery_limit" in html
    assert '/dashboard/tasks/t77"' in html
    assert "<script>alert" not in html


async def test_reasons_and_names_never_become_code(lab: OperationsLab) -> None:
    await lab.dashboard_store.pause(Pause("ship", HOSTILE, HOSTILE, lab.clock.now()))
    await count_some(lab, HOSTILE)
    visitor = await person(lab)
    for path in (TOPICS, "/dashboard/topics/ship"):
        html = await visitor.get(path)
        assert "<script>alert" not in html
        assert "onerror=alert(1)>" not in html
