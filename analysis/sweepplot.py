"""The picture of a grid: quality and its cost, or what the air carried, against an axis of the grid; a line a group.

Draws the numbers of `tradeoff.summary` and `uploads.air_summary`; does not know runs, nor how a grid was made.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from analysis import grid
from analysis import tradeoff as costs
from analysis.curveplot import LOG_FROM_RATIO, arm_legend, cost_unit, logarithmic, quality_scale
from analysis.house import WIDTH_IN, below, group_line, in_house_style
from analysis.traces import TraceError, Traces
from analysis.uploads import air_summary

MOST_ROWS = 4
"""Values of the other axes with a row of panels each; of more, so many at even distances."""
MOST_TICKS = 8
HEADROOM = 1.25
"""How much higher than its largest value a panel is that has crosses."""
MOST_GROUPS = 14
"""Lines in a panel; of more groups the first ones are drawn, and the title says so."""


class Measure(NamedTuple):
    """One column of panels: what its axis and a cross say, the values by (arm, seed), and whether it begins at 0."""

    label: str
    values: pd.Series
    missing: str
    from_zero: bool = True


@in_house_style
def sweep(traces: Traces) -> Figure:
    """What the axes of a grid do: a line a group, bands over seeds, the axis with the most numbers to the right.

    With learning: quality at the end, and time and bits to a target (or in all, where no target was reached). Without:
    participation, goodput and the time of an upload. Every value of the other axes has a row of panels; of more than
    4, some are drawn, and the title says so. A cross is a point at which some seed has no value: it never reached the
    target, has diverged, or delivered nothing; the legend says which.

    Raises
    ------
    TraceError
        If the study has no grid, or no finished round.
    """
    keys = grid.axes(traces)
    if not keys:
        raise TraceError("these runs are no points of a grid (grid: in the scenario); there is nothing to sweep")
    if traces.rounds.empty:
        raise TraceError("no round has been finished yet; there is nothing to draw")
    along = main_axis(traces)
    measures = measures_of(traces)
    cells = traces.cells.set_index(["arm", "seed"])
    others = [key for key in keys if key != along]
    rest = grid.in_words(traces, others)
    every = list(dict.fromkeys(rest.values()))
    rows, groups = grid.evenly(every, MOST_ROWS), grid.groups(traces)
    notes = [f"{len(rows)} of the {len(every)} values of {', '.join(others)}"] if len(rows) < len(every) else []
    if len(groups) > MOST_GROUPS:
        notes.append(f"the first {MOST_GROUPS} of {len(groups)} groups")

    figure = Figure(figsize=(WIDTH_IN, 1.9 + 2.4 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(measures), sharex=True, sharey="col", squeeze=False)
    place, label = _places(traces, along, panels[0, 0])
    for row, words in enumerate(rows):
        here = [arm for arm, word in rest.items() if word == words]
        for axes, measure in zip(panels[row], measures, strict=True):
            for group in groups[:MOST_GROUPS]:
                own = cells[(cells["group"] == group) & cells.index.get_level_values("arm").isin(here)]
                table = pd.DataFrame({"x": own[along].map(place), "value": measure.values.reindex(own.index)})
                _draw_line(axes, table.dropna(subset="x"), traces, group)
        panels[row, 0].set_title(words, fontsize=11)
    for column, measure in enumerate(measures):
        _finish(panels[len(rows) // 2, column], panels[0, column], measure)
    panels[-1, len(measures) // 2].set_xlabel(label)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    crossed = dict.fromkeys(measure.missing for measure in measures if not np.isfinite(measure.values).all())
    if crossed:
        handles.append(Line2D([], [], marker="x", color="0.35", ls="", markeredgewidth=2))
        labels.append(", or ".join(crossed))
    arm_legend(figure, handles, labels, traces)
    figure.suptitle(f"What {along} does{below(*notes)}")
    return figure


def main_axis(traces: Traces) -> str:
    """The axis to the right: of those that hold numbers, or else of all, the first one with the most values."""
    keys = grid.axes(traces)
    numeric = [key for key in keys if grid.is_numeric(traces.cells[key].dropna())]
    return max(numeric or keys, key=lambda key: traces.cells[key].nunique())


def measures_of(traces: Traces) -> list[Measure]:
    """What is drawn of a study, by (arm, seed)."""
    if not traces.learns:
        air = air_summary(traces).set_index(["arm", "seed"])
        none = "nothing delivered in some seed"
        scale, unit = grid.scale_of("bit/s", 1e6 * float(air["goodput_mbps"].max()))
        return [
            Measure("updates delivered\na client and round, %", 100 * air["participation"], none),
            Measure(f"goodput of the uplink, {unit}", 1e6 * air["goodput_mbps"] / scale, none),
            Measure("time of a delivered upload, s", air["upload_mean_s"], none),
        ]
    table, quality = costs.summary(traces).set_index(["arm", "seed"]), traces.quality
    by, unit = quality_scale(quality)
    lower = ", lower is better" if quality.better == "lower" else ""
    label = f"{quality.metric} at the end{', %' if unit else lower}"
    none = f"no finite {quality.metric} in some seed"
    measures = [Measure(label, by * table[quality.metric], none, from_zero=False)]
    target = _target(traces, table)
    missing = "no round in some seed" if target is None else "target not reached by every seed"
    to = "" if target is None else f" to {by * target:g}{unit} {quality.metric}"
    time_s = table["time_s" if target is None else f"time_to_{target:g}_s"]
    bits = costs.BITS_PER_MBIT * table["uplink_mbit" if target is None else f"uplink_to_{target:g}_mbit"]
    for x, values in (("t_end_s", time_s), ("uplink_bits", bits)):
        scale, said = cost_unit(x, float(values.max()))
        what = "time" if x == "t_end_s" else "uplink"
        measures.append(Measure(f"{what}{to or ' in all'}, {said.rpartition(', ')[2]}", values / scale, missing))
    return measures


def _target(traces: Traces, table: pd.DataFrame) -> float | None:
    """The highest target that half of the runs reached, or else the lowest that any did."""
    reached = {target: float(table[f"time_to_{target:g}_s"].notna().mean()) for target in costs.targets_of(traces)}
    half = [target for target, share in reached.items() if share >= 0.5]
    some = [target for target, share in reached.items() if share > 0]
    best, easiest = (max, min) if traces.quality.better == "higher" else (min, max)
    return best(half) if half else easiest(some, default=None)


def _places(traces: Traces, key: str, axes: Axes) -> tuple[dict[object, float], str]:
    """Where each value of an axis stands, and what the axis says; sets its scale and ticks."""
    values = list(dict.fromkeys(traces.cells[key].dropna()))
    if not grid.is_numeric(traces.cells[key].dropna()):
        axes.set_xticks(range(len(values)), [str(value) for value in values], rotation=20 if len(values) > 4 else 0)
        axes.set_xlim(-0.4, len(values) - 0.6)
        return {value: float(place) for place, value in enumerate(values)}, key
    numbers = sorted(float(value) for value in values)
    scale, unit = grid.scale_of(traces.units.get(("cells", key), ""), max(map(abs, numbers)))
    label = f"{key}, {unit}"
    if numbers[0] > 0 and numbers[-1] > LOG_FROM_RATIO * numbers[0]:
        logarithmic(axes, "x")
        label += " (logarithmic)"
    if len(numbers) <= MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator([number / scale for number in numbers]))
        axes.xaxis.set_major_formatter(FixedFormatter([f"{number / scale:g}" for number in numbers]))
        axes.xaxis.set_minor_locator(NullLocator())
    return {value: float(value) / scale for value in values}, label


def _draw_line(axes: Axes, table: pd.DataFrame, traces: Traces, group: str) -> None:
    look = group_line(traces, group)
    seeds = table.groupby("x")["value"]
    drawn = pd.DataFrame(
        {"mean": seeds.agg(lambda own: own.mean(skipna=False)), "low": seeds.min(), "high": seeds.max()}
    ).replace([np.inf, -np.inf], np.nan)  # a perplexity of a model that has diverged has no place
    there = drawn["mean"].notna()
    low, high = drawn["low"].where(there), drawn["high"].where(there)
    axes.fill_between(drawn.index, low, high, color=look["color"], alpha=0.15, lw=0)
    axes.plot(drawn.index, drawn["mean"], label=group, **look)
    missing = drawn.index[~there]
    # In the room that `_finish` leaves above the lines; those of several groups below each other.
    row = 0.97 - 0.05 * (grid.groups(traces).index(group) % 4)
    axes.plot(
        missing, np.full(len(missing), row), transform=axes.get_xaxis_transform(), marker="x", ls="", ms=7, mew=2,
        color=look["color"], zorder=4,
    )  # fmt: skip


def _finish(labelled: Axes, first: Axes, measure: Measure) -> None:
    finite = measure.values[np.isfinite(measure.values)]
    if not measure.from_zero and len(finite) and "%" not in measure.label:
        if float(finite.max()) > LOG_FROM_RATIO * float(finite.min()) > 0:
            logarithmic(first, "y")
            measure = measure._replace(label=f"{measure.label} (logarithmic)")
    elif measure.from_zero and len(finite):
        first.set_ylim(0, HEADROOM * float(finite.max()) if measure.values.isna().any() and finite.max() > 0 else None)
    labelled.set_ylabel(measure.label)
