"""What operators and timers do to tasks outside the flow: retry, bulk, statistics, heartbeats. Imports `flow`."""
