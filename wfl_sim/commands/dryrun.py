"""What ``wfl-sim run --dry-run`` says: every run of a study, what is there of it, and what is left to do.

Knows how to talk to a person; nothing is run or written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wfl_sim.commands.common import Format, bold, print_json

if TYPE_CHECKING:
    from wfl_sim.scenario import Cell, Study

MOST_ROWS = 20
# What becomes of a run, by what is there of it.
_DOES = {"absent": "to run", "unfinished": "to continue", "finished": "to skip", "replaced": "to replace"}


def show(study: Study, output: Path, *, force: bool, jobs: int | None, quiet: bool, answer: Format) -> None:
    """Print the runs, and the work, time and memory of those that are left.

    Raises
    ------
    WflError
        A directory cannot be continued, and is not to be replaced.
    """
    from wfl_sim import present
    from wfl_sim.advice import advice
    from wfl_sim.estimate import estimate

    directories = [output / study.name / cell.folder for cell in study.cells]
    states = [_state(directory, cell, force) for directory, cell in zip(directories, study.cells, strict=True)]
    left = tuple(cell for cell, state in zip(study.cells, states, strict=True) if state != "finished")
    costs = estimate(replace(study, cells=left), jobs) if left else None
    notes = advice(study, costs) if costs is not None else []
    if answer is Format.json:
        runs = [
            {**present.run_dict(cell), "directory": str(directory), "state": state}
            for cell, directory, state in zip(study.cells, directories, states, strict=True)
        ]
        left_over = None if costs is None else present.estimate_dict(study, costs, notes)["estimate"]
        print_json({"name": study.name, "runs": runs, "estimate": left_over, "notes": notes})
    elif not quiet:
        typer.echo("\n".join(_text(study, directories, states)))
        if costs is not None:
            typer.echo(f"\n{present.estimate_text(costs, bold, notes)}")


def _state(directory: Path, cell: Cell, force: bool) -> str:
    from wfl_sim.rundirectory import check_ours, state

    if not force:
        return str(state(directory, cell))
    check_ours(directory)
    return "replaced" if directory.exists() else "absent"


def _text(study: Study, directories: Sequence[Path], states: Sequence[str]) -> list[str]:
    from wfl_sim.present import table

    rows = [
        [str(directory), cell.group, ", ".join(f"{key}={text}" for key, text, *_ in cell.point), cell.seed, state]
        for cell, directory, state in zip(study.cells, directories, states, strict=True)
    ]
    counts = ", ".join(f"{count:,} {_DOES[state]}" for state, count in Counter(states).items())
    head, *lines = table(["directory", "arm", "point", "seed", "there"], rows[:MOST_ROWS])
    more = [f"and {len(rows) - MOST_ROWS:,} more"] if len(rows) > MOST_ROWS else []
    return [f"{bold(study.name)}: {len(rows):,} runs: {counts}", "", bold(head), *lines, *more]
