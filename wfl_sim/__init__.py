"""wfl_sim: a wireless network co-simulator for federated fine-tuning.

``run`` is the whole tool as one function; ``load_scenario`` reads a scenario without running it. Nothing heavy is
imported until it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import channels

if not getattr(channels, "__wfl_sim__", False):
    raise ImportError(
        f"wfl_sim needs its own package `channels`, but `import channels` found {channels.__file__}; another "
        "distribution (Django Channels) uses the same import name: install wfl-sim into an environment of its own"
    )

__version__ = "0.1.0"

if TYPE_CHECKING:
    from analysis.traces import Traces
    from wfl_sim.scenario import Study


def load_scenario(path: str | Path, overrides: Sequence[str] = (), *, many: bool = False) -> Study:
    """Read a scenario file; see `wfl_sim.scenario.load`."""
    from wfl_sim.scenario import load

    return load(path, overrides, many=many)


def run(
    scenario: str | Path | Study,
    overrides: Sequence[str] = (),
    *,
    output: str | Path = "runs",
    force: bool = False,
    jobs: int | None = None,
    workers: int = 1,
    report: Any = None,
) -> Traces:
    """Run all cells of a scenario and return their tables.

    Parameters
    ----------
    scenario : path or Study
        A scenario file, or what `load_scenario` made of one.
    overrides : sequence of str
        ``key.path=value`` each, for a file.
    output : path
        Folder that gets ``NAME/ARM-seedK/``.
    force : bool
        Replace runs that are there already.
    jobs : int, optional
        Processes side by side; default one a core, at most one a cell.
    workers : int, optional
        Processes that train the clients of each run. They change no result; take more than one where there are more
        cores than cells.
    report : callable, optional
        Called as ``report(cell, row)`` after every round.

    Raises
    ------
    ScenarioError, MissingResource, OutputExists
        Before anything runs.
    RunFailed
        A cell failed; the others' traces are there.
    """
    from analysis.traces import load
    from wfl_sim import study

    plan = load_scenario(scenario, overrides) if isinstance(scenario, (str, Path)) else scenario
    return load(study.run(plan, Path(output), force=force, jobs=jobs, workers=workers, report=report))
