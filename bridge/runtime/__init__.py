"""Parts for asyncio that know no neighbour: batches, loops, turns, threads. Imports `domain` and `ports`."""
