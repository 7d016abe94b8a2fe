"""The command `gateway` of an installation: says which package hides one of the gateway's, before any is imported.

`gateway`, `bridge` and `web` are names that other packages have as well. This module has the name of the distribution,
imports nothing of these, and so can say it where they can't be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PACKAGES: Final = ("bridge", "gateway", "sandbox", "web")
DISTRIBUTION: Final = "worker-api-gateway"
_ADVICE: Final = f"Let {DISTRIBUTION} have an environment of its own, and look at PYTHONPATH"


def main() -> None:
    """Run the command line; end with 2 where it can't be that of this installation."""
    faults = list(hidden_packages(Path(__file__).parent))
    if not faults:
        try:
            from gateway.cli.main import main as run  # noqa: PLC0415 - not before it is known to be ours

            run()  # imports the rest of it, by the command
            return
        except ImportError:
            faults = list(shared_packages())
            if not faults:
                raise
    for fault in faults:
        sys.stderr.write(f"gateway: {fault}. {_ADVICE}\n")
    sys.exit(2)


def hidden_packages(home: Path) -> Iterator[str]:
    """Tell of each package of the gateway's, in `home`, in whose place another is imported, or none."""
    for name in PACKAGES:
        spec = find_spec(name)
        own = home / name / "__init__.py"
        if spec is not None and spec.origin is not None and Path(spec.origin) != own:
            yield f"{spec.origin} is imported in place of the gateway's package {name!r} in {home}, which it hides"
        elif not own.exists():  # gone with a package that had written over it
            yield f"the gateway's package {name!r} in {home} is damaged: install {DISTRIBUTION} again"


def shared_packages() -> Iterator[str]:
    """Tell of each package of the gateway's that another distribution has installed files into. Reads all metadata."""
    owners = packages_distributions()
    for name in PACKAGES:
        others = ", ".join(sorted(set(owners.get(name, ())) - {DISTRIBUTION}))
        if others:
            yield f"the package {name!r} is {DISTRIBUTION}'s and {others}'s: one overwrites the other's files"
