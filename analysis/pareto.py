"""Trade-offs as a whole: the arms that no other beats, and the area under a curve of quality over a cost.

Pure functions of tables and `Traces`; does not know how either is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from analysis.traces import Traces
from analysis.tradeoff import cell_rounds, check_quantity, evaluations
from wfl_sim.quality import QUALITIES


def pareto_front(
    table: pd.DataFrame, cost: Hashable, quality: Hashable, better: Literal["higher", "lower"] | None = None
) -> pd.DataFrame:
    """The rows that no other beats: none costs as little or less and is as good or better, and in one of both truly so.

    Parameters
    ----------
    table
        Such as `tradeoff.summary` or `tradeoff.summary_by_arm`.
    cost
        The column to be low, such as ``"uplink_mbit"``, or ``("uplink_mbit", "mean")`` of means over seeds.
    quality
        The column to be good.
    better
        Whether ``higher`` or ``lower`` quality is; by default what the measure of that name says, otherwise higher.

    Returns
    -------
    DataFrame
        Rows of `table` with their index, by rising cost (rows with equal cost and quality all stay, in their order).
        A row in which one of both is NaN is on no front and beats nobody.

    Raises
    ------
    ValueError
        There is no such column.
    """
    for column in (cost, quality):
        if column not in table.columns:
            raise ValueError(f"no column {column!r}; there are: {', '.join(map(str, table.columns))}")
    if better is None:
        known = QUALITIES.get(str(quality[0] if isinstance(quality, tuple) else quality))
        better = "lower" if known is not None and known.better == "lower" else "higher"
    costs = table[cost].to_numpy(dtype=float)
    goods = table[quality].to_numpy(dtype=float) * (1.0 if better == "higher" else -1.0)
    kept: list[int] = []
    order = np.lexsort((-goods, costs))  # cheapest first, among those the best first; stable
    for row in order[~np.isnan(costs[order]) & ~np.isnan(goods[order])]:
        if not kept or goods[row] > goods[kept[-1]] or (costs[row], goods[row]) == (costs[kept[-1]], goods[kept[-1]]):
            kept.append(int(row))
    return table.iloc[kept]


def area_under(traces: Traces, quantity: str, up_to: float | None = None) -> pd.DataFrame:
    """Mean quality of each cell over a range of a cost: the area under its curve, divided by the width of the range.

    The range is the same for all cells. It begins where the last of them was first evaluated: what a model is worth
    before that nobody has measured, and nothing is made up for it. It ends at `up_to`, by default at the smallest cost
    at which a cell was last evaluated. Between evaluations quality goes in straight lines, as in `tradeoff.curves`; a
    run that ended before `up_to` keeps the model that it had.

    Parameters
    ----------
    traces
    quantity
        ``uplink_bits`` (bit), ``t_end_s`` (s) or ``energy_j`` (J).
    up_to
        End of the range, in the unit of `quantity`.

    Returns
    -------
    DataFrame
        ``arm, seed, area, start, end``: ``area`` in the unit of the quality (accuracy: higher is better, perplexity:
        lower is), the range in that of `quantity`. NaN for cells that were never evaluated, which leave the range of
        the others as it is, and for all if the range is empty.
    """
    check_quantity(quantity)
    quality = traces.quality
    cells = list(zip(traces.cells["arm"], traces.cells["seed"], strict=True))
    lines = [evaluations(cell_rounds(traces, str(arm), int(seed)), quantity, quality) for arm, seed in cells]
    start, end = common_range(lines, up_to)
    rows = [
        {"arm": arm, "seed": seed, "area": mean_quality(line, start, end), "start": start, "end": end}
        for (arm, seed), line in zip(cells, lines, strict=True)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "area", "start", "end"])


def common_range(lines: Sequence[np.ndarray], up_to: float | None = None) -> tuple[float, float]:
    """Where all of some curves [points, 2] are known; NaN if none has a point."""
    known = [line for line in lines if len(line)]
    if not known:
        return math.nan, math.nan
    end = min(line[-1, 0] for line in known) if up_to is None else up_to
    return float(max(line[0, 0] for line in known)), float(end)


def mean_quality(line: np.ndarray, start: float, end: float) -> float:
    """Mean of a curve [points, 2] of cost and quality from one cost to another; after its end the last value holds."""
    if not len(line) or not start < end:
        return math.nan
    costs, values = line[:, 0], line[:, 1]
    inside = (costs > start) & (costs < end)
    points = np.concatenate([[start], costs[inside], [end]])
    with np.errstate(invalid="ignore"):
        heights = np.concatenate([[np.interp(start, costs, values)], values[inside], [np.interp(end, costs, values)]])
    if not np.isfinite(heights).all():
        return math.inf  # the perplexity of a model that has diverged
    return float(np.trapezoid(heights, points) / (end - start))
