"""The kinds of engine that the sandbox can build: one folder of sources, and what differs in it for each kind."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

Rewrites = tuple[tuple[str, str], ...]
Files = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class EngineKind:
    """A brand of engine in a version of its artifacts.

    `rewrites` are made in the sources of sandbox/engine, in this order, and `files`, each a path and its content, are
    written beside them; without any the kind is what lies there. One that is not supported lacks what the gateway
    uses: it is here to see what the gateway says of it.
    """

    brand: str
    version: str
    rewrites: Rewrites = ()
    files: Files = ()
    is_supported: bool = True

    @property
    def name(self) -> str:
        """The brand and the line, as operaton-1.0."""
        return f"{self.brand}-{'.'.join(self.version.split('.')[:2])}"

    @property
    def variant(self) -> str:
        """The name of the folder in which its build is kept; "" for the kind that lies in the sources."""
        digest = hashlib.sha256(repr((self.rewrites, self.files)).encode()).hexdigest()
        return f"{self.name}-{digest[:8]}" if self.rewrites or self.files else ""


_USUAL: Final = "7.24.0"
DEFAULT_KIND: Final = "camunda-7.24"


def _camunda(version: str) -> EngineKind:
    return EngineKind("camunda", version, () if version == _USUAL else ((_USUAL, version),))


def _renamed(brand: str, version: str) -> Rewrites:
    """A fork of Camunda 7 has its names of packages, artifacts and settings, with the brand in Camunda's place."""
    return (("camunda", brand), (_USUAL, version))


def _fork(brand: str, version: str) -> EngineKind:
    return EngineKind(brand, version, _renamed(brand, version))


# Of Operaton 1.0's Spin for JSON the public registry has the first release alone, without its parent: that is written
# beside it, with the versions that Operaton 1.0.3's own Spin names.
_SPIN: Final = "org/operaton/spin/operaton-spin-root/1.0.0/operaton-spin-root-1.0.0.pom"
_SPIN_ROOT: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>org.operaton.spin</groupId>
  <artifactId>operaton-spin-root</artifactId>
  <version>1.0.0</version>
  <packaging>pom</packaging>
  <properties><version.json-path>2.9.0</version.json-path></properties>
  <dependencyManagement>
    <dependencies>
      <dependency>
        <groupId>org.operaton.spin</groupId>
        <artifactId>operaton-spin-core</artifactId>
        <version>1.0.3</version>
      </dependency>
    </dependencies>
  </dependencyManagement>
</project>
"""
_OPERATON_1_0: Final = EngineKind(
    "operaton",
    "1.0.3",
    rewrites=(
        *_renamed("operaton", "1.0.3"),
        (
            "spin-dataformat-json-jackson</artifactId>",
            "spin-dataformat-json-jackson</artifactId><version>1.0.0</version></dependency>"
            "<dependency><groupId>com.jayway.jsonpath</groupId><artifactId>json-path</artifactId>",
        ),
        (
            "  <build>",
            "  <repositories><repository><id>beside</id><url>file://${project.basedir}/repository</url></repository>"
            "</repositories>\n\n  <build>",
        ),
    ),
    files=((f"repository/{_SPIN}", _SPIN_ROOT),),
)
_TABLE: Final = (
    _camunda("7.24.0"),
    _camunda("7.23.0"),
    _camunda("7.22.0"),
    _camunda("7.21.0"),
    replace(_camunda("7.20.0"), is_supported=False),
    _OPERATON_1_0,
    _fork("operaton", "2.1.4"),
    _fork("cibseven", "2.2.0"),
)
KINDS: Final[Mapping[str, EngineKind]] = {kind.name: kind for kind in _TABLE}


def kind(name: str) -> EngineKind:
    """Return the kind of that name; raises ValueError for one that isn't in the table."""
    if name not in KINDS:
        raise ValueError(f"the kinds of engine are {', '.join(KINDS)}; {name!r} is none of them")
    return KINDS[name]
