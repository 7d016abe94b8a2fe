"""A task as a document of the store, and back: pure, and the same for both stores. Imports `domain`."""
