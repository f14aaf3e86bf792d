"""Run directories to pandas frames: one run, a study, several of them, or all that match a pattern.

Knows which directories hold runs and how tables of many become one; does not know the files of a run, what the
numbers mean, nor how they are drawn.
"""

from __future__ import annotations

import glob
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from analysis.reading import TRACE_FILE, Holdings, Run
from analysis.tracefile import NothingYet, TraceError, Units
from wfl_sim.grid import Coordinate
from wfl_sim.quality import ACCURACY, QUALITIES, Quality
from wfl_sim.trace import TABLES

__all__ = ["Coordinate", "Holdings", "TraceError", "Traces", "Units", "load"]

Where: TypeAlias = "str | Path"


@dataclass(frozen=True)
class Traces:
    """The cells (arm and seed) of one or more studies.

    Every frame begins with the columns ``arm`` and ``seed``; arms stand in the order of the study, seeds
    ascend, and the rows of a cell keep the order in which they were written.

    Attributes
    ----------
    rounds, transmissions, decisions, groups
        The tables of the traces; ``wfl_sim.trace.TABLES`` says what each column means. ``groups`` has a row for each
        group of clients and round, of runs with ``learning.groups``.
    cells
        One row a cell: ``arm, seed, status, rounds, targets, latency_budget_s, deadline_s, schedule_deadline_s,
        clients, in_flight_bits, study, directory, metric, group``, and a column for each of `axes`. ``rounds`` counts
        the finished ones, ``targets`` is a tuple of values of the ``metric`` (accuracy or perplexity),
        ``latency_budget_s``, ``deadline_s`` (of a round) and ``schedule_deadline_s`` (which its plan keeps) are NaN
        where there is none, ``clients`` counts those of the scenario (NaN where a manifest does not say),
        ``in_flight_bits`` is the payload of uploads that were under way when the run ended, which have no row (NaN
        where a manifest does not say), ``directory`` is the name of the run directory.
        ``group`` is the arm in the file, and the columns of `axes` say at which point of the grid the cell is; without
        a grid ``group`` is the arm.
    units
        Unit of a column: ``units["rounds", "t_end_s"] == "s"``; "" where it has none.
    holdings
        Who holds what, by (arm, seed): one table of all clients, or where groups of them learn unlike classes one of
        each group. Runs without learning, and those of older versions, have none.
    axes
        The keys of the grid in their order, each a column of `cells`: numbers in SI units (``units["cells", key]``),
        or the text of the scenario where a value is no number. NaN in cells whose study has no such key. A key that
        is called as another column, such as ``rounds``, is here ``scenario.rounds``.
    notes
        What a reader of means has to know, a line each: arms whose runs differ in more than the seed.

    Notes
    -----
    Each point of a grid is an arm of its own, called ``group-key=value``. To look along an axis, join the columns of
    the point and pivot:

    >>> table = tradeoff.summary(traces).merge(traces.cells[["arm", "seed", "group", *traces.axes]])  # doctest: +SKIP
    >>> table.pivot_table("accuracy", index="radio.uplink.bandwidth", columns="group")  # doctest: +SKIP
    """

    rounds: pd.DataFrame
    transmissions: pd.DataFrame
    decisions: pd.DataFrame
    groups: pd.DataFrame
    cells: pd.DataFrame
    units: Units
    holdings: Mapping[tuple[str, int], tuple[Holdings, ...]] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def arms(self) -> list[str]:
        """The arms, in the order of the study."""
        return [str(arm) for arm in self.cells["arm"].unique()]

    @property
    def learns(self) -> bool:
        """Whether any round was evaluated; a run of the network alone (``method: {kind: none}``) has no accuracy."""
        return bool(self.rounds["accuracy"].notna().any())

    @property
    def quality(self) -> Quality:
        """By what the runs are judged, and which way is better.

        Raises
        ------
        TraceError
            Some are judged by accuracy and some by perplexity, which no axis and no column can hold together.
        """
        evaluated = self.rounds.loc[self.rounds["accuracy"].notna(), ["arm", "seed"]].drop_duplicates()
        cells = self.cells.merge(evaluated) if len(evaluated) else self.cells
        arms = {str(metric): list(own.unique()) for metric, own in cells.groupby("metric")["arm"]}
        if len(arms) > 1:
            said = "; ".join(f"{metric}: {', '.join(own)}" for metric, own in arms.items())
            raise TraceError(f"these runs are judged by different measures, load them apart ({said})")
        return QUALITIES[next(iter(arms), ACCURACY.metric)]

    def seeds(self, arm: str) -> list[int]:
        """The seeds of an arm, ascending; raises `TraceError` for an arm that is not there."""
        if arm not in self.arms:
            raise TraceError(f"no arm {arm!r} in these traces; there are: {', '.join(self.arms)}")
        return [int(seed) for seed in self.cells.loc[self.cells["arm"] == arm, "seed"]]

    def select(self, arm: str, seed: int | None = None) -> Traces:
        """The traces of one cell; without `seed`, of the arm's first one."""
        seeds = self.seeds(arm)
        chosen = seeds[0] if seed is None else seed
        if chosen not in seeds:
            raise TraceError(f"arm {arm!r} has no seed {chosen}; there are: {', '.join(map(str, seeds))}")
        frames = {
            name: frame[(frame["arm"] == arm) & (frame["seed"] == chosen)].reset_index(drop=True)
            for name, frame in (*((t, getattr(self, t)) for t in TABLES), ("cells", self.cells))
        }
        held = {key: value for key, value in self.holdings.items() if key == (arm, chosen)}
        return replace(self, **frames, holdings=held, notes=())


