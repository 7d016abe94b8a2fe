"""What the flow asks of its neighbours, one module each: protocols and their values. Imports `domain` and `search`."""
