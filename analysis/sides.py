"""What is compared with what: arms of two runs, studies or patterns, and the seeds that both ran.

Knows names and the state of runs; does not know any number of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from analysis.traces import Traces, load
from wfl_sim.diagnose import nearest
from wfl_sim.errors import WflError

_TABLES = ("rounds", "transmissions", "groups")


class CompareError(WflError):
    """What is to be compared is not there, not finished, or cannot be compared."""

    exit_code = 2


class Side(NamedTuple):
    """What stands left or right in a comparison: as it was written, its traces, and whether it names an arm."""

    text: str
    traces: Traces
    named: Literal["", "arm", "group"]


def side_of(text: str) -> Side:
    """What an argument means: a path as `load` takes it, or one with an arm, or the group of a grid, behind a colon."""
    path, colon, arm = text.rpartition(":")
    if not colon or Path(text).expanduser().exists():
        return Side(text, load(text, tables=_TABLES), "")
    traces = load(path, tables=_TABLES)
    groups = list(traces.cells["group"].unique())
    if arm not in traces.arms and arm not in groups:
        names = list(dict.fromkeys([*traces.arms, *groups]))
        near = nearest(arm, names)
        hint = f"; did you mean {near!r}?" if near else ""
        raise CompareError(f"{path}: no arm {arm!r}{hint}; there are: {', '.join(names)}")
    named: Literal["arm", "group"] = "arm" if arm in traces.arms else "group"
    cells = traces.cells[traces.cells[named] == arm]
    rounds = traces.rounds[traces.rounds["arm"].isin(cells["arm"])]
    return Side(text, replace(traces, cells=cells, rounds=rounds), named)


def matched(a: Side, b: Side) -> tuple[list[tuple[str, str]], list[str]]:
    """Which arm is compared with which, and the arms that are left over."""
    both = a.named and b.named
    if a.named == b.named == "group":
        ours, theirs = _by_point(a.traces), _by_point(b.traces)
    elif both or len(a.traces.arms) == len(b.traces.arms) == 1:
        ours, theirs = ({"": side.traces.arms[0]} if len(side.traces.arms) == 1 else {} for side in (a, b))
    else:
        ours, theirs = ({arm: arm for arm in side.traces.arms} for side in (a, b))
    pairs = [(ours[key], theirs[key]) for key in ours if key in theirs]
    if not pairs:
        arms = " and ".join(f"{side.text} ({', '.join(side.traces.arms)})" for side in (a, b))
        raise CompareError(f"no arm of one fits one of the other: {arms}; name one arm of each, as STUDY:ARM")
    notes = []
    for side, own, other in ((a, ours, theirs), (b, theirs, ours)):
        alone = [arm for key, arm in own.items() if key not in other]
        if alone and not (a.named or b.named):  # who names an arm does not ask for the others
            notes.append(f"only in {side.text}: {', '.join(alone)}")
    return pairs, notes


def _by_point(traces: Traces) -> dict[str, str]:
    """The arms of a group of a grid, by their point."""
    points = traces.cells.drop_duplicates("arm").set_index("arm")[list(traces.axes)]
    return {
        repr([(axis, str(row[axis])) for axis in traces.axes if pd.notna(row[axis])]): str(arm)
        for arm, row in points.iterrows()
    }


def unfinished(side: Side, arms: Sequence[str], allowed: bool) -> list[str]:
    """A line for each run of these arms that has not finished; raises `CompareError` if that is not allowed."""
    cells = side.traces.cells
    open_ = cells[(cells["status"] != "finished") & cells["arm"].isin(arms)]
    told = [f"{row.directory} ({row.status}, {row.rounds} rounds)" for row in open_.itertuples()]
    if told and not allowed:
        more = f" and {len(told) - 1} more" if len(told) > 1 else ""
        raise CompareError(
            f"{side.text}: {told[0]}{more} not finished; run the scenario again to continue, or pass --unfinished"
        )
    return [f"not finished: {one}" for one in told]


def mixed(side: Side, arms: Sequence[str]) -> list[str]:
    """A line for each of these arms whose runs differ in more than the seed."""
    return [note for note in side.traces.notes if note.startswith(tuple(f"{arm}: " for arm in arms))]


def common_seeds(sides: tuple[Side, Side], arms: tuple[str, str]) -> tuple[list[int], list[str]]:
    """The seeds that both arms ran, and a line for those that only one did."""
    ours, theirs = (side.traces.seeds(arm) for side, arm in zip(sides, arms, strict=True))
    notes = []
    for side, arm, alone in zip(sides, arms, (set(ours) - set(theirs), set(theirs) - set(ours)), strict=True):
        if alone:
            notes.append(f"{arm}: seed {', '.join(map(str, sorted(alone)))} only in {side.text}")
    return [seed for seed in ours if seed in theirs], notes
