"""Quality against what it cost: the trade-off curves of a study, a line an arm, or a panel a point of a large grid.

Draws `tradeoff.curves`; does not know files, nor how a cost came about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from analysis import grid
from analysis import tradeoff as costs
from analysis.house import COLOURS, MOST_ARMS, WIDTH_IN, arm_lines, below, chosen, group_line, in_house_style, said_of
from analysis.traces import TraceError, Traces
from wfl_sim.quality import ACCURACY, PERPLEXITY, Quality

LOG_FROM_RATIO = 8.0
"""Arms whose total costs differ by more than this, and perplexities that do, are drawn over a logarithmic axis."""
MOST_LABELLED = 200.0
"""Of a logarithmic axis: where its ends differ by less, 2 and 5 have labels too."""
LETTERS_PER_IN, KEY_LETTERS = 11, 8
"""How many letters of a legend fit an inch, and how many the line before a name takes up."""
MOST_PANELS = 5
"""Points of a grid with a panel each; of more, so many at even distances."""
TARGET_GAP = 0.06
"""Share of the height of a panel that the words of a target take up, for one row of panels."""

COST_TITLES = {
    "uplink_bits": "what the clients sent",
    "t_end_s": "simulated time",
    "energy_j": "the clients' energy",
}


COST_WORDS = {"uplink_bits": "bits", "t_end_s": "time", "energy_j": "energy"}


class Panel(NamedTuple):
    """The arms that stand in one column of panels, with their looks, and what stands above it."""

    title: str
    lines: Mapping[str, Mapping[str, Any]]


@in_house_style
def accuracy_against(traces: Traces, x: str) -> Figure:
    """Accuracy of each arm, or perplexity, against ``uplink_bits``, ``t_end_s`` or ``energy_j``.

    A line is the mean over the seeds, its band spans the lowest to the highest seed (see `tradeoff.curves`).
    Arms whose total costs differ by more than a factor of 8 are drawn over a logarithmic axis. Of more than 7 arms of a
    grid each point has a panel, where colours are groups; of more than 5 points some are drawn, and the title says so.
    """
    panels, note = panels_of(traces)
    width_in = WIDTH_IN if len(panels) > 1 else 0.75 * WIDTH_IN
    figure = Figure(figsize=(width_in, 5.0), layout="constrained")
    row = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    _draw_row(row, traces, x, panels)
    _finish(figure, [row], traces, panels)
    title = f"{traces.quality.metric.capitalize()} against {COST_TITLES[x]}"
    figure.suptitle(title + below(note))
    return figure


@in_house_style
def tradeoff(traces: Traces, costs: Sequence[str] = ("uplink_bits", "t_end_s")) -> Figure:
    """Accuracy, or perplexity, against uplink bits and against simulated seconds, over one axis; or against `costs`.

    Side by side; where points of a grid have panels of their own (see `accuracy_against`), one below the other.
    """
    panels, note = panels_of(traces)
    words = [COST_WORDS[x] for x in costs]
    if len(panels) == 1:
        figure = Figure(figsize=(WIDTH_IN, 4.9), layout="constrained")
        row = list(figure.subplots(1, len(costs), sharey=True, squeeze=False)[0])
        for axes, x, word in zip(row, costs, words, strict=True):
            _draw_row([axes], traces, x, panels)
            axes.set_title(f"… and in {word}" if axes is not row[0] else f"What it costs in {word}")
        row[0].set_ylabel(quality_label(traces, row[0]))
        _label_targets(row[-1], traces)
        _legend(figure, row[0], traces)
        if note:
            figure.suptitle(f"({note})", fontweight="normal", fontsize=11)
        return figure
    figure = Figure(figsize=(WIDTH_IN, 3.8 * len(costs)), layout="constrained")
    rows = [list(row) for row in figure.subplots(len(costs), len(panels), sharex="row", sharey=True, squeeze=False)]
    for row, x in zip(rows, costs, strict=True):
        _draw_row(row, traces, x, panels)
    _finish(figure, rows, traces, panels)
    places = ("above", "below") if len(costs) == 2 else ("above", *["then"] * (len(costs) - 2), "below")
    said = [f"in {word} ({place})" for word, place in zip(words, places, strict=len(costs) > 1)]
    figure.suptitle("What it costs " + " and ".join(said) + below(note))
    return figure


def panels_of(traces: Traces) -> tuple[list[Panel], str]:
    """Which arms stand together, and what the title has to say of those left out."""
    groups, arms = grid.groups(traces), traces.arms
    if len(arms) <= len(COLOURS) or len(groups) in (1, len(arms)):
        (few, note), looks = chosen(traces), arm_lines(traces)
        return [Panel("", {arm: looks[arm] for arm in few})], note
    points, some = grid.points(traces), grid.some_points(traces, MOST_PANELS)
    place = grid.places(traces)
    panels = [
        Panel(point, {arm: group_line(traces, place[arm].group) for arm in grid.arms_at(traces, [point])[:MOST_ARMS]})
        for point in some
    ]
    notes = [] if some == points else [said_of(some, points)]
    if len(groups) > MOST_ARMS:
        notes.append(f"the first {MOST_ARMS} of {len(groups)} groups")
    return panels, "; ".join(notes)


def nothing_learnt(traces: Traces) -> str:
    """Why traces have no accuracy."""
    return "no accuracy: a run without learning" if len(traces.rounds) else "no round has been finished yet"


def quality_scale(quality: Quality) -> tuple[float, str]:
    """By what a value is multiplied to be shown, and the unit behind it."""
    return (100.0, " %") if quality == ACCURACY else (1.0, "")


def quality_label(traces: Traces, axes: Axes) -> str:
    """What the axis of quality says; over a logarithmic one, that it is."""
    if traces.quality == ACCURACY:
        return "accuracy on held-out examples, %"
    how = ", logarithmic" if axes.get_yscale() == "log" else ""
    return f"{traces.quality.metric} on held-out text\n({traces.quality.better} is better{how})"


def cost_unit(x: str, largest: float) -> tuple[float, str]:
    """By what a cost is divided to be shown, and what its axis says."""
    if x == "t_end_s":
        return (3600.0, "simulated time, h") if largest > 3 * 3600 else (1.0, "simulated time, s")
    what, unit = ("clients' energy", "J") if x == "energy_j" else ("uplink of all clients", "bit")
    scale = grid.scale_of(unit, largest)
    return scale.divisor, f"{what}, {scale.unit}"


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers at its ticks, for what is drawn already; powers of ten where it is long."""
    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < MOST_LABELLED * low else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _draw_row(row: Sequence[Axes], traces: Traces, x: str, panels: Sequence[Panel]) -> None:
    curves, quality = costs.curves(traces, x), traces.quality
    if curves.empty:
        raise TraceError(f"{nothing_learnt(traces)}; there is nothing to draw")
    curves = curves[curves["arm"].isin([arm for panel in panels for arm in panel.lines])]
    totals = curves.groupby("arm")[x].max()
    scale, label = cost_unit(x, float(totals.max()))
    for axes, panel in zip(row, panels, strict=True):
        _draw_lines(axes, traces, panel, curves, curves[x] / scale)
    if totals.max() > LOG_FROM_RATIO * totals.min() > 0:
        logarithmic(row[0], "x")
        label += " (logarithmic)"
    else:
        row[0].set_xlim(left=0)
        if len(row) > 1:
            row[0].xaxis.set_major_locator(MaxNLocator(4))
    row[len(row) // 2].set_xlabel(label)
    values = curves.loc[np.isfinite(curves["high"]), ["low", "high"]]
    if quality == PERPLEXITY and values["high"].max() > LOG_FROM_RATIO * values["low"].min():
        logarithmic(row[0], "y")
    by = quality_scale(quality)[0]
    for axes in row:
        for target in costs.targets_of(traces):
            axes.axhline(by * target, color="0.45", linewidth=1, linestyle=(0, (5, 4)), zorder=1)


def _draw_lines(axes: Axes, traces: Traces, panel: Panel, curves: pd.DataFrame, position: pd.Series) -> None:
    by, marks = quality_scale(traces.quality)[0], 3 if panel.title else 6
    places = grid.places(traces)
    for arm, look in panel.lines.items():
        name = places[arm].group if panel.title else arm
        curve = curves[curves["arm"] == arm]
        if curve.empty:
            evaluated = len(traces.rounds) and (traces.rounds["arm"] == arm).any()
            why = "without learning" if evaluated else "no round yet"
            axes.plot([], [], " ", label=f"{name}: no {traces.quality.metric}, {why}")
            continue
        curve = curve[np.isfinite(curve["high"])]  # a perplexity of a model that has diverged has no place
        at = position[curve.index].to_numpy()
        axes.fill_between(at, by * curve["low"], by * curve["high"], color=look["color"], alpha=0.15, lw=0)
        axes.plot(at, by * curve["mean"], label=name, markevery=max(1, len(curve) // marks), **look)


def _finish(figure: Figure, rows: Sequence[Sequence[Axes]], traces: Traces, panels: Sequence[Panel]) -> None:
    for row in rows:
        row[0].set_ylabel(quality_label(traces, row[0]))
        _label_targets(row[-1], traces)
    for axes, panel in zip(rows[0], panels, strict=True):
        axes.set_title(panel.title.replace(", ", ",\n"), fontsize=11)
    _legend(figure, rows[0], traces)


def _label_targets(axes: Axes, traces: Traces, gap: float = TARGET_GAP) -> None:
    # Beside the axes, where no curve can run through the words; spread where targets lie close together.
    by, unit = quality_scale(traces.quality)
    height = np.log if axes.get_yscale() == "log" else np.asarray
    low, high = height(axes.get_ylim())
    at = -np.inf
    for target in costs.targets_of(traces):
        at = max(at + gap, float((height(by * target) - low) / (high - low)))
        axes.annotate(
            f"target {by * target:g}{unit}", (1.0, at), (4, 0), "axes fraction", "offset points",
            va="center", color="0.35", fontsize=10,
        )  # fmt: skip


def _legend(figure: Figure, panels: Axes | Sequence[Axes], traces: Traces) -> None:
    found: dict[str, Any] = {}
    for axes in [panels] if isinstance(panels, Axes) else panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    arm_legend(figure, list(found.values()), list(found), traces)


def arm_legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], traces: Traces) -> None:
    """Names below the picture, and what line and band are."""
    legend_below(figure, handles, labels, seeds_said(traces))


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str], title: str | None = None) -> None:
    """Names below the picture, in as many columns as there is room for, beside lines that show their dashes."""
    dashed = any(isinstance(line, Line2D) and line.get_linestyle() in ("--", ":", "-.") for line in handles)
    figure.legend(
        handles, labels, title=title, loc="outside lower center", ncols=columns(figure, labels, dashed=dashed),
        handlelength=5.0 if dashed else None,
    )  # fmt: skip


def columns(figure: Figure, labels: Sequence[str], *, dashed: bool = False) -> int:
    """How many columns of a legend have room for these names."""
    fit = int(LETTERS_PER_IN * figure.get_figwidth() / (max(map(len, labels)) + KEY_LETTERS + (4 if dashed else 0)))
    return min(5, max(1, fit))


def seeds_said(traces: Traces, line: str = "mean") -> str:
    """What a line and its band are, over how many seeds."""
    seeds = traces.cells[traces.cells["rounds"] > 0].groupby("arm").size()
    fewest, most = int(seeds.min()), int(seeds.max())
    count = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{line} of {count} seeds; the band spans the lowest to the highest" if most > 1 else "one seed"
