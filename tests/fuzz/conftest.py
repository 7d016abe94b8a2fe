"""A lab on real servers, as end-to-end tests have it."""

from tests.e2e.conftest import lab

__all__ = ["lab"]
