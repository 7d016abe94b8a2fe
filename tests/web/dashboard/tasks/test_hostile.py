"""Addresses and values that nobody writes by accident: each is refused, or shown; none is an error of the gateway."""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import Any
from urllib.parse import quote

import pytest

from bridge.domain.task import TypedValue
from bridge.search.grammar import parse
from bridge.search.page import Sort, _digest
from tests.web.auth.access_lab import with_token
from tests.web.dashboard.dashboard_lab import DashboardLab

EDGES = (
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59.999999+00:00",
)
ZONES = ("Pacific/Kiritimati", "America/Sao_Paulo", "UTC")


def packed(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("moment", EDGES)
async def test_the_list_takes_moments_at_the_edge_of_the_calendar(
    client: Any, lab: DashboardLab, zone: str, moment: str
) -> None:
    lab.task("t1")
    client.cookies["zone"] = zone
    for query in (f"since={quote(moment)}", f"until={quote(moment)}", f"q=created:>{quote(moment)}"):
        answer = await client.get(f"/dashboard/tasks?{query}")
        assert answer.status_code in {200, 400}, answer.text[:500]


@pytest.mark.parametrize("moment", EDGES)
async def test_a_tampered_cursor_leads_to_the_first_page(client: Any, lab: DashboardLab, moment: str) -> None:
    """Its digest is no signature: anybody can make one that fits."""
    lab.task("t1")
    digest = _digest(parse(""), Sort.read("-updated"))
    for parts in ((moment, "t1", digest), (moment, "\ud800", digest), (True, "t1", digest), (10**400, "t1", digest)):
        answer = await client.get(f"/dashboard/tasks?after={packed(*parts)}")
        assert answer.status_code == 200, answer.text[:500]


async def test_a_wait_beyond_the_calendar_is_a_fault_of_the_query(client: Any, lab: DashboardLab) -> None:
    lab.task("t1")
    for span in ("9999999d", "36501d"):
        answer = await client.get(f"/dashboard/tasks?q=waiting:>{span}")
        assert answer.status_code == 400
        assert "36500d" in answer.text


async def test_half_of_a_surrogate_pair_is_shown_as_the_json_that_names_it(client: Any, lab: DashboardLab) -> None:
    values = {"a": TypedValue("Json", r'"\ud800"'), "b": TypedValue("Json", r'{"\udfff": ["\ud83d\ude00"]}')}
    await lab.failed("bad", variables=values)
    answer = await client.get("/dashboard/tasks/bad")
    assert answer.status_code == 200
    assert r"\ud800" in answer.text


async def test_a_long_query_gets_a_short_answer(client: Any, lab: DashboardLab) -> None:
    lab.task("t1")
    usual = len((await client.get("/dashboard/tasks?q=t1")).content)
    answer = await client.get(f"/dashboard/tasks?q={'x' * 60_000}")
    assert answer.status_code == 400
    assert len(answer.content) < usual + 10_000


async def test_an_id_has_no_line_end(client: Any) -> None:
    assert (await client.get("/dashboard/tasks/t1%0A")).status_code in {400, 404}


@pytest.mark.parametrize(("language", "separator"), [("pt-BR", ";"), ("en", ",")])
async def test_a_file_for_excel_has_the_separator_of_the_readers_language(
    client: Any, lab: DashboardLab, secret: str, language: str, separator: str
) -> None:
    await lab.failed("bad", business_key="ação; a, b", error="é")
    form = with_token(secret, format="excel", query="")
    answer = await client.post("/dashboard/tasks/export", data=form, headers={"Accept-Language": language})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith('.csv"')
    assert answer.content.startswith(b"\xef\xbb\xbf")
    head, row = csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")), delimiter=separator)
    assert head[:3] == ["id", "state", "topic"]
    assert (len(row), row[3]) == (len(head), "ação; a, b")
