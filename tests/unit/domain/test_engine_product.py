"""Which engine answers, by its version and the name of its product; and what is missed in an old one."""

from __future__ import annotations

import pytest

from bridge.domain.engine_product import Brand, EngineProduct, engine_product

CAMUNDA = "Camunda BPM Runtime"


@pytest.mark.parametrize(
    ("version", "name", "brand", "says"),
    [
        ("7.24.0", CAMUNDA, Brand.CAMUNDA, "Camunda 7.24.0"),
        ("7.22.3-ee", CAMUNDA, Brand.CAMUNDA, "Camunda 7.22.3-ee"),
        ("7.14.0", None, Brand.CAMUNDA, "Camunda 7.14.0"),
        ("1.0.3", "Operaton BPM Runtime", Brand.OPERATON, "Operaton 1.0.3"),
        ("2.2.0", "CIB seven", Brand.CIB_SEVEN, "CIB seven 2.2.0"),
        ("1.1.0", CAMUNDA, Brand.CIB_SEVEN, "CIB seven 1.1.0"),
        ("1.0.3", None, None, "Camunda 7 or an engine of its kind, version 1.0.3"),
        ("1.0.3", "Another Runtime", None, "Camunda 7 or an engine of its kind, version 1.0.3"),
        (None, "Operaton BPM Runtime", Brand.OPERATON, "Operaton of an unknown version"),
        (None, CAMUNDA, Brand.CAMUNDA, "Camunda of an unknown version"),
        (None, None, None, "Camunda 7 or an engine of its kind, of an unknown version"),
        ("latest", None, None, "Camunda 7 or an engine of its kind, version latest"),
    ],
)
def test_what_an_engine_is(version: str | None, name: str | None, brand: Brand | None, says: str) -> None:
    found = engine_product(version, name)
    assert (found.brand, found.version, str(found)) == (brand, version, says)


@pytest.mark.parametrize(
    ("product", "codes"),
    [
        (EngineProduct(Brand.CAMUNDA, "7.24.0"), []),
        (EngineProduct(Brand.CAMUNDA, "7.21.0-SNAPSHOT"), []),
        (EngineProduct(Brand.CAMUNDA, "7.20.14-ee"), ["engine.too_old.sorting"]),
        (EngineProduct(Brand.CAMUNDA, "7.15.0"), ["engine.too_old.sorting"]),
        (EngineProduct(Brand.CAMUNDA, "7.14.0"), ["engine.too_old.sorting", "engine.too_old.lock"]),
        (EngineProduct(Brand.CAMUNDA, "7.9.0"), ["engine.too_old.sorting", "engine.too_old.lock"]),
        (EngineProduct(Brand.CAMUNDA, None), []),
        (EngineProduct(Brand.OPERATON, "1.0.0"), []),
        (EngineProduct(Brand.CIB_SEVEN, "1.0.0"), []),
        (EngineProduct(None, "1.0.0"), []),
    ],
)
def test_what_is_missed_in_it(product: EngineProduct, codes: list[str]) -> None:
    assert [shortcoming.code for shortcoming in product.shortcomings] == codes
    assert all(str(shortcoming).startswith(str(product)) for shortcoming in product.shortcomings)
