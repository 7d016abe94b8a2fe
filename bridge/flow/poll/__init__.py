"""Fetch and lock: which topics, how many tasks, how long to wait. Imports `flow.intake`."""
