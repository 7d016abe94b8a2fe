"""What the tests of a run share: models and errors of every kind, and a run of one handler."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel, Field, field_validator

from bridge.domain.task import Failure, Outcome
from bridge.domain.variables import EngineFormat, encode
from bridge.flow.handle.run import Run
from bridge.flow.handle.threads import Threads
from bridge.testing import make_context
from bridge.topic import topic
from tests.unit.fakes import SECOND, Notes, a_task

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
INSTANT = 1e-3


class Order(BaseModel):
    amount: int = Field(default=1, gt=0)


class Due(BaseModel):
    day: date
    number: int


class Checked(BaseModel):
    rate: str

    @field_validator("rate")
    @classmethod
    def look_up(cls, rate: str) -> str:
        raise KeyError(f"no rate {rate}")


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Exits(BaseModel):
    rate: str = "none"

    @field_validator("rate")
    @classmethod
    def look_up(cls, rate: str) -> str:
        sys.exit(f"no rate {rate}")


class Nameless(type):
    """A kind of class that keeps its name to itself."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no name")


class Masked(BaseException, metaclass=Nameless):
    """An error whose every answer is another error."""

    def __str__(self) -> str:
        raise SystemExit("no words")


class Receipt(BaseModel):
    number: int
    note: str | None = None


def a_run(timeout: timedelta = 30 * SECOND, engine_format: EngineFormat = EngineFormat()) -> Run:
    return Run(
        timeout=timeout,
        first_delay=2 * SECOND,
        most_delay=60 * SECOND,
        threads=Threads(Notes()),
        engine_format=engine_format,
    )


async def outcome_of(
    run: Run, handler: Any, variables: Mapping[str, Any] | None = None, timeout: float | None = None, **fields: Any
) -> Outcome:
    declared = topic("orders", timeout=timeout)(handler)
    task = a_task(variables=encode(variables or {}), **{"attempts": 1, **fields})
    async with asyncio.timeout(10):
        async with run.slot(declared) as slot:
            return await run.run(declared, task, make_context(), slot)


def raising(error: BaseException) -> Any:
    async def handler(order: Order) -> None:
        raise error

    return handler


def returning(result: Any) -> Any:
    async def handler(order: Order) -> Any:
        return result

    return handler


async def failure_of(run: Run, handler: Any, **options: Any) -> Failure:
    outcome = await outcome_of(run, handler, **options)
    assert isinstance(outcome, Failure)
    return outcome
