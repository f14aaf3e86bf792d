"""Runs the cells of a study that are not finished yet, each in a directory of its own, side by side.

Knows cells and directories; what happens in a cell is the engine's business, and where it happens the executor's.
"""

from __future__ import annotations

import os
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple

from wfl_sim import locks, rundirectory
from wfl_sim.cellrecord import tidy
from wfl_sim.diagnose import nearest
from wfl_sim.errors import COMMAND_LINE, MissingResource, OutputExists, Problem, RunFailed, ScenarioError, WflError
from wfl_sim.executor import Executor, Here, Loky
from wfl_sim.scenario import Cell, Study
from wfl_sim.trace import Row

Report = Callable[[Cell, Row], None]
Event = Literal["skipped", "running", "finished", "failed"]
Watch = Callable[[Cell, Event], None]
MEMO = ".training-"


class Task(NamedTuple):
    """A cell to run, as it is handed to an executor: plain data."""

    number: int
    cell: Cell
    arm_index: int  # the place of its arm in the study
    directory: Path
    memo: Path
    workers: int
    since_ns: int | None  # what is there from before this time is removed, wherever that is not None


class Failure(NamedTuple):
    """Why a cell failed; whether for want of something to install; and where in the program, or ''."""

    what: str
    missing: bool
    traceback: str


class Trouble(Exception):
    """The traceback of a cell that failed, perhaps in another process."""


def cell_directory(output: Path, cell: Cell) -> Path:
    """``NAME/ARM-seedK`` below `output`."""
    return output / cell.scenario.name / cell.folder


def selected(study: Study, arms: Sequence[str]) -> tuple[Cell, ...]:
    """The cells of these arms, in the order of the study; all of them if none is named.

    With a grid, the name of an arm in the file stands for all its points, that of a point for itself.

    Raises
    ------
    ScenarioError
        There is no such arm.
    """
    known = dict.fromkeys(name for cell in study.cells for name in (cell.group, cell.arm) if name)
    problems = [
        Problem(
            f"{COMMAND_LINE}--arm {name}",
            "",
            f"no such arm; there are: {', '.join(known)}",
            near=nearest(name, known),
        )
        for name in arms
        if name not in known
    ]
    if problems:
        raise ScenarioError(*problems)
    return tuple(cell for cell in study.cells if not arms or {cell.arm, cell.group} & set(arms))


def run(
    study: Study,
    output: Path,
    *,
    force: bool = False,
    jobs: int | None = None,
    workers: int = 1,
    arms: Sequence[str] = (),
    report: Report | None = None,
    watch: Watch | None = None,
) -> Path:
    """Run all cells that are not finished and return the study's directory.

    A cell that was interrupted, was killed or has failed goes on from its last round; `force` runs all of them anew.
    So many `jobs` run side by side, by default one a core; each has so many `workers` besides to train its clients.
    With `arms`, only the cells of these. Several processes may run cells of one study at the same time: a cell that
    another one is running is refused.

    `report` is called with each round, `watch` with each cell that is skipped, begins, or ends.

    Raises
    ------
    ScenarioError, MissingResource, OutputExists
        Before anything runs or is removed: a directory is of another scenario or format, damaged, no run directory, or
        in use.
    RunFailed
        A cell failed; the others ran to their end.
    KeyboardInterrupt
        All cells were stopped; finished rounds are in their traces.
    """
    study.check()
    order = {arm: place for place, arm in enumerate(dict.fromkeys(cell.arm for cell in study.cells))}
    cells = [(cell, cell_directory(output, cell)) for cell in selected(study, arms)]
    todo = _unfinished(cells, force)
    folder = output / study.name
    told = watch or (lambda cell, event: None)
    left = set(todo)
    for number, (cell, directory) in enumerate(cells):
        if number not in left:
            tidy(directory)
            locks.forget(directory)
            told(cell, "skipped")
    if not todo:
        locks.sweep(folder, MEMO)
        return folder
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            memo = stack.enter_context(locks.scratch(folder, MEMO))
            since_ns = memo.stat().st_mtime_ns if force else None  # by the clock of the disk
        except OSError as error:
            raise RunFailed(f"cannot write to {folder}: {error.strerror or error}") from None
        jobs = max(1, min(len(todo), jobs or os.cpu_count() or 1))
        if jobs > 1:
            todo = [todo[i] for i in spread([cells[number][0] for number in todo])]
        tasks = [
            Task(place, cell, order[cell.arm], directory, memo, workers, since_ns)
            for place, (cell, directory) in enumerate(cells[number] for number in todo)
        ]
        failures = _play_all(tasks, jobs, report or (lambda cell, row: None), told)
    _raise(failures)
    return folder


