"""What the gateway is built of: known vulnerabilities, licences, and the bill of materials. Run by `make audit`.

The exit code is 0 where all is well, 1 for a vulnerability, 2 for a licence that is not allowed, and 3 where the data
could not be had by which packages are held against known vulnerabilities (PyPI's JSON interface).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements" / "run.txt"
BILL: Final = ROOT / "build" / "sbom.cdx.json"

ALLOWED: Final = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Python-2.0",
        "License :: OSI Approved :: Apache Software License", "License :: OSI Approved :: BSD License",
        "License :: OSI Approved :: ISC License (ISCL)", "License :: OSI Approved :: MIT License",
        "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)",
        "License :: OSI Approved :: Python Software Foundation License",
    }
)  # fmt: skip
"""Licences under which a dependency may be used unchanged in any service, by SPDX id or by PyPI's classifier."""

READ: Final[Mapping[str, str]] = {"protobuf": "BSD-3-Clause", "rich-click": "MIT", "swagger-ui-py": "Apache-2.0"}
"""Packages whose metadata name no licence, with the licence that their text is."""


@dataclass(frozen=True, slots=True)
class Component:
    """A package of the lock, with the licences that its metadata declare."""

    name: str
    version: str
    licences: tuple[str, ...]

    @property
    def is_allowed(self) -> bool:
        declared = self.licences or ((READ[self.name],) if self.name in READ else ())
        return bool(declared) and all(is_allowed(licence) for licence in declared)


def is_allowed(expression: str) -> bool:
    """Return whether a licence, or an SPDX expression of some, is allowed: of an OR one is enough."""
    if expression in ALLOWED:
        return True
    ids = re.findall(r"\b(?!AND\b|OR\b)[\w.-]+", expression)
    allowed = [one in ALLOWED for one in ids]
    return bool(ids) and (all(allowed) or (any(allowed) and " AND " not in expression))


def locked(lock: str) -> frozenset[str]:
    """Return the normalized names (PEP 503) of the packages that a lock names."""
    return frozenset(normalized(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE))


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def read_components(bill: Mapping[str, Any], names: frozenset[str]) -> list[Component]:
    """Return the components of a CycloneDX bill that are among the names."""
    return [
        Component(
            normalized(one["name"]),
            one["version"],
            tuple(
                each.get("expression") or each["license"].get("id") or each["license"]["name"]
                for each in one.get("licenses", ())
                if each.get("license", {}).get("name") != "License :: DFSG approved"
            ),
        )
        for one in bill["components"]
        if normalized(one["name"]) in names
    ]


def write_bill(tools: Path) -> Mapping[str, Any]:
    """Write the bill of materials of the environment that runs this, kept to the lock; return it."""
    BILL.parent.mkdir(exist_ok=True)
    command: list[str | Path] = [
        tools / "cyclonedx-py",
        "environment",
        "--output-reproducible",
        "--pyproject",
        ROOT / "pyproject.toml",
    ]
    subprocess.run([*command, "-o", BILL, sys.executable], check=True)
    bill: dict[str, Any] = json.loads(BILL.read_text(encoding="utf-8"))
    names = locked(LOCK.read_text(encoding="utf-8"))
    kept = [one for one in bill["components"] if normalized(one["name"]) in names]
    known = {one["bom-ref"] for one in kept} | {bill["metadata"]["component"]["bom-ref"]}
    bill["dependencies"] = [
        {**one, "dependsOn": [ref for ref in one.get("dependsOn", ()) if ref in known]}
        for one in bill.get("dependencies", ())
        if one["ref"] in known
    ]
    bill["components"] = kept
    BILL.write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")
    return bill


def find_vulnerable(tools: Path) -> tuple[Sequence[str], int]:
    """Return what is known to be vulnerable, a line each, and about how many packages nothing could be learned."""
    command: list[str | Path] = [
        tools / "pip-audit",
        "-r",
        LOCK,
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner",
        "off",
        "-f",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(done.stderr.strip().rpartition("\n")[2], file=sys.stderr)
        return (), len(locked(LOCK.read_text(encoding="utf-8")))
    lines = [
        f"{one['name']} {one['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'no version'}"
        for one in found
        for fault in one.get("vulns", ())
    ]
    return lines, sum("skip_reason" in one for one in found)


def main() -> int:
    """Print what was found; return the exit code."""
    tools = Path(sys.argv[1])
    components = read_components(write_bill(tools), locked(LOCK.read_text(encoding="utf-8")))
    strange = [one for one in components if not one.is_allowed]
    for one in strange:
        print(f"{one.name} {one.version}, licence: {', '.join(one.licences) or 'none declared'}; read it and list it")
    vulnerable, unknown = find_vulnerable(tools)
    for line in vulnerable:
        print(f"vulnerable: {line}")
    if unknown:
        print(f"vulnerabilities: NOT checked for {unknown} packages, as PyPI's data could not be had from here")
    print(f"{len(components)} packages, {len(strange)} licences not allowed, {len(vulnerable)} known vulnerabilities")
    print(f"bill of materials: {BILL.relative_to(ROOT)}")
    return 1 if vulnerable else 2 if strange else 3 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
