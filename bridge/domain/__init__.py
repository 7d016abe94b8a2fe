"""Tasks, their lifecycle, variables and errors: pure, without I/O. Imports nothing else of the gateway."""
