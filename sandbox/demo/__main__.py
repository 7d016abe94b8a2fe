"""`python -m sandbox.demo`."""

from sandbox.demo.cli import app

app(prog_name="python -m sandbox.demo")
