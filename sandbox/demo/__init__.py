"""The demo: real servers, the gateway, and process instances whose every end is checked against the engine."""