def load(path: Where | Sequence[Where], tables: Collection[str] = tuple(TABLES)) -> Traces:
    """Read the traces of a run directory, of a study, of all that match a pattern, or of several such.

    A run that was interrupted, killed, or is being written gives all its finished rounds. When the runs come
    from several studies, an arm is called ``study/arm``. In a study or a pattern, runs that are just being begun or
    removed are left out.

    Parameters
    ----------
    path
        ``runs/<name>/<arm>-seed<k>``, ``runs/<name>``, or a pattern such as ``runs/quickstart/*-seed1`` or ``runs/**``;
        or a list of them. A run that is met twice counts once.
    tables
        Which to read, besides ``rounds``; the others are left empty. By default all.

    Raises
    ------
    TraceError
        If there is no run, or a file of one cannot be read.
    ValueError
        If a trace has no table of such a name.
    """
    if unknown := set(tables) - set(TABLES):
        raise ValueError(f"no table {min(unknown)!r} in a trace; there are: {', '.join(TABLES)}")
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    if not paths:
        raise TraceError(f"no path was given; {_WANTED}")
    directories = [found for one in paths for found in _run_directories(Path(one).expanduser())]
    named = {Path(one).expanduser().resolve() for one in paths}
    read = {own.resolve(): own for own in directories}
    runs = [run for where, own in read.items() if (run := _run(own, tables, named=where in named)) is not None]
    if not runs:
        raise TraceError(f"{', '.join(map(str, paths))}: all runs are just being begun or removed; try again")
    if len({run.study for run in runs}) > 1:
        runs = [replace(run, arm=f"{run.study}/{run.arm}", group=f"{run.study}/{run.group}") for run in runs]
    runs.sort(key=lambda run: (run.study, run.arm_order, run.arm, run.seed))
    for one, next_ in itertools.pairwise(runs):
        if (one.arm, one.seed) == (next_.arm, next_.seed):
            where = ", ".join(map(str, paths))
            raise TraceError(
                f"{where}: two runs are arm {one.arm!r}, seed {one.seed}: {one.directory} and {next_.directory}"
            )
    units = {(table, column.name): column.unit for table in TABLES for column in TABLES[table]}
    for run in runs:
        units.update(run.units)
    frames = {table: _frame(runs, table) for table in TABLES}
    held = {(run.arm, run.seed): run.holdings for run in runs if run.holdings}
    cells = pd.DataFrame([run.row() for run in runs])
    columns = _axes([run.point for run in runs], set(cells.columns))
    units |= {("cells", name): unit for name, (_, unit) in columns.items()}
    cells = cells.assign(**{name: values for name, (values, _) in columns.items()})
    return Traces(**frames, cells=cells, units=units, holdings=held, axes=tuple(columns), notes=_notes(runs))


MOST_NAMED = 3


