"""Dead letters are shown to whoever may read."""

from __future__ import annotations

from typing import Any

from bridge.domain.dead_letter import DeadLetter
from tests.web.conftest import BORN, Client, Stub


async def test_dead_letters_are_listed_up_to_the_limit(stub: Stub, client: Client) -> None:
    stub.letters = [DeadLetter(str(n), "orders", "the body is not JSON", "\ufffd", None, BORN) for n in range(3)]
    answer = await client.get("/dead-letters", params={"limit": 2})
    assert answer.status_code == 200
    assert [one["id"] for one in answer.json()["dead_letters"]] == ["0", "1"]
    assert answer.json()["dead_letters"][0]["found_at"] == "2026-01-31T08:00:00.123000Z"


async def test_a_limit_out_of_bounds_is_told(client: Client, check_problem: Any) -> None:
    check_problem(await client.get("/dead-letters", params={"limit": 0}), 400, "invalid-request")
