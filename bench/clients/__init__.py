"""Clients that work a topic and keep nothing, each a program of its own that runs until it is ended."""
