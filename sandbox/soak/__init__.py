"""A soak: tasks go through several gateways while servers and gateways are killed, stopped and frozen at random."""
