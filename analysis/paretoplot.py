"""Quality at the end against all that it cost: a point an arm, and those that no other arm beats in both.

Draws `tradeoff.summary` and `pareto.pareto_front`; does not know how an arm came to its costs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import grid
from analysis import tradeoff as costs
from analysis.curveplot import (
    LOG_FROM_RATIO,
    cost_unit,
    legend_below,
    logarithmic,
    nothing_learnt,
    quality_label,
    quality_scale,
)
from analysis.house import MOST_ARMS, WIDTH_IN, arm_lines, below, in_house_style
from analysis.pareto import pareto_front
from analysis.traces import TraceError, Traces
from wfl_sim.quality import PERPLEXITY

FRONT = "0.35"
MOST_NAMED = 8
"""Points on a front that have their name beside them; of more, every second or third."""
COLUMNS = {"uplink_bits": ("uplink_mbit", costs.BITS_PER_MBIT), "t_end_s": ("time_s", 1.0)}
"""Where `tradeoff.summary` holds a cost, and how many of its units that is."""


@in_house_style
def pareto(traces: Traces) -> Figure:
    """Quality at the end against all bits sent (left) and all simulated time (right): a point an arm.

    A point is the mean over the seeds, its cross spans the lowest to the highest. Ringed points, joined by a line, are
    those that no other arm beats in quality and cost at once. Arms of a grid have the colour of their group, and those
    on a front their point beside them.

    Raises
    ------
    TraceError
        If nothing was learnt.
    """
    if not traces.learns:
        raise TraceError(f"{nothing_learnt(traces)}; there is no front")
    table = costs.summary(traces)
    figure = Figure(figsize=(WIDTH_IN, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, x in ((left, "uplink_bits"), (right, "t_end_s")):
        _draw_points(axes, traces, table, x)
    values = table[traces.quality.metric]
    finite = values[np.isfinite(values)]
    if traces.quality == PERPLEXITY and finite.max() > LOG_FROM_RATIO * finite.min():
        logarithmic(left, "y")
    left.set_ylabel(quality_label(traces, left))
    handles, labels, note = _names(traces)
    handles.append(Line2D([], [], marker="o", ms=11, markerfacecolor="none", color=FRONT, ls=":", lw=1.5))
    labels.append("not beaten in both")
    most = int(traces.cells.groupby("arm").size().max())
    title = f"mean of {most} seeds; the cross spans the lowest to the highest" if most > 1 else "one seed"
    legend_below(figure, handles, labels, title)
    figure.suptitle(f"{traces.quality.metric.capitalize()} at the end, and all that it cost{below(note)}")
    return figure


def _draw_points(axes: Axes, traces: Traces, table: pd.DataFrame, x: str) -> None:
    by, looks, places = quality_scale(traces.quality)[0], arm_lines(traces), grid.places(traces)
    column, factor = COLUMNS[x]
    scale, label = cost_unit(x, float((table[column] * factor).max()))
    points = pd.DataFrame(
        {"arm": table["arm"], "cost": table[column] * factor / scale, "quality": by * table[traces.quality.metric]}
    )
    points = points[np.isfinite(points["quality"])]
    arms = points.groupby("arm", sort=False)
    means, low, high = arms.mean(), arms.min(), arms.max()
    faint = 0.5 if len(means) <= MOST_ARMS else 0.25
    for arm, (cost, quality) in means.iterrows():
        line = {"color": looks[str(arm)]["color"], "alpha": faint, "lw": 1.4}
        axes.hlines(quality, low.loc[arm, "cost"], high.loc[arm, "cost"], **line)
        axes.vlines(cost, low.loc[arm, "quality"], high.loc[arm, "quality"], **line)
        axes.plot(cost, quality, **looks[str(arm)] | {"linestyle": "", "markersize": 8}, zorder=3)
    front = pareto_front(means, "cost", "quality", "lower" if traces.quality.better == "lower" else "higher")
    axes.plot(front["cost"], front["quality"], color=FRONT, ls=":", lw=1.5, zorder=2, drawstyle="steps-post")
    axes.plot(front["cost"], front["quality"], ls="", marker="o", ms=13, markerfacecolor="none", color=FRONT, zorder=2)
    if means["cost"].max() > LOG_FROM_RATIO * means["cost"].min() > 0:
        logarithmic(axes, "x")
        label += " (logarithmic)"
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel(label)
    if len(grid.groups(traces)) < len(places):
        _name_front(axes, front, {arm: place.point for arm, place in places.items()})


def _name_front(axes: Axes, front: pd.DataFrame, words: Mapping[str, str]) -> None:
    """The point of the grid beside each arm on the front, towards the middle; of arms in one place, how many."""
    spots: dict[tuple[float, float], list[str]] = {}
    for arm, cost, quality in front.itertuples():
        spots.setdefault((round(cost, 6), round(quality, 6)), []).append(str(arm))
    middle = float(np.mean(axes.transData.inverted().transform(axes.transAxes.transform([(0.5, 0.5)]))[:, 0]))
    for (cost, quality), arms in list(spots.items())[:: max(1, -(-len(spots) // MOST_NAMED))]:
        text = words[arms[0]].replace(", ", ",\n") if len(arms) == 1 else f"{len(arms)} points"
        left = cost > middle
        axes.annotate(
            text, (cost, quality), (-9 if left else 9, -7), textcoords="offset points", va="top",
            ha="right" if left else "left", fontsize=9, color="0.2", zorder=5,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
        )  # fmt: skip


def _names(traces: Traces) -> tuple[list[Line2D], list[str], str]:
    """What a colour and a marker stand for: groups where there are several arms of each, arms otherwise."""
    looks, places, groups = arm_lines(traces), grid.places(traces), grid.groups(traces)
    by_group = 1 < len(groups) < len(places)
    named = {places[arm].group if by_group else arm: look for arm, look in looks.items()}
    few = dict(list(named.items())[:MOST_ARMS])
    note = f"the first {len(few)} of {len(named)} names are below" if len(few) < len(named) else ""
    return [Line2D([], [], **look | {"linestyle": ""}) for look in few.values()], list(few), note
