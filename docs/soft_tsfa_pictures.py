"""Pictures of docs/soft-tsfa/: one for each question, of studies and of what their tables hold.

Knows how an answer is drawn; neither how it is written down, nor which page it is on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator
from soft_tsfa_tables import POINTS, Study, plain

from analysis.evidence import NOTHING, Mean, by_arm, differences
from analysis.house import COLOURS, LIMIT_COLOUR, WIDTH_IN, in_house_style

ROW_IN = 0.27
FAMILIES = {
    "principal directions (rotated)": (
        COLOURS[1],
        ("soft-plus", "tsfa", "min-max", "equal", "v-", "variance", "tail", "queue", "dense-at-first"),
    ),
    "rank components": (COLOURS[0], ("soft",)),
    "largest entries (top-k)": (COLOURS[2], ("topk", "flasc")),
    "SVD of B A": (COLOURS[3], ("svd",)),
    "random components": (COLOURS[4], ("random",)),
}
"""What is sent, its colour, and how the names of its arms begin; the first that fits."""
NEUTRAL, ALL = "0.4", "everything"
DASHED: Mapping[str, Any] = {"color": "0.6", "linestyle": "--", "linewidth": 1.2}
DOTTED: Mapping[str, Any] = {**DASHED, "linestyle": ":"}
LIMIT: Mapping[str, Any] = {"color": LIMIT_COLOUR, "linewidth": 1.2}
MOST_POINTS = 16.0  # of a difference that still fits into a picture of equal time
RATIOS, FINE_RATIOS = (0.5, 1, 2, 5, 10, 20), (0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 2)


@dataclass(frozen=True)
class Panel:
    """Accuracies at one limit of bits: arms that send more, arms within it, and their runs."""

    title: str
    larger: Sequence[str]
    within: Sequence[str]
    table: pd.DataFrame

    @property
    def arms(self) -> list[str]:
        """All of them, in the order of the rows."""
        return [*self.larger, *self.within]


def family(arm: str) -> tuple[str, str]:
    """What an arm sends, and its colour."""
    found = ((name, own) for name, (own, words) in FAMILIES.items() if arm.startswith(words))
    return next(found, (ALL, NEUTRAL))


def colour(arm: str) -> str:
    """Arms that send the same kind of thing have one colour."""
    return family(arm)[1]


def legend(figure: Figure, arms: Iterable[str], lines: Mapping[str, Mapping[str, Any]]) -> None:
    """Below the picture: what colours are, where there are several, and what lines are."""
    families = dict(map(family, arms))
    order = [name for name in (*FAMILIES, ALL) if name in families]
    handles = [Line2D([], [], marker="o", linestyle="", color=families[name], label=name) for name in order]
    drawn = [Line2D([], [], **style, label=name) for name, style in lines.items()]
    figure.legend(handles=[*(handles if len(order) > 1 else []), *drawn], loc="outside lower center", ncols=4)


def beyond(axes: Axes, arms: Sequence[str], values: Mapping[str, Mean], factor: float = 1.0) -> None:
    """An arrowhead where an interval leaves the frame, whose limits are final."""
    low, high = axes.get_xlim()
    for row, arm in enumerate(arms):
        value = values.get(arm, NOTHING)
        for end, edge, mark in ((value.low, low, "<"), (value.high, high, ">")):
            if (factor * end < low) if mark == "<" else (factor * end > high):
                axes.plot(edge, row, mark, color=colour(arm), ms=7, clip_on=False, markeredgewidth=0)


def dots(axes: Axes, arms: Sequence[str], values: Mapping[str, Mean], factor: float = 1.0) -> None:
    """A row an arm, from the top: a dot at the mean, and the interval; arms without a value keep an empty row."""
    for row, arm in enumerate(arms):
        value = values.get(arm, NOTHING)
        if math.isnan(value.mean):
            continue
        half = 0.0 if math.isnan(value.half) else factor * value.half
        axes.errorbar(factor * value.mean, row, xerr=half or None, fmt="o", color=colour(arm), capsize=3,
                      markeredgecolor="white", elinewidth=1.6)  # fmt: skip
    axes.set_yticks(range(len(arms)), arms)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def each_seed(axes: Axes, arms: Sequence[str], table: pd.DataFrame, column: str, factor: float = 1.0) -> pd.Series:
    """A small dot a run, on the rows of `dots`; gives what was drawn."""
    for row, arm in enumerate(arms):
        own = factor * table.loc[table["arm"] == arm, column].dropna()
        axes.plot(own, [row] * len(own), "o", ms=4, alpha=0.4, markeredgewidth=0, color=colour(arm))
    return factor * table.loc[table["arm"].isin(arms), column].dropna()


def height(rows: int) -> float:
    """Inches that so many rows take, with title and axis."""
    return 1.25 + ROW_IN * rows


@in_house_style
def equal_bits(panels: Sequence[Panel]) -> Figure:
    rows = [len(panel.arms) for panel in panels]
    figure = Figure(figsize=(WIDTH_IN, sum(map(height, rows)) + 0.8), layout="constrained")
    grid = figure.subplots(len(panels), 2, squeeze=False, height_ratios=[height(n) for n in rows], sharex="col")
    for (left, right), panel in zip(grid, panels, strict=True):
        arms, table = panel.arms, panel.table
        accuracy, bits = by_arm(table, "accuracy"), by_arm(table, "update_kbit")
        dots(left, arms, accuracy, POINTS)
        left.set_yticks(range(len(arms)), [f"{arm}  {plain(bits[arm], 0):>5}" for arm in arms])
        for name, style in (("head-only", DOTTED), ("dense", DASHED)):
            if name in accuracy:
                left.axvline(POINTS * accuracy[name].mean, **style, zorder=0)
        left.set_title(panel.title)
        reference = "topk-int8" if "topk-int8" in arms else "dense"
        dots(right, arms, differences(table, reference, "accuracy"), POINTS)
        right.axvline(0, **LIMIT, zorder=0)
        right.tick_params(labelleft=False)
        right.set_title(f"against {reference}, by seed")
        for axes in (left, right):
            axes.tick_params(labelbottom=True)
            if panel.larger:
                axes.axhspan(-0.5, len(panel.larger) - 0.5, color="0.93", linewidth=0, zorder=-1)
        if panel.larger:
            right.annotate("larger updates, for reference", (0.02, -0.05), xycoords=("axes fraction", "data"),
                          va="center", fontsize=8, color="0.4")  # fmt: skip
    grid[-1][0].set_xlabel("accuracy, %; beside each arm: kbit an update")
    grid[-1][1].set_xlabel("difference in accuracy, points")
    drawn = {arm for panel in panels for arm in panel.arms}
    lines = {"dense training": DASHED} | ({"the head alone": DOTTED} if "head-only" in drawn else {})
    legend(figure, [arm for panel in panels for arm in panel.arms], lines)
    figure.suptitle("Accuracy at equal counted bits, with 95 % intervals")
    return figure


@in_house_style
def equal_time(found: Sequence[Study], mark: str, references: Sequence[str]) -> Figure:
    rows = [len(study.arms) for study in found]
    figure = Figure(figsize=(WIDTH_IN, sum(map(height, rows)) + 0.8), layout="constrained")
    grid = figure.subplots(len(found), 3, squeeze=False, height_ratios=[height(n) for n in rows], sharex="col")
    drawn, ends, bars = [], [1.0], []
    for (left, middle, right), study in zip(grid, found, strict=True):
        table = study.table()
        accuracy, ratio = by_arm(table, "accuracy"), by_arm(table, "over_budget")
        dots(left, study.arms, accuracy, POINTS)
        drawn.append(each_seed(left, study.arms, table, "accuracy", POINTS))
        for row, arm in enumerate(study.arms):
            if math.isnan(accuracy.get(arm, NOTHING).mean):
                left.annotate("a seed has no round yet", (0.02, row), xycoords=("axes fraction", "data"),
                              va="center", fontsize=8, color="0.4")  # fmt: skip
        if mark in accuracy:
            left.axvline(POINTS * accuracy[mark].mean, **DASHED, zorder=0)
        left.set_title(f"{study.part.name}, {study.until_s:.0f} s")
        reference = next((arm for arm in references if arm in study.arms), study.arms[0])
        ahead = differences(table, reference, "accuracy")
        dots(middle, study.arms, ahead, POINTS)
        bars.append((study.arms, accuracy, ahead))
        ends += [POINTS * abs(end) for value in ahead.values() for end in value[1:3] if not math.isnan(end)]
        middle.axvline(0, **LIMIT, zorder=0)
        middle.set_title(f"against {reference}")
        dots(right, study.arms, {arm: value._replace(low=math.nan, high=math.nan) for arm, value in ratio.items()})
        each_seed(right, study.arms, table, "over_budget")
        right.axvline(1, **LIMIT, zorder=0)
        right.set_title("mean round")
        for axes in (left, middle, right):
            axes.tick_params(labelleft=axes is left, labelbottom=True)
    spread = pd.concat(drawn)
    grid[0][0].set_xlim(spread.min() - 2, spread.max() + 2)  # bars of runs that are far apart may leave the frame
    farthest = min(1.1 * max(ends), MOST_POINTS)
    grid[0][1].set_xlim(-farthest, farthest)
    for (left, middle, _), (arms, accuracy, ahead) in zip(grid, bars, strict=True):
        beyond(left, arms, accuracy, POINTS)
        beyond(middle, arms, ahead, POINTS)
    labels = ("accuracy at equal time, %", "difference by seed, points", "round / latency budget (log scale)")
    for axes, label in zip(grid[-1], labels, strict=True):
        axes.set_xlabel(label)
    ratios = FINE_RATIOS if grid[0][2].get_xlim()[1] < 2 else RATIOS
    for axes in grid[:, 2]:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(ratios))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    lines = {"no difference; the budget": LIMIT} | ({mark: DASHED} if mark else {})
    legend(figure, [arm for study in found for arm in study.arms], lines)
    figure.suptitle("At equal simulated time: means with 95 % intervals, small dots are seeds")
    return figure


@in_house_style
def ablation(study: Study) -> Figure:
    table, arms = study.table(), study.arms
    figure = Figure(figsize=(WIDTH_IN, height(len(arms)) + 0.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    dots(left, arms, by_arm(table, "accuracy"), POINTS)
    left.set_xlabel("accuracy, %")
    dots(right, arms, differences(table, "soft", "accuracy"), POINTS)
    right.axvline(0, **LIMIT, zorder=0)
    right.tick_params(labelleft=False)
    right.set_xlabel("difference to soft by seed, points")
    figure.suptitle("Each ingredient by itself, with 95 % intervals")
    return figure


@in_house_style
def rank(
    study: Study, values: pd.Series, accuracy: Mapping[int, Mean], picks: Mapping[str, Mapping[int, int]]
) -> Figure:
    figure = Figure(figsize=(WIDTH_IN * 0.75, 4.6), layout="constrained")
    axes = figure.subplots()
    ranks = sorted(accuracy)
    for number, (_, own) in enumerate(values.groupby(level="seed")):
        line = POINTS * own.droplevel("seed").reindex(ranks)
        axes.plot(range(len(ranks)), line, color="0.75", linewidth=1.2, label="one seed" if not number else None)
    means = [POINTS * accuracy[own].mean for own in ranks]
    halves = [0.0 if math.isnan(accuracy[own].half) else POINTS * accuracy[own].half for own in ranks]
    axes.errorbar(range(len(ranks)), means, yerr=halves, fmt="o-", color=COLOURS[0], capsize=4,
                  markeredgecolor="white", label="mean of the seeds, 95 % interval")  # fmt: skip
    for number, (by, chosen) in enumerate(picks.items()):
        for own in sorted({pick for pick in chosen.values() if pick in accuracy}):
            seeds = [seed for seed, pick in chosen.items() if pick == own]
            axes.plot(ranks.index(own), POINTS * accuracy[own].mean, "o", ms=14 + 6 * number, markerfacecolor="none",
                      markeredgecolor=COLOURS[1 + number], markeredgewidth=2,
                      label=f"picked by {by}: rank {own}, {len(seeds)} of {len(chosen)} seeds")  # fmt: skip
    axes.set_xticks(range(len(ranks)), [str(own) for own in ranks])
    axes.margins(x=0.15, y=0.12)
    axes.set_xlabel("rank of the adapters, number")
    axes.set_ylabel(f"accuracy after {study.until_s:.0f} s, %")
    axes.set_title("Accuracy at equal simulated time, and what stage 1 picks")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@in_house_style
def against_dense(shares: Sequence[tuple[Any, ...]]) -> Figure:
    listed = [
        [arm for arm in study.arms if not math.isnan(bits.get(arm, NOTHING).mean)] for study, _, bits, *_ in shares
    ]
    rows = [len(arms) for arms in listed]
    figure = Figure(figsize=(WIDTH_IN, sum(map(height, rows)) + 0.8), layout="constrained")
    grid = figure.subplots(len(shares), 2, squeeze=False, height_ratios=[height(n) for n in rows], sharex="col")
    for (left, right), (study, dense, bits, seconds, _), arms in zip(grid, shares, listed, strict=True):
        left.set_xlim(0, 145)
        right.set_xlim(0, 145)
        for axes, values in ((left, bits), (right, seconds)):
            dots(axes, arms, values, 100)
            beyond(axes, arms, values, 100)
            axes.axvline(100, **DASHED, zorder=0)
            axes.tick_params(labelbottom=True)
        left.axvline(40, **LIMIT, zorder=0)
        left.set_title(study.part.name)
        right.set_title(f"seconds ({dense} = 100 %)")
        right.tick_params(labelleft=False)
    grid[-1][0].set_xlabel("uplink bits, % of dense")
    grid[-1][1].set_xlabel("simulated time, % of dense")
    lines = {"dense training": DASHED, "60 % fewer bits": LIMIT}
    legend(figure, [arm for arms in listed for arm in arms], lines)
    figure.suptitle("To the accuracy of dense training less one point: arms that get there with every seed")
    return figure
