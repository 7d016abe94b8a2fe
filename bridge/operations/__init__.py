"""What operators and timers do to tasks beside their way: retry, bulk, statistics, heartbeats. Imports `flow`."""
