"""The Python client as it is: its own worker, with its own settings. BENCH_KIND is `sync` or `async`."""

from __future__ import annotations

import asyncio
import os

from camunda.external_task.async_external_task_worker import AsyncExternalTaskWorker
from camunda.external_task.external_task import ExternalTask, TaskResult
from camunda.external_task.external_task_worker import ExternalTaskWorker


def handle(task: ExternalTask) -> TaskResult:
    """Do nothing, successfully."""
    return task.complete()


async def handle_async(task: ExternalTask) -> TaskResult:
    """Do nothing, successfully."""
    return task.complete()


async def main() -> None:
    """Work the topic with the async worker until the process is ended."""
    worker = AsyncExternalTaskWorker("bench-stock", os.environ["BENCH_ENGINE"])
    await worker.subscribe({os.environ["BENCH_TOPIC"]: handle_async})


if __name__ == "__main__":
    if os.environ["BENCH_KIND"] == "async":
        asyncio.run(main())
    else:
        ExternalTaskWorker("bench-stock", os.environ["BENCH_ENGINE"]).subscribe(os.environ["BENCH_TOPIC"], handle)
