"""The version of the gateway."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def gateway_version() -> str:
    """Return the installed version; the source tree's own where nothing is installed."""
    try:
        return version("worker-api-gateway")
    except PackageNotFoundError:
        return "1.0.0"
