"""Searching for tasks: a small language, its tree, and what it means for a task. Pure; adapters turn it to queries."""
