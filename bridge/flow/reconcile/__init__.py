"""Tasks that a crash, an outage or time left: requeued, delivered, asked about. Imports all stages but `flow.poll`."""
