"""What engines say of themselves, as it was recorded of each: their brand and version come out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from aiohttp import web

from bridge.adapters.camunda.engine import CamundaEngine
from bridge.domain.engine_product import Brand, EngineProduct
from tests.contract.stub_engine import Stub, stub_engine

RECORDED: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = json.loads(
    (Path(__file__).parent / "recorded_products.json").read_text()
)
"""By engine and path: status and body, as `sandbox` engines with authorization on gave them."""
PRODUCTS: Final = {
    "Camunda 7.24.0, to an admin": EngineProduct(Brand.CAMUNDA, "7.24.0"),
    "Camunda 7.24.0, to a user without rights": EngineProduct(Brand.CAMUNDA, "7.24.0"),
    "Operaton 1.0.3, to an admin": EngineProduct(Brand.OPERATON, "1.0.3"),
    "Operaton 1.0.3, to a user without rights": EngineProduct(None, "1.0.3"),
}
HTML: Final = (404, b"<html>Not Found</html>", "text/html")


async def product(stub: Stub) -> EngineProduct:
    async with stub_engine(stub) as url:
        engine = CamundaEngine(url, timeout=timedelta(seconds=5), observe=stub.observe, foreign=stub.observe_foreign)
        await engine.open()
        try:
            return await engine.product()
        finally:
            await engine.close()


def tells(stub: Stub, version: tuple[int, bytes, str], telemetry: tuple[int, bytes, str]) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        status, body, kind = version if request.path.endswith("/version") else telemetry
        return web.Response(status=status, body=body, content_type=kind)

    stub.answer = answer


def told(of: Mapping[str, Any]) -> tuple[int, bytes, str]:
    return of["status"], orjson.dumps(of["body"]), "application/json"


def test_each_recorded_engine_is_in_the_table() -> None:
    assert RECORDED.keys() == PRODUCTS.keys()


@pytest.mark.parametrize("name", PRODUCTS)
async def test_the_brand_and_version_of_a_recorded_engine(name: str) -> None:
    stub, recorded = Stub(), RECORDED[name]
    tells(stub, told(recorded["/version"]), told(recorded["/telemetry/data"]))
    assert await product(stub) == PRODUCTS[name]
    assert stub.foreign == []


@pytest.mark.parametrize(
    ("version", "expected"),
    [({"version": "7.14.0"}, EngineProduct(Brand.CAMUNDA, "7.14.0")), ({"version": None}, EngineProduct())],
)
async def test_an_engine_that_tells_less_is_no_fault(version: Mapping[str, Any], expected: EngineProduct) -> None:
    """An engine before 7.15 has no telemetry data: its server answers by a page; and a version may be null."""
    stub = Stub()
    tells(stub, (200, orjson.dumps(version), "application/json"), HTML)
    assert await product(stub) == expected
    assert stub.foreign == []
