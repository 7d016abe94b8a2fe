"""One folder a neighbour; no folder imports another. Only `gateway.wiring` knows which adapter is behind a port."""
