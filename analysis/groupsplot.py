"""The picture of groups of clients: what each reached in its own task over rounds and over simulated time.

Draws `tradeoff.curves` of `clientgroups.of_group`; does not know files, nor what a group is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis import tradeoff as costs
from analysis.clientgroups import groups_of, of_group
from analysis.curveplot import LOG_FROM_RATIO, arm_legend, cost_unit, logarithmic, quality_scale
from analysis.house import WIDTH_IN, arm_lines, below, chosen, in_house_style
from analysis.traces import TraceError, Traces
from wfl_sim.quality import PERPLEXITY

MOST_GROUPS = 5
"""Panels of a picture; of more groups, the first ones."""
ROW_IN = 3.2
_MARKS = 6  # of a line


@in_house_style
def client_groups(traces: Traces) -> Figure:
    """Quality of each group of clients (`learning.groups`) in its own task, a panel a group and a line an arm.

    Above over rounds, below over simulated time. A line is the mean over the seeds, its band spans the lowest to the
    highest. Tasks differ in how hard they are, so each group has an axis of its own.

    Raises
    ------
    TraceError
        If no run has groups.
    """
    groups = groups_of(traces)
    if not groups:
        raise TraceError("these runs have no groups of clients; there is nothing to draw")
    shown, (arms, note) = groups[:MOST_GROUPS], chosen(traces)
    notes = [note, "" if shown == groups else f"the first {len(shown)} of {len(groups)} groups of clients"]
    width_in = WIDTH_IN if len(shown) > 1 else 0.75 * WIDTH_IN
    figure = Figure(figsize=(width_in, 1.6 + 2 * ROW_IN), layout="constrained")
    rows = figure.subplots(2, len(shown), sharex="row", sharey="col", squeeze=False)
    for column, group in zip(rows.T, shown, strict=True):
        for axes, x in zip(column, (costs.ROUND, "t_end_s"), strict=True):
            _draw(axes, of_group(traces, group), x, arms)
        column[0].set_title(f"{group.name}\n{group.short}", fontsize=11)
    unit, metric = quality_scale(traces.quality)[1], traces.quality.metric
    for row, x in zip(rows, (costs.ROUND, "t_end_s"), strict=True):
        row[0].set_ylabel(f"{metric} in its own task, %" if unit else f"{metric} ({traces.quality.better} is better)")
        _label_costs(row, traces, x, arms)
    looks = arm_lines(traces)
    arm_legend(figure, [Line2D([], [], **looks[arm]) for arm in arms], arms, traces)
    figure.suptitle("What each group of clients reached, by rounds and by simulated time" + below(*notes))
    return figure


def _draw(axes: Axes, traces: Traces, x: str, arms: Sequence[str]) -> None:
    curves, looks, (by, _) = costs.curves(traces, x), arm_lines(traces), quality_scale(traces.quality)
    curves = curves[np.isfinite(curves["high"])]  # a perplexity of a model that has diverged has no place
    scale = 1.0 if x == costs.ROUND else cost_unit(x, float(traces.rounds[x].max()))[0]
    for arm in arms:
        curve = curves[curves["arm"] == arm]
        if curve.empty:
            continue
        at, every = curve[x] / scale, max(1, len(curve) // _MARKS)
        axes.fill_between(at, by * curve["low"], by * curve["high"], color=looks[arm]["color"], alpha=0.15, lw=0)
        axes.plot(at, by * curve["mean"], label=arm, markevery=every, **looks[arm])
    if traces.quality == PERPLEXITY and curves["high"].max() > LOG_FROM_RATIO * curves["low"].min():
        logarithmic(axes, "y")


def _label_costs(row: Sequence[Axes], traces: Traces, x: str, arms: Sequence[str]) -> None:
    """Ticks and words below a row of panels."""
    middle = row[len(row) // 2]
    if x == costs.ROUND:
        middle.set_xlabel("round, number")
        row[0].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return
    totals = traces.rounds[traces.rounds["arm"].isin(arms)].groupby("arm")[x].max()
    label = cost_unit(x, float(traces.rounds[x].max()))[1]
    if totals.max() > LOG_FROM_RATIO * totals.min() > 0:
        logarithmic(row[0], "x")
        label += " (logarithmic)"
    else:
        row[0].set_xlim(left=0)
        row[0].xaxis.set_major_locator(MaxNLocator(4))
    middle.set_xlabel(label)
