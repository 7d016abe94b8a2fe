"""The state of the engine: whether it answers, its identity, the rights of its user. Imports no other stage."""
