"""Parts that are built from source: once for each state of their sources, outside of the work tree."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox import tools
from sandbox.errors import ArtifactMissing, BuildFailed
from sandbox.kinds import DEFAULT_KIND, Files, Rewrites, kind
from sandbox.parts import Part
from sandbox.state import locked
from sandbox.tools import Say

HERE = Path(__file__).parent
TAIL = 25
TEXTS = frozenset({".java", ".xml", ".yaml"})
# What Maven says of an artifact that no repository has; other failures are the build's own.
NO_ARTIFACT = ("Could not find artifact", "was not found in", "Non-resolvable")


@dataclass(frozen=True)
class Recipe:
    """How the sources in one folder become one file; a variant has rewritten sources, and a place of its own."""

    part: Part
    product: str
    needs: tuple[tools.Tool, ...]
    command: Callable[[], tuple[str, ...]]
    variant: str = ""
    rewrites: Rewrites = ()
    files: Files = ()

    @property
    def sources(self) -> Path:
        """The folder of the sources."""
        return HERE / self.part

    @property
    def place(self) -> Path:
        """Where the product is kept, under a hash of its sources."""
        return cache() / self.part / fingerprint(self.sources) / self.variant / Path(self.product).name

    def build(self, say: Say) -> Path:
        """The product; built now unless it's in the cache."""
        if self.place.exists():
            return self.place
        with locked(cache() / f"{self.part}.lock"):
            # Another process may have built it while this one waited.
            if not self.place.exists():
                say(f"building {self.part}{self.variant and f' {self.variant}'} (once; kept in {cache()})")
                self._build()
        return self.place

    def _build(self) -> None:
        work = cache() / "work" / f"{self.part}-{os.getpid()}"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.sources, work, ignore=shutil.ignore_patterns("target"))
        _rewrite(work, self.rewrites)
        _write(work, self.files)
        log = cache() / f"{self.part}.log"
        try:
            with log.open("w") as output:
                done = subprocess.run(self.command(), cwd=work, stdout=output, stderr=output, check=False)
            if done.returncode != 0:
                raise _failure(self, log)
            self.place.parent.mkdir(parents=True, exist_ok=True)
            (work / self.product).replace(self.place)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _rewrite(folder: Path, rewrites: Rewrites) -> None:
    for path in folder.rglob("*"):
        if rewrites and path.suffix in TEXTS:
            text = path.read_text()
            for old, new in rewrites:
                text = text.replace(old, new)
            path.write_text(text)


def _write(folder: Path, files: Files) -> None:
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _failure(recipe: Recipe, log: Path) -> BuildFailed:
    what = f"building {recipe.part}{recipe.variant and f' {recipe.variant}'} failed; the end of {log}:\n{tail(log)}"
    has_no_artifact = any(said in log.read_text(errors="replace") for said in NO_ARTIFACT)
    return (ArtifactMissing if has_no_artifact else BuildFailed)(what)


def _maven() -> tuple[str, ...]:
    return (str(tools.MAVEN.require()), "--batch-mode", "--quiet", "-DskipTests", "package")


def _go() -> tuple[str, ...]:
    package = "github.com/jaegertracing/jaeger/cmd/all-in-one"
    return (str(tools.GO.require()), "build", "-trimpath", "-o", "jaeger", package)


RECIPES = {
    Part.ENGINE: Recipe(Part.ENGINE, "target/engine.jar", (tools.JAVA, tools.MAVEN), _maven),
    Part.STORE: Recipe(Part.STORE, "target/store.jar", (tools.JAVA, tools.MAVEN), _maven),
    Part.JAEGER: Recipe(Part.JAEGER, "jaeger", (tools.GO,), _go),
}


def recipe(part: Part, engine: str = DEFAULT_KIND) -> Recipe:
    """How the part is built; the engine as one of `sandbox.kinds`."""
    if part is not Part.ENGINE:
        return RECIPES[part]
    chosen = kind(engine)
    return replace(RECIPES[part], variant=chosen.variant, rewrites=chosen.rewrites, files=chosen.files)


def needs(part: Part, engine: str = DEFAULT_KIND) -> tuple[tools.Tool, ...]:
    """What must be on the machine before the part can be built or run."""
    if part is Part.BROKER:
        return (tools.BROKER,)
    if recipe(part, engine).place.exists():
        return () if part is Part.JAEGER else (tools.JAVA,)
    return RECIPES[part].needs


def program(part: Part, say: Say, engine: str = DEFAULT_KIND) -> Path:
    """What runs as the part: built, or found on the machine."""
    if part is Part.BROKER:
        return tools.BROKER.require()
    return recipe(part, engine).build(say)


def cache() -> Path:
    """Where builds are kept; GATEWAY_CACHE moves it."""
    chosen = os.environ.get("GATEWAY_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "worker-api-gateway"


def fingerprint(sources: Path) -> str:
    """A hash of all names and contents in a folder, but for what a build leaves there."""
    digest = hashlib.sha256()
    for path in sorted(sources.rglob("*")):
        name = path.relative_to(sources)
        if path.is_file() and name.parts[0] != "target":
            content = path.read_bytes()
            digest.update(f"{name.as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()[:16]


def tail(log: Path, lines: int = TAIL) -> str:
    """The last lines of a log."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(no log: {error.strerror})"
