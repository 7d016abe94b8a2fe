"""A document that this version can't read is a row, a tab and a page; its secrets stay masked."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest

from bridge.domain.task import State, UnreadableTask
from tests.web.auth.access_lab import with_token
from tests.web.dashboard.dashboard_lab import DashboardLab
from web.dashboard.unreadable import stored_fields

VARIABLES = [
    {"name": "card_code", "type": "String", "value": "s3cret-1"},
    {"name": "password", "type": "String", "value": "s3cret-2"},
    {"name": "order", "type": "Json", "json_value": '{"api_key": "s3cret-3", "n": 1}'},
    {"type": "String", "value": "s3cret-4"},
]


@pytest.fixture
def spoilt(lab: DashboardLab) -> str:
    task = lab.task("a", state=State.FAILED, topic="charge_card")
    lab.task("b", state=State.FAILED, topic="charge_card")
    lab.store.spoiled[task.id] = {"state": "paused", "variables": VARIABLES, "token": "s3cret-5"}
    lab.store.aside.add(task.id)
    return task.id


async def page_of(client: Any, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return unescape(answer.text)


async def test_the_list_has_it_in_its_place_and_in_a_tab(client: Any, spoilt: str) -> None:
    page = await page_of(client, "/dashboard/tasks")
    assert f'id="task-{spoilt}"' in page
    assert 'data-state="unreadable"' in page
    assert "'paused' is not a valid State" in page
    tab = await page_of(client, "/dashboard/tasks?state=unreadable")
    assert f'id="task-{spoilt}"' in tab
    assert 'id="task-b"' not in tab


async def test_without_any_there_is_no_tab(client: Any, lab: DashboardLab) -> None:
    lab.task("a", state=State.FAILED)
    assert "state=unreadable" not in await page_of(client, "/dashboard/tasks")


async def test_its_page_says_why_and_what_to_do_and_masks_secrets(client: Any, spoilt: str) -> None:
    page = await page_of(client, f"/dashboard/tasks/{spoilt}")
    assert "can't be read" not in page.split("<main")[0]
    for text in ("This version of the gateway can't read", "upgrade it again", "'paused' is not a valid State"):
        assert text in page
    assert "card_code" in page
    assert "s3cret" not in page


async def test_the_overview_tells_of_it(client: Any, spoilt: str) -> None:
    page = await page_of(client, "/dashboard")
    assert "task that this version can't read" in page
    assert "/dashboard/tasks?state=unreadable" in page


async def test_an_export_has_a_row_of_it(client: Any, lab: DashboardLab, spoilt: str, secret: str) -> None:
    form = with_token(secret, format="ndjson", query="")
    answer = await client.post("/dashboard/tasks/export", data=form)
    assert answer.status_code == 200
    rows = answer.text.splitlines()
    assert len(rows) == 2
    assert any('"unreadable"' in row and spoilt in row for row in rows)


def test_what_is_stored_in_an_unknown_form_is_masked_by_its_names() -> None:
    document = {"_id": "t", "inputs": {"password": {"value": "s3cret"}, "n": 1}, "tokens": [5], "note": "apiKey=s3cret"}
    fields = dict(stored_fields(UnreadableTask("t", "", {}, document).document, ()))
    assert "s3cret" not in str(fields)
    assert "tokens" not in fields
    assert '"n": 1' in fields["inputs"]
