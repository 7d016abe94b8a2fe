"""Overdue steps, after a crash, an outage or a delay: requeue, deliver, ask the engine. Imports all but `flow.poll`."""
