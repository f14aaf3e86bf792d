"""The scenarios at hand: those of the folder ``scenarios`` here, and those that come with the project.

Knows files and names; what a scenario says is read elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wfl_sim.errors import Problem, ScenarioError


def folders() -> Iterator[Path]:
    """Where scenarios are looked for by name, the working directory first."""
    here, shipped = Path("scenarios"), Path(__file__).resolve().parent.parent / "scenarios"
    yield here
    if shipped.is_dir() and not (here.is_dir() and here.samefile(shipped)):  # an installed copy has none
        yield shipped


def scenarios() -> dict[str, Path]:
    """Every scenario by its name, which is that of its file; those in folders below come last."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]:
            found.setdefault(path.stem, path)
    return found


def find(name: str | Path) -> Path:
    """The file that `name` means: a path, or the bare name of a scenario at hand.

    Raises
    ------
    ScenarioError
        There is none; the nearest name is told.
    """
    path = Path(name)
    try:
        if path.exists() or len(path.parts) != 1:
            return path
    except (OSError, ValueError):  # no name for a file, which is for the reader to say
        return path
    known = scenarios()
    if path.stem in known and path.suffix in ("", ".yaml"):
        return known[path.stem]
    from wfl_sim.diagnose import nearest

    rule = f"a scenario is a YAML file, or one of these names: {', '.join(known)}"
    raise ScenarioError(Problem(str(name), "", "no such file", near=nearest(path.stem, known), rule=rule))
