"""One handler for all topics. By BENCH_HANDLER it does nothing, waits at a gate, or notes when it began."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from bench.topics._counts import count_commands
from bench.topics._sampler import sample_cpu
from bridge.topic import Context, topic


class Nothing(BaseModel):
    """No variables: the engine's own work is to be the smallest that there is."""


async def nothing(_given: Nothing) -> None:
    """End at once."""


async def gate(_given: Nothing) -> None:
    """Hold the task until the other end of BENCH_GATE closes the connection."""
    reader, writer = await asyncio.open_unix_connection(os.environ["BENCH_GATE"])
    await reader.read()
    writer.close()


async def note(_given: Nothing, context: Context) -> None:
    """Write down when the instance's handler began; not for the hot topic, of which there are too many."""
    if context.topic != os.environ["BENCH_HOT"]:
        began = f"{context.process_instance_id} {time.time()}\n"
        with (Path(os.environ["BENCH_NOTES"]) / str(os.getpid())).open("a") as notes:
            notes.write(began)


_HANDLERS: Final[Mapping[str, Callable[..., Awaitable[None]]]] = {"nothing": nothing, "gate": gate, "note": note}
_CONCURRENCY: Final = int(os.environ.get("BENCH_CONCURRENCY", "16"))

count_commands()
sample_cpu()
for _number, _name in enumerate(os.environ.get("BENCH_TOPICS", "bench").split(",")):
    _handler = _HANDLERS[os.environ.get("BENCH_HANDLER", "nothing")]
    globals()[f"topic_{_number}"] = topic(_name, concurrency=_CONCURRENCY)(_handler)