def _unfinished(cells: Sequence[tuple[Cell, Path]], force: bool) -> list[int]:
    """The numbers of the cells to run, after a look at all their directories; nothing is changed."""
    if force:
        for _, directory in cells:
            rundirectory.check_ours(directory)
        todo = list(range(len(cells)))
    else:
        todo = [number for number, (cell, place) in enumerate(cells) if rundirectory.state(place, cell) != "finished"]
    for number in todo:
        if locks.is_held(cells[number][1]):
            raise _in_use(cells[number][1])
    return todo


def _in_use(directory: Path) -> OutputExists:
    return OutputExists(f"{directory} is being written by another process: wait for it, or take another --output")


def spread(cells: Sequence[Cell]) -> list[int]:
    """The positions of cells in an order in which those that train alike do not run side by side, as far as possible.

    They share their training through the memo, so the later one is nearly free once the earlier one is done.
    """
    seen: Counter[tuple[Any, ...]] = Counter()
    turns = []
    for cell in cells:
        alike = (cell.seed, cell.scenario.learning, cell.scenario.method, cell.scenario.codec)
        turns.append(seen[alike])
        seen[alike] += 1
    return sorted(range(len(cells)), key=lambda i: turns[i])


def _play_all(tasks: list[Task], jobs: int, report: Report, watch: Watch) -> list[tuple[Cell, Failure]]:
    def told(message: tuple[int, Event | Row]) -> None:
        number, what = message
        if isinstance(what, str):
            watch(tasks[number].cell, what)
        else:
            report(tasks[number].cell, what)

    executor: Executor = Here(told) if jobs == 1 else Loky(jobs, told)
    failures: dict[int, Failure] = {}
    try:
        numbers = {executor.submit(_play, *task): task.number for task in tasks}
        for future in executor.as_completed(numbers):
            number = numbers[future]
            try:
                failure = future.result()
            except Exception as error:  # its process died, or whoever is told of it failed
                failure = _failure(error)
                watch(tasks[number].cell, "failed")
            if failure is not None:
                failures[number] = failure
    finally:
        executor.close()
    return [(tasks[number].cell, failures[number]) for number in sorted(failures)]


def _play(
    tell: Callable[[tuple[int, Event | Row]], None],
    number: int,
    cell: Cell,
    arm_index: int,
    directory: Path,
    memo: Path,
    workers: int,
    since_ns: int | None,
) -> Failure | None:
    """Run one cell, wherever this is, and tell of it; why it failed, if it did."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with locks.lock(directory):
            if since_ns is not None and rundirectory.written_ns(directory) <= since_ns:
                rundirectory.clear(directory)
            found = rundirectory.state(directory, cell)  # another process may have been there since
            if found == "finished":
                tell((number, "skipped"))
                return None
            if found == "absent":
                rundirectory.clear(directory)
            tell((number, "running"))
            from wfl_sim.engine import run_cell

            run_cell(cell, arm_index, directory, lambda row: tell((number, row)), memo, workers=workers)
    except Exception as caught:
        tell((number, "failed"))
        return _failure(_in_use(directory) if isinstance(caught, locks.Held) else caught)
    tell((number, "finished"))
    return None


def _failure(error: Exception) -> Failure:
    what = str(error) if isinstance(error, WflError) else f"{type(error).__name__}: {error}"
    return Failure(what, isinstance(error, MissingResource), "".join(traceback.format_exception(error)))


def _raise(failures: list[tuple[Cell, Failure]]) -> None:
    """The first failure as an error; the others are told in their manifests."""
    for cell, failure in failures:
        kind = MissingResource if failure.missing else RunFailed
        more = f" ({len(failures) - 1} more failed: see their manifests)" if len(failures) > 1 else ""
        raise kind(f"{cell.arm}, seed {cell.seed}: {failure.what}{more}") from Trouble(failure.traceback)
