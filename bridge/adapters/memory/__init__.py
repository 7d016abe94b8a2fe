"""Engine, store and broker in this process: for tests, and for a topic without servers. Never in production."""
