"""People, keys and their sessions; rate limits. Imports `domain` and `ports`."""
