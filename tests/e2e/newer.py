"""`python -m tests.e2e.newer serve`: a gateway of another schema, which the environment's SCHEMA and LEAST name."""

from __future__ import annotations

import os

from bridge.adapters.mongo import reader
from bridge.domain.schema import SchemaVersion
from gateway.cli.main import main

if __name__ == "__main__":
    schema = SchemaVersion(int(os.environ["SCHEMA"]), int(os.environ["LEAST"]))
    vars(reader)["SchemaVersion"] = lambda: schema
    main()
