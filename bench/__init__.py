"""Measures the gateway against the engine's own ceiling and against other clients, side by side in one run."""