def _notes(runs: Sequence[Run]) -> tuple[str, ...]:
    """A line for each arm whose runs are of several scenarios, and one for runs that have not finished."""
    notes, first, told = [], dict[str, Run](), set[str]()
    for run in runs:
        before = first.setdefault(run.arm, run) if run.scenario else run  # without a scenario nothing is known
        if run.scenario != before.scenario and run.arm not in told:
            told.add(run.arm)
            one, two = before.scenario, run.scenario
            keys = ", ".join(key for key in dict.fromkeys([*one, *two]) if one.get(key) != two.get(key))
            notes.append(
                f"{run.arm}: its runs differ in more than the seed, and means mix them: {before.directory.name} and "
                f"{run.directory.name} in {keys}"
            )
    left = [f"{run.directory.name} ({run.status})" for run in runs if run.status != "finished"]
    if left:
        more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
        notes.append(f"not finished, and counted as far as they came: {', '.join(left[:MOST_NAMED])}{more}")
    return tuple(notes)


def _run(directory: Path, tables: Collection[str], *, named: bool) -> Run | None:
    """A run; None for one that was found, not `named`, and has just been begun or is just being removed."""
    try:
        run = Run.read(directory, tables)
    except NothingYet:
        if named:
            raise
        return None
    return run if named or run.begun else None


def _frame(runs: Sequence[Run], table: str) -> pd.DataFrame:
    """A table of all runs below each other, with their arm and seed."""
    rows = [run.rows(table) for run in runs]
    columns = {
        "arm": pd.array(np.repeat(np.array([run.arm for run in runs], dtype=object), rows), dtype="str"),
        "seed": np.repeat(np.array([run.seed for run in runs], dtype=np.int64), rows),
    }
    for name in dict.fromkeys(name for run in runs for name in run.tables[table]):
        gap = {True: None, False: np.nan}
        parts = [run.tables[table].get(name) for run in runs]
        text = any(part is not None and part.dtype == object for part in parts)
        filled = [np.full(n, gap[text]) if part is None else part for part, n in zip(parts, rows, strict=True)]
        columns[name] = pd.array(np.concatenate(filled), dtype="str") if text else np.concatenate(filled)
    return pd.DataFrame(columns, copy=False)


def _axes(points: Sequence[Sequence[Coordinate]], taken: set[str]) -> dict[str, tuple[pd.Series, str]]:
    """The columns of a grid, by name: a value for each point, and their unit."""
    keys = dict.fromkeys(coordinate.key for point in points for coordinate in point)
    columns = {}
    for key in keys:
        own = [next((one for one in point if one.key == key), None) for point in points]
        there = [one for one in own if one is not None]
        numbers = all(one.value is not None for one in there)
        values = pd.Series(
            [None if one is None else one.value if numbers else one.text for one in own],
            dtype="float64" if numbers else "str",
        )
        unit = there[0].unit if numbers else ""
        columns[f"scenario.{key}" if key in taken else key] = (values, unit)
    return columns


def _run_directories(path: Path) -> list[Path]:
    # A folder whose name happens to hold a bracket is that folder, not a pattern.
    pattern = not path.is_dir() and glob.has_magic(str(path))
    if pattern:
        matches = sorted(glob.glob(str(path), recursive=True))
        roots = [Path(match) for match in matches if Path(match).is_dir()]
    elif path.is_dir():
        roots = [path]
    else:
        raise TraceError(f"{path}: no such directory{_nearest(path)}; {_WANTED}")
    found = {directory.resolve(): directory for root in roots for directory in _runs_in(root)}
    if not found:
        what = f"{len(roots)} directories match, none is or holds a run" if pattern else "no run in it"
        raise TraceError(f"{path}: {what}; {_WANTED}")
    return list(found.values())


_WANTED = (
    f"looked for a run (a directory with {TRACE_FILE}), a study (a directory of runs, such as "
    "runs/quickstart) or a pattern that matches some"
)


def _runs_in(root: Path) -> Iterator[Path]:
    if (root / TRACE_FILE).is_file():
        yield root
    else:
        yield from sorted(child for child in root.iterdir() if (child / TRACE_FILE).is_file())


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    from wfl_sim.diagnose import nearest  # loads pydantic, which nothing else here needs

    near = nearest(path.name, [child.name for child in path.parent.iterdir() if child.is_dir()], longest=None)
    return f" (nearest: {path.parent / near})" if near else ""
