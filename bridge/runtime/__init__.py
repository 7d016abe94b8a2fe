"""Parts for asyncio without knowledge of tasks: batches, loops, turns, threads. Imports `domain` and `ports`."""
