"""From a message to a stored outcome: claim the task, run the handler, keep what it decided. Imports `flow.deliver`."""
