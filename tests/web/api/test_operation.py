"""Health, metrics and the documentation."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import Counter

from bridge.operations.health import Component, Health, Purpose, Readiness

PARTS = (Component("engine", True, "7.24.0"), Component("mongodb", False, None, "no answer within 2 s"))


async def test_health_when_all_is_well(client: Any) -> None:
    response = await client.get("/health")
    assert response.status_code == 200
    assert response.json() == {
        "status": "healthy",
        "version": "1.2.3",
        "components": {"engine": {"status": "healthy", "version": "7.24.0", "error": None, "warnings": []}},
    }


async def test_health_when_a_part_is_down(client: Any, stub: Any) -> None:
    stub.found = Health(False, PARTS)
    response = await client.get("/health")
    assert response.status_code == 503
    assert response.json()["status"] == "unhealthy"
    assert response.json()["components"]["mongodb"] == {
        "status": "unhealthy",
        "version": None,
        "error": "no answer within 2 s",
        "warnings": [],
    }


async def test_health_when_a_part_answers_and_something_is_wrong_with_it(client: Any, stub: Any) -> None:
    warning = "complete: the engine's address answers 401 (a login)"
    stub.found = Health(True, (Component("engine", True, "7.24.0", warnings=(warning,)),))
    response = await client.get("/health")
    assert response.status_code == 200
    assert response.json()["components"]["engine"]["warnings"] == [warning]


async def test_live_asks_nobody(client: Any, stub: Any) -> None:
    stub.found = Health(False, PARTS)
    response = await client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_ready(client: Any, stub: Any) -> None:
    response = await client.get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "reasons": []})
    stub.readiness = Readiness(("work: no subscriber for charge_card",))
    response = await client.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "not ready", "reasons": ["work: no subscriber for charge_card"]}


async def test_ready_for_a_purpose(client: Any, stub: Any) -> None:
    await client.get("/health/ready")
    for purpose in Purpose:
        assert (await client.get("/health/ready", params={"for": purpose.value})).status_code == 200
    assert stub.asked_for == [None, *Purpose]
    refused = await client.get("/health/ready", params={"for": "play"})
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in refused.json()["errors"]] == ["for"]
    assert len(stub.asked_for) == 4


async def test_metrics_in_both_formats(client: Any, stub: Any) -> None:
    Counter("gateway_tasks", "Tasks.", registry=stub.registry).inc(3)
    response = await client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "gateway_tasks_total 3.0" in response.text
    response = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


async def test_docs_ask_nothing_of_the_internet(client: Any) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    links = re.findall(r"""(?:src|href)=["']([^"']*)""", page.text)
    assert len(links) >= 4
    for link in links:
        assert link.startswith("/"), link
        assert not link.startswith("//"), link
        assert (await client.get(link)).status_code == 200, link
    assert "default-src 'none'" in page.headers["content-security-policy"]
    start = (await client.get("/docs/start.js")).text
    assert "http:" not in start
    assert "https:" not in start
    assert "validatorUrl: null" in start


async def test_docs_files_have_their_types(client: Any) -> None:
    style = await client.get("/docs/assets/swagger-ui.css")
    script = await client.get("/docs/assets/swagger-ui-bundle.js")
    assert style.headers["content-type"].startswith("text/css")
    assert script.headers["content-type"].startswith("text/javascript")


async def test_every_documented_route_answers_bad_input_with_a_problem(client: Any, check_problem: Any) -> None:
    document = (await client.get("/schema/openapi.json")).json()
    assert document["info"]["version"] == "1.2.3"
    assert len(document["paths"]) == 20
    for path, operations in document["paths"].items():
        real = path.replace("{task_id}", "t1").replace("{operation_id}", "o1")
        check_problem(await client.delete(real), 405, "wrong-method")
        for method, operation in operations.items():
            options: dict[str, Any] = {"json": {}} if "requestBody" in operation else {}
            answer = await client.request(method, f"{real}?$where=1", **options)
            assert "$where" in check_problem(answer, 400, "invalid-request")["errors"][0]["field"]
            for status, response in operation["responses"].items():
                if int(status) >= 400 and not path.startswith("/health"):
                    assert list(response["content"]) == ["application/problem+json"], (path, status)
            assert operation["summary"]
            assert operation["description"]


async def test_the_document_describes_the_body(client: Any) -> None:
    document = (await client.get("/schema/openapi.json")).json()
    schema = document["components"]["schemas"]["SubmitRequest"]
    assert schema["properties"]["variables"]["type"] == "object"
    assert set(schema["required"]) == {"task_id", "worker_id", "topic"}
    assert schema["additionalProperties"] is False
    assert schema["properties"]["task_id"]["pattern"].endswith("$")


async def test_the_document_tells_of_an_engine_that_refuses(client: Any) -> None:
    document = (await client.get("/schema/openapi.json")).json()
    for path in ("/tasks/submit", "/tasks/{task_id}/retry"):
        assert "The engine refused" in document["paths"][path]["post"]["responses"]["502"]["description"]


async def test_an_id_has_no_line_end(client: Any, check_problem: Any) -> None:
    """To Python's `$` a last line's end is not a part of the text; in the document's patterns it is."""
    check_problem(await client.get("/tasks/t1%0A/status"), 400, "invalid-request")
    body = {"task_id": "t1\n", "worker_id": "w", "topic": "a"}
    check_problem(await client.post("/tasks/submit", json=body), 400, "invalid-request")
    document = (await client.get("/schema/openapi.json")).json()
    (parameter,) = document["paths"]["/tasks/{task_id}/status"]["get"]["parameters"]
    assert parameter["schema"]["pattern"].endswith("$")


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("name", ["since", "until"])
async def test_a_moment_beyond_the_calendar_is_refused(client: Any, check_problem: Any, name: str, moment: str) -> None:
    check_problem(await client.get("/tasks", params={name: moment}), 400, "invalid-request")
