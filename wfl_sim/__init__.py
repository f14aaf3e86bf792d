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
    arms: Sequence[str] = (),
    report: Any = None,
    watch: Any = None,
) -> Traces:
    """Run all cells of a scenario that are not finished yet, and return the tables of the study.

    Each cell has a directory of its own, in which its manifest says whether it is finished. The same call again skips
    cells that are, and goes on with those that were interrupted, killed or failed, from their last round; the tables
    are those of a run that nothing disturbed. A directory of another scenario (or of other input files), of another
    version, damaged, or made by something else is refused before anything runs.

    Parameters
    ----------
    scenario : path or Study
        A scenario file, or what `load_scenario` made of one.
    overrides : sequence of str
        ``key.path=value`` each, for a file.
    output : path
        Folder that gets ``NAME/ARM-seedK/``.
    force : bool
        Run all cells anew, in the place of what is there. What no run has made is never removed.
    jobs : int, optional
        Processes side by side; default one a core, at most one a cell.
    workers : int, optional
        Processes that train the clients of each run. They change no result; take more than one where there are more
        cores than cells.
    arms : sequence of str
        Run the cells of these alone: arms of the file, or points of its grid. With ``seeds=[K]`` among the overrides
        that is one cell, as a job array wants it; calls for different cells of one study may run at the same time.
    report : callable, optional
        Called as ``report(cell, row)`` after every round.
    watch : callable, optional
        Called as ``watch(cell, event)``; events are ``skipped``, ``running``, ``finished`` and ``failed``.

    Raises
    ------
    ScenarioError, MissingResource, OutputExists
        Before anything runs: the scenario, what it needs, or what is in its output directories, which another process
        may be writing to.
    RunFailed
        A cell failed, or its process died twice; the others' traces are there.
    KeyboardInterrupt
        All cells were stopped; finished rounds are in their traces.
    """
    from analysis.traces import load
    from wfl_sim import study

    plan = load_scenario(scenario, overrides) if isinstance(scenario, (str, Path)) else scenario
    place = Path(output)
    study.run(plan, place, force=force, jobs=jobs, workers=workers, arms=arms, report=report, watch=watch)
    return load([study.cell_directory(place, cell) for cell in study.selected(plan, arms)])
