"""Work on many tasks by the pages: shown exactly, started once, told truly; all of it without a script."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bridge.domain.access import Role
from bridge.domain.operation import Operation, Result
from bridge.domain.task import State
from bridge.ports.dashboard import TooSlow
from tests.web.auth.access_lab import with_token
from tests.web.dashboard.dashboard_lab import LOCK
from tests.web.dashboard.operations_lab import HOSTILE, OperationsLab, Person, bound_to, form_of, person, told

PREVIEW = "/dashboard/operations/preview"
FAILED = f"{PREVIEW}?q=state%3Afailed"
START = "/dashboard/operations"


@pytest.fixture
def lab() -> OperationsLab:
    return OperationsLab()


def tile(html: str, label: str) -> str:
    found = re.search(rf'tile-label">{label}</span>\s*<span class="tile-value">(.*?)</span>', html)
    assert found is not None, label
    return found[1]


async def started(lab: OperationsLab, visitor: Person, **changes: str) -> str:
    fields = {**form_of(await visitor.get(FAILED), START), "reason": "mended", **changes}
    return await visitor.post(START, fields)


async def only(lab: OperationsLab) -> Operation:
    (operation,) = await lab.dashboard_store.operations(10)
    return operation


# the preview


async def test_the_preview_is_exact_and_changes_nothing(lab: OperationsLab) -> None:
    await lab.fail_many(12)
    lab.parts.task("done", state=State.COMPLETED)
    lab.parts.task("runs", state=State.RUNNING, topic="ship")
    before = dict(lab.store.tasks)
    html = await (await person(lab)).get(f"{PREVIEW}?q=attempts%3A%3E%3D0")
    assert (tile(html, "To be retried"), tile(html, "Excluded"), tile(html, "Found")) == ("12", "2", "14")
    assert "excluded: it is completed" in html
    assert "excluded: its handler runs now" in html
    assert html.count("ConnectTimeout") >= 11
    assert html.count('data-label="Topic"') == 10
    assert "Type 12" not in html
    assert lab.store.tasks == before
    assert lab.dashboard_store.audit == []


async def test_chosen_ids_go_into_the_address(lab: OperationsLab) -> None:
    ids = await lab.fail_many(3)
    visitor = await person(lab)
    visitor.client.follow_redirects = False
    answer = await visitor.client.post(PREVIEW, data={**with_token(visitor.secret), "ids": ids[:2], "id": "gone"})
    assert answer.status_code == 303
    html = await visitor.get(answer.headers["location"])
    assert (tile(html, "To be retried"), tile(html, "Not found")) == ("2", "1")
    assert form_of(html, START)["ids"] == [ids[0], ids[1], "gone"]


async def test_more_ids_than_an_address_takes_are_shown_at_once(lab: OperationsLab) -> None:
    ids = await lab.fail_many(1)
    html = await (await person(lab)).post(PREVIEW, {"ids": [*ids, *(f"x{number}" for number in range(100))]})
    assert (tile(html, "To be retried"), tile(html, "Not found")) == ("1", "100")


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 200, "No tasks selected"),
        ("?q=", 200, "No tasks selected"),
        ("?q=state:failed", 200, "No matching tasks"),
        ("?ids=nope", 200, "No matching tasks"),
        ("?q=foo:bar", 422, "There is no field &#39;foo&#39;"),
    ],
)
async def test_a_preview_of_nothing_says_so(lab: OperationsLab, query: str, status: int, said: str) -> None:
    html = await (await person(lab)).get(f"{PREVIEW}{query}", status)
    assert said in html
    assert 'name="expected"' not in html


async def test_a_search_that_takes_too_long_is_to_be_narrowed(lab: OperationsLab) -> None:
    lab.dashboard_store.too_slow = TooSlow(5 * LOCK)
    assert "taking too long" in await (await person(lab)).get(FAILED)


async def test_without_any_that_failed_there_is_nothing_to_confirm(lab: OperationsLab) -> None:
    lab.parts.task(state=State.COMPLETED)
    html = await (await person(lab)).get(f"{PREVIEW}?q=state:completed")
    assert "only failed ones can" in html
    assert 'name="expected"' not in html


# the start


async def test_an_operation_is_started_and_worked_off_without_a_script(lab: OperationsLab) -> None:
    ids = await lab.fail_many(3)
    visitor = await person(lab)
    html = await started(lab, visitor, rate="7")
    assert told(html) == "Operation started."
    operation = await only(lab)
    assert (operation.reason, operation.by, operation.rate, operation.totals.pending) == ("mended", "operator", 7, 3)
    (entry,) = lab.dashboard_store.audit
    assert (entry.action, entry.target, entry.reason) == ("operation.start", f"operation:{operation.id}", "mended")
    assert (entry.who, entry.role, entry.after["tasks"]) == ("operator", "operator", 3)
    lab.store.tasks[ids[0]] = lab.store.tasks[ids[0]].changed(state=State.COMPLETED)
    await lab.bulk.run_once()
    html = await visitor.get(f"{START}/{operation.id}")
    sums = [int(text) for text in re.findall(r'<dd id="\w+">(\d+)</dd>', html)]
    assert sums == [3, 2, 1, 0, 0]
    assert sums[0] == sum(sums[1:])
    assert html.count("Requeued, awaiting outcome") == 2
    assert "it was failed and is completed now" in html
    visitor.client.headers["accept-language"] = "pt-BR"
    assert "estava como “falhou” e agora está como “concluída”" in await visitor.get(f"{START}/{operation.id}")
    skipped = await visitor.get(f"{START}/{operation.id}?result=skipped")
    assert ids[0] in skipped
    assert ids[1] not in skipped


async def test_true_outcomes_are_told(lab: OperationsLab) -> None:
    ids = await lab.fail_many(2)
    visitor = await person(lab)
    await started(lab, visitor)
    await lab.bulk.run_once()
    for task_id, state in zip(ids, (State.COMPLETED, State.FAILED), strict=True):
        lab.store.tasks[task_id] = lab.store.tasks[task_id].changed(state=state)
    lab.access.clock.pass_(seconds=10)
    await lab.bulk.run_once()
    html = await visitor.get(f"{START}/{(await only(lab)).id}")
    assert "1 completed" in html
    assert "1 failed again" in html
    assert "Failed again" in html
    assert "Requeued, waiting" not in html


async def test_the_tasks_that_it_had_tried_again_are_found_by_its_id(lab: OperationsLab) -> None:
    ids = await lab.fail_many(2)
    visitor = await person(lab)
    await started(lab, visitor)
    later = await lab.fail_many(1)
    operation = await only(lab)
    link = f'href="/dashboard/tasks?q=operation%3A{operation.id}"'
    assert link not in await visitor.get(f"{START}/{operation.id}")
    await lab.bulk.run_once()
    assert link in await visitor.get(f"{START}/{operation.id}")
    found = await visitor.get(f"/dashboard/tasks?q=operation:{operation.id}")
    assert [task_id in found for task_id in (*ids, *later)] == [True, True, False]


async def test_a_form_sent_twice_starts_one(lab: OperationsLab) -> None:
    await lab.fail_many(2)
    visitor = await person(lab)
    fields = {**form_of(await visitor.get(FAILED), START), "reason": "mended"}
    await visitor.post(START, fields)
    await lab.bulk.run_once()
    html = await visitor.post(START, fields)
    assert told(html) == "This was already started: here it is."
    assert (await only(lab)).totals.total == 2
    assert len(lab.dashboard_store.audit) == 1


async def test_above_a_hundred_the_count_is_typed(lab: OperationsLab) -> None:
    await lab.fail_many(101)
    visitor = await person(lab)
    fields = {**form_of(await visitor.get(FAILED), START), "reason": "mended"}
    for typed in ("", "100", "many"):
        html = await visitor.post(START, {**fields, "typed": typed}, 422)
        assert "This is not the number of tasks" in html
        assert form_of(html, START)["reason"] == "mended"
    assert await lab.dashboard_store.operations(10) == []
    await visitor.post(START, {**fields, "typed": "101"})
    assert (await only(lab)).totals.total == 101


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reason": "  "}, "Give a reason"),
        ({"reason": "x" * 501}, "Too long"),
        ({"rate": "0"}, "Use a number between 1 and 500."),
        ({"rate": "501"}, "Use a number between 1 and 500."),
        ({"rate": "fast"}, "Use a number between 1 and 500."),
    ],
)
async def test_what_is_wrong_is_said_at_its_field(lab: OperationsLab, changes: dict[str, str], said: str) -> None:
    await lab.fail_many(1)
    visitor = await person(lab)
    fields = {**form_of(await visitor.get(FAILED), START), "reason": "mended", **changes}
    html = await visitor.post(START, fields, 422)
    assert said in html
    assert form_of(html, START)["token"] == fields["token"]
    assert await lab.dashboard_store.operations(10) == []


async def test_other_numbers_than_those_seen_start_nothing(lab: OperationsLab) -> None:
    await lab.fail_many(2)
    visitor = await person(lab)
    fields = {**form_of(await visitor.get(FAILED), START), "reason": "mended"}
    await lab.fail_many(1)
    html = await visitor.post(START, fields, 422)
    assert "The tasks have changed since you looked" in html
    assert tile(html, "To be retried") == "3"
    assert form_of(html, START)["reason"] == "mended"
    await visitor.post(START, {**form_of(html, START), "reason": "mended"})
    assert (await only(lab)).totals.total == 3


@pytest.mark.parametrize("token", ["", "short", "../../etc/passwd", "0" * 25 + "!"])
async def test_a_token_is_one_of_ours(lab: OperationsLab, token: str) -> None:
    await lab.fail_many(1)
    visitor = await person(lab)
    fields = {**form_of(await visitor.get(FAILED), START), "reason": "mended", "token": token}
    await visitor.post(START, fields, 422)
    assert await lab.dashboard_store.operations(10) == []


@pytest.mark.parametrize("name", ["$where", "q[$ne]", "extra"])
async def test_a_field_that_is_not_known_is_refused(lab: OperationsLab, name: str) -> None:
    await (await person(lab)).post(PREVIEW, {"q": "state:failed", name: "1"}, 400)


# steering


async def test_an_operation_is_paused_resumed_and_cancelled(lab: OperationsLab) -> None:
    await lab.fail_many(2)
    visitor = await person(lab)
    await started(lab, visitor)
    path = f"{START}/{(await only(lab)).id}"
    for act, state, said in (
        ("pause", "paused", "Operation paused"),
        ("pause", "paused", "no longer running"),
        ("resume", "running", "Operation resumed"),
        ("resume", "running", "no longer paused"),
        ("cancel", "cancelled", "Operation cancelled"),
        ("cancel", "cancelled", "had already ended"),
    ):
        assert said in told(await visitor.post(f"{path}/{act}", {"reason": "so"}))
        assert (await only(lab)).state == state
    actions = [entry.action for entry in lab.dashboard_store.audit]
    assert actions == ["operation.start", "operation.pause", "operation.resume", "operation.cancel"]
    assert lab.dashboard_store.audit[-1].before == {"state": "running"}
    await lab.bulk.run_once()
    assert (await only(lab)).totals.pending == 2


async def test_what_there_is_not_is_not_found(lab: OperationsLab) -> None:
    visitor = await person(lab)
    assert "No such operation" in await visitor.get(f"{START}/nope", 404)
    for act in ("pause", "resume", "cancel"):
        await visitor.post(f"{START}/nope/{act}", {}, 404)


async def test_a_viewer_sees_and_changes_nothing(lab: OperationsLab) -> None:
    await lab.fail_many(1)
    await started(lab, await person(lab))
    path = f"{START}/{(await only(lab)).id}"
    viewer = await person(lab, Role.VIEWER)
    assert "/pause" not in await viewer.get(path)
    assert (await only(lab)).id in await viewer.get(START)
    await viewer.get(FAILED, 403)
    await viewer.post(f"{path}/pause", {}, 403)


async def test_of_other_topics_nothing_is_seen_or_touched(lab: OperationsLab) -> None:
    await lab.fail_many(2)
    ship = await lab.parts.failed(topic="ship")
    await started(lab, await person(lab, Role.ADMIN))
    visitor = await person(lab)
    bound_to(lab, "ship")
    assert "mended" not in await visitor.get(START)
    await visitor.get(f"{START}/{(await only(lab)).id}", 404)
    html = await visitor.get(f"{PREVIEW}?q=attempts%3A%3E%3D0")
    assert (tile(html, "Found"), "charge_card" in html) == ("1", False)
    html = await visitor.get(f"{PREVIEW}?" + "&".join(f"ids={task_id}" for task_id in lab.store.tasks))
    assert tile(html, "Found") == "1"
    html = await visitor.post(START, {**form_of(html, START), "reason": "mine"})
    mine = (await lab.dashboard_store.operations(1))[0]
    assert [item.task_id for _, item in await lab.dashboard_store.items(mine.id, None, 10)] == [ship.id]
    assert told(html)


async def test_lists_are_paged_by_key(lab: OperationsLab) -> None:
    await lab.fail_many(120)
    visitor = await person(lab)
    await started(lab, visitor, typed="120")
    operation = await only(lab)
    seen: list[str] = []
    path = f"{START}/{operation.id}"
    while path:
        html = await visitor.get(path)
        seen += re.findall(r'id="item-(\d+)"', html)
        found = re.search(r'href="([^"]*)" rel="next"', html)
        path = found[1].replace("&amp;", "&") if found else ""
    assert [int(place) for place in seen] == list(range(120))
    base = replace(operation, state=operation.state)
    for number in range(60):
        at = base.created_at + number * LOCK
        await lab.dashboard_store.create(replace(base, id=f"o{number}", created_at=at), [])
    first = await visitor.get(START)
    link = re.search(r'href="([^"]*)" rel="next"', first)
    assert link is not None
    second = await visitor.get(link[1].replace("&amp;", "&"))
    rows = [re.findall(r'id="operation-(\w+)"', html) for html in (first, second)]
    assert [len(some) for some in rows] == [50, 11]
    assert not set(rows[0]) & set(rows[1])


@pytest.mark.parametrize("after", ["%00", "x" * 300, "9999999999", "-1", "eyJ9"])
async def test_no_cursor_breaks_a_page(lab: OperationsLab, after: str) -> None:
    await lab.fail_many(1)
    visitor = await person(lab)
    await started(lab, visitor)
    for path in (START, f"{START}/{(await only(lab)).id}"):
        answer = await visitor.client.get(f"{path}?after={after}&result=nope")
        assert answer.status_code in {200, 400}


async def test_nothing_that_others_wrote_becomes_code(lab: OperationsLab) -> None:
    ids = await lab.fail_many(1)
    lab.store.tasks[ids[0]] = lab.store.tasks[ids[0]].changed(error_type=HOSTILE, topic="charge_card")
    visitor = await person(lab)
    pages = [await visitor.get(FAILED), await started(lab, visitor, reason=HOSTILE)]
    operation = await only(lab)
    chunk = await lab.dashboard_store.next_chunk(operation.id)
    assert chunk is not None
    await lab.dashboard_store.record(chunk, {0: (Result.SKIPPED, HOSTILE)}, lab.clock.now())
    pages += [await visitor.get(START), await visitor.get(f"{START}/{operation.id}")]
    pages += [await visitor.get(f"{PREVIEW}?q=foo:%3Cscript%3Ealert", 422)]
    for html in pages:
        assert "<script>alert" not in html
        assert "onerror=alert(1)>" not in html
        assert "{{ 7" not in re.sub(r'x-ignore>[^<]*<|title="[^"]*"|value="[^"]*"|<title>[^<]*<', "", html)
