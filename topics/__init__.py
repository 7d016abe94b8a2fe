"""The work itself: one file a topic. A file imports from the gateway only `from bridge.topic import ...`."""
