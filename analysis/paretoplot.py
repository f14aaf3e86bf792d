"""Quality at the end against all that it cost: a point an arm, and those that no other arm beats in both.

Draws `tradeoff.summary` and `pareto.pareto_front`; does not know how an arm came to its costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

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
MOST_GONE = 4
"""Arms without a point that the title names."""
MOST_NAMED = 8
"""Points on a front that have their name beside them; of more, every second or third."""
PLACES_PT = (
    *((9, -7), (-9, -7), (9, 7), (-9, 7), (0, -12), (0, 12)),
    *((9, -20), (-9, -20), (9, 20), (-9, 20), (0, -26), (0, 26), (26, 0), (-26, 0)),
)
"""Where a name may stand, from the middle of its point, the best place first."""
MARKER_PT, LINE_PT = 14.0, 1.4
COVERED_MARKER, COVERED_LINE, OUTSIDE = 4.0, 1.0, 8.0
"""How bad it is when a name covers so much of a marker or a name, of a line, or hangs out of its panel."""
COLUMNS = {"uplink_bits": ("uplink_mbit", costs.BITS_PER_MBIT), "t_end_s": ("time_s", 1.0)}
"""Where `tradeoff.summary` holds a cost, and how many of its units that is."""


@in_house_style
def pareto(traces: Traces) -> Figure:
    """Quality at the end against all bits sent (left) and all simulated time (right): a point an arm.

    A point is the mean over the seeds, its cross spans the lowest to the highest. Ringed points, joined by a line, are
    those that no other arm beats in quality and cost at once. Arms of a grid have the colour of their group, and those
    on a front their point beside them. An arm of which a seed has diverged has no mean and no point; the title says so.

    Raises
    ------
    TraceError
        If nothing was learnt.
    """
    if not traces.learns:
        raise TraceError(f"{nothing_learnt(traces)}; there is no front")
    begun = traces.cells.loc[traces.cells["rounds"] > 0, ["arm", "seed"]]
    table = costs.summary(traces).merge(begun)
    figure = Figure(figsize=(WIDTH_IN, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    fronts = [_draw_points(axes, traces, table, x) for axes, x in ((left, "uplink_bits"), (right, "t_end_s"))]
    values = fronts[0].means["quality"]
    if traces.quality == PERPLEXITY and values.max() > LOG_FROM_RATIO * values.min():
        logarithmic(left, "y")
    left.set_ylabel(quality_label(traces, left))
    handles, labels, note = _names(traces)
    handles.append(Line2D([], [], marker="o", ms=11, markerfacecolor="none", color=FRONT, ls=":", lw=1.5))
    labels.append("not beaten in both")
    most = int(begun.groupby("arm").size().max())
    title = f"mean of {most} seeds; the cross spans the lowest to the highest" if most > 1 else "one seed"
    legend_below(figure, handles, labels, title)
    gone = [str(arm) for arm in table["arm"].unique() if arm not in values.index]
    more = f" and {len(gone) - MOST_GONE} more" if len(gone) > MOST_GONE else ""
    without = f"no finite {traces.quality.metric} in some seed: {', '.join(gone[:MOST_GONE])}{more}" if gone else ""
    figure.suptitle(
        f"{traces.quality.metric.capitalize()} at the end (median of 3 rounds), and what it cost{below(without, note)}"
    )
    places = grid.places(traces)
    if len(grid.groups(traces)) < len(places):
        figure.draw_without_rendering()  # only then it is known where the points are
        for axes, points in zip((left, right), fronts, strict=True):
            _name_front(axes, points, {arm: place.point for arm, place in places.items()})
    return figure


class _Points(NamedTuple):
    """What is drawn of each arm, by arm: mean, lowest and highest ``cost`` and ``quality``; and those on the front."""

    means: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame
    front: pd.DataFrame


def _draw_points(axes: Axes, traces: Traces, table: pd.DataFrame, x: str) -> _Points:
    by, looks = quality_scale(traces.quality)[0], arm_lines(traces)
    column, factor = COLUMNS[x]
    scale, label = cost_unit(x, float((table[column] * factor).max()))
    points = pd.DataFrame(
        {"arm": table["arm"], "cost": table[column] * factor / scale, "quality": by * table[traces.quality.metric]}
    )
    # Not a mean of the seeds that did well: one that has diverged takes its arm out.
    finite = points.groupby("arm")["quality"].transform(lambda own: np.isfinite(own).all())
    arms = points[finite].groupby("arm", sort=False)
    means, low, high = arms.mean(), arms.min(), arms.max()
    faint = 0.5 if len(means) <= MOST_ARMS else 0.25
    for arm, (cost, quality) in means.iterrows():
        line = {"color": looks[str(arm)]["color"], "alpha": faint, "lw": 1.4}
        axes.hlines(quality, low.loc[str(arm), "cost"], high.loc[str(arm), "cost"], **line)
        axes.vlines(cost, low.loc[str(arm), "quality"], high.loc[str(arm), "quality"], **line)
        axes.plot(cost, quality, **looks[str(arm)] | {"linestyle": "", "markersize": 8}, zorder=3, clip_on=False)
    front = pareto_front(means, "cost", "quality", "lower" if traces.quality.better == "lower" else "higher")
    axes.plot(front["cost"], front["quality"], color=FRONT, ls=":", lw=1.5, zorder=2, drawstyle="steps-post")
    axes.plot(
        front["cost"],
        front["quality"],
        ls="",
        marker="o",
        ms=13,
        markerfacecolor="none",
        color=FRONT,
        zorder=2,
        clip_on=False,
    )
    if means["cost"].max() > LOG_FROM_RATIO * means["cost"].min() > 0:
        logarithmic(axes, "x")
        label += " (logarithmic)"
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel(label)
    return _Points(means, low, high, front)


def _name_front(axes: Axes, points: _Points, words: Mapping[str, str]) -> None:
    """The point of the grid beside each arm on the front, where it covers least; of arms in one place, how many."""
    spots: dict[tuple[float, float], list[str]] = {}
    for arm, cost, quality in points.front.itertuples():
        spots.setdefault((round(cost, 6), round(quality, 6)), []).append(str(arm))
    panel, taken = axes.get_window_extent(), _drawn(axes, points)
    for (cost, quality), arms in list(spots.items())[:: max(1, -(-len(spots) // MOST_NAMED))]:
        text = words[arms[0]].replace(", ", ",\n") if len(arms) == 1 else f"{len(arms)} points"
        name = axes.annotate(
            text, (cost, quality), PLACES_PT[0], textcoords="offset points", fontsize=9, color="0.2", zorder=5,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
        )  # fmt: skip
        name.set_in_layout(False)
        badness = []
        for place in PLACES_PT:
            _move(name, place)
            badness.append(_covered(name.get_window_extent(), panel, taken))
        _move(name, PLACES_PT[int(np.argmin(badness))])
        taken.append((name.get_window_extent(), COVERED_MARKER))


def _drawn(axes: Axes, points: _Points) -> list[tuple[Bbox, float]]:
    """Where markers and crosses are in a panel, in pixels, and how bad it is to cover them."""
    at_px, px = axes.transData.transform, axes.get_figure(root=True).dpi / 72
    boxes = []
    for arm, *spot in points.means[["cost", "quality"]].itertuples():
        (low_x, low_y), (high_x, high_y) = (
            at_px(edge.loc[arm, ["cost", "quality"]]) for edge in (points.low, points.high)
        )
        x, y = at_px(spot)
        boxes += [
            (Bbox.from_bounds(x, y, 0, 0).padded(MARKER_PT * px / 2), COVERED_MARKER),
            (Bbox.from_extents(low_x, y, high_x, y).padded(LINE_PT * px / 2), COVERED_LINE),
            (Bbox.from_extents(x, low_y, x, high_y).padded(LINE_PT * px / 2), COVERED_LINE),
        ]
    return boxes


def _move(name: Annotation, place_pt: tuple[int, int]) -> None:
    across, up = place_pt
    name.set_position(place_pt)
    name.set_horizontalalignment("center" if across == 0 else "left" if across > 0 else "right")
    name.set_verticalalignment("center" if up == 0 else "bottom" if up > 0 else "top")


def _covered(name: Bbox, panel: Bbox, taken: Sequence[tuple[Bbox, float]]) -> float:
    """How bad a place is: pixels of what it covers, each as bad as it is to cover that."""
    inside = _shared(name, panel)
    return OUTSIDE * (name.width * name.height - inside) + sum(bad * _shared(name, box) for box, bad in taken)


def _shared(a: Bbox, b: Bbox) -> float:
    both = Bbox.intersection(a, b)
    return 0.0 if both is None else float(both.width * both.height)


def _names(traces: Traces) -> tuple[list[Line2D], list[str], str]:
    """What a colour and a marker stand for: groups where there are several arms of each, arms otherwise."""
    looks, places, groups = arm_lines(traces), grid.places(traces), grid.groups(traces)
    by_group = 1 < len(groups) < len(places)
    named = {places[arm].group if by_group else arm: look for arm, look in looks.items()}
    few = dict(list(named.items())[:MOST_ARMS])
    note = f"the first {len(few)} of {len(named)} names are below" if len(few) < len(named) else ""
    return [Line2D([], [], **look | {"linestyle": ""}) for look in few.values()], list(few), note
