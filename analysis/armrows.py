"""A row an arm: every seed a dot, their mean a bar, and what is missing told in words.

Draws numbers it is given by arm and seed; does not know what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import grid
from analysis.house import arm_lines, said_of
from analysis.traces import Traces

MOST_ROWS = 30
"""Rows in one panel; of more arms, so many at even distances."""
ROW_IN, LEAST_ROW_IN, ALL_ROWS_IN = 0.34, 0.19, 5.0
ROOMY = 14
"""Up to so many rows, names and dots have their full size."""
LONGEST_NAME = 36
BAR_ALPHA = 0.28


def shown_rows(traces: Traces, most: int = MOST_ROWS) -> tuple[list[str], str]:
    """The arms that have a row, and what the title has to say about the others; of a grid those of whole points."""
    arms, groups, points = traces.arms, grid.groups(traces), grid.points(traces)
    if len(arms) <= most:
        return arms, ""
    if len(points) > 1 and len(groups) <= most // 2:
        some = grid.evenly(points, most // len(groups))
        return grid.arms_at(traces, some), said_of(some, points)
    return grid.evenly(arms, most), f"{most} of {len(arms)} arms, at even distances"


def rows_in(arms: Sequence[str], most_in: float = ALL_ROWS_IN) -> float:
    """Height of a panel with these rows, in inches; rows get lower before it passes `most_in`."""
    return len(arms) * max(LEAST_ROW_IN, min(ROW_IN, most_in / len(arms)))


def name_rows(axes: Axes, arms: Sequence[str]) -> None:
    """One row an arm from above, in the order of the study, with its name before it."""
    names = [arm if len(arm) <= LONGEST_NAME else f"{arm[: LONGEST_NAME - 1]}…" for arm in arms]
    axes.set_yticks(range(len(arms)), names, fontsize=10 if len(arms) <= ROOMY else 8)
    axes.set_ylim(len(arms) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")


def draw_rows(axes: Axes, traces: Traces, arms: Sequence[str], values: pd.DataFrame, missing: str) -> None:
    """A dot a seed, and a bar up to their mean where every seed has a value.

    Parameters
    ----------
    axes
    traces
    arms
        Those with a row, from above.
    values : DataFrame
        ``arm, seed, value``; NaN where a seed has none.
    missing
        What is said of seeds without a value, such as ``never``.
    """
    some_missing, looks, size = False, arm_lines(traces), 6.0 if len(arms) <= ROOMY else 4.5
    largest = float(values["value"].max()) if values["value"].notna().any() else 1.0
    for row, arm in enumerate(arms):
        own = values.loc[values["arm"] == arm, "value"].to_numpy(dtype=float)
        there = own[np.isfinite(own)]
        look = looks[arm]
        if len(there) == len(own) > 0:
            axes.barh(row, there.mean(), 0.62, color=look["color"], alpha=BAR_ALPHA, linewidth=0)
            axes.vlines(there.mean(), row - 0.31, row + 0.31, color=look["color"], linewidth=2)
        axes.plot(there, np.full(len(there), row), **look | {"linestyle": "", "markersize": size}, zorder=3)
        if len(there) < len(own):
            some_missing = True
            seeds = f"{len(own) - len(there)} of {len(own)} seeds " if len(own) > 1 else ""
            at = float(there.max()) if len(there) else 0.0
            words: dict[str, Any] = {"va": "center", "color": "0.35", "fontsize": 9}
            axes.annotate(f"{seeds}{missing}", (at, row), (7, 0), textcoords="offset points", **words)
    axes.set_xlim(0, largest * (1.45 if some_missing else 1.06) or 1.0)


def rows_legend(figure: Figure, traces: Traces, complete: str = "") -> None:
    """What a dot and a bar are."""
    seeds = traces.cells.groupby("arm").size().max()
    dot = Line2D([], [], marker="o", ls="", color="0.4", markeredgecolor="white", label="a seed")
    bar = Patch(color="0.4", alpha=BAR_ALPHA, label=f"mean over the seeds{complete}")
    handles = [dot, bar] if seeds > 1 else [Patch(color="0.4", alpha=BAR_ALPHA, label="one seed")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
