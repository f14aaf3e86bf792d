"""Pictures of docs/soft-tsfa/: one for each question, of studies and of what their tables hold.

Knows how an answer is drawn; neither how it is written down, nor which page it is on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator
from soft_tsfa_tables import POINTS, Study, plain

from analysis.evidence import NOTHING, Mean, by_arm, differences
from analysis.house import COLOURS, LIMIT_COLOUR, WIDTH_IN, in_house_style

ROW_IN = 0.27
FAMILIES = (("soft-plus", COLOURS[1]), ("rotated", COLOURS[1]), ("tsfa", COLOURS[1]), ("soft", COLOURS[0]),
            ("topk", COLOURS[2]), ("flasc", COLOURS[2]), ("svd", COLOURS[3]), ("random", COLOURS[4]))  # fmt: skip
NEUTRAL = "0.4"
MOST_POINTS = 16.0  # of a difference that still fits into a picture of equal time
RATIOS = (0.5, 1, 2, 5, 10, 20)


def colour(arm: str) -> str:
    """Arms of one codec have one colour."""
    return next((own for word, own in FAMILIES if arm.startswith(word)), NEUTRAL)


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
def equal_bits(panels: Sequence[tuple[str, list[str], pd.DataFrame]]) -> Figure:
    rows = [len(arms) for _, arms, _ in panels]
    figure = Figure(figsize=(WIDTH_IN, sum(map(height, rows)) + 0.4), layout="constrained")
    grid = figure.subplots(len(panels), 2, squeeze=False, height_ratios=[height(n) for n in rows], sharex="col")
    for (left, right), (title, arms, table) in zip(grid, panels, strict=True):
        accuracy, bits = by_arm(table, "accuracy"), by_arm(table, "update_kbit")
        dots(left, arms, accuracy, POINTS)
        left.set_yticks(range(len(arms)), [f"{arm}  {plain(bits[arm], 0):>5}" for arm in arms])
        for name, style in (("head-only", ":"), ("dense", "--")):
            if name in accuracy:
                left.axvline(POINTS * accuracy[name].mean, color="0.6", linestyle=style, linewidth=1.2, zorder=0)
        left.set_title(title)
        reference = "topk-int8" if "topk-int8" in arms else "dense"
        dots(right, arms, differences(table, reference, "accuracy"), POINTS)
        right.axvline(0, color=LIMIT_COLOUR, linewidth=1.2, zorder=0)
        right.tick_params(labelleft=False)
        right.set_title(f"against {reference}, by seed")
        left.tick_params(labelbottom=True)
        right.tick_params(labelbottom=True)
    grid[-1][0].set_xlabel("accuracy, %; beside each arm: kbit an update")
    grid[-1][1].set_xlabel("difference in accuracy, points")
    figure.suptitle("Accuracy at equal counted bits, with 95 % intervals")
    return figure


@in_house_style
def equal_time(found: Sequence[Study], mark: str, references: Sequence[str]) -> Figure:
    rows = [len(study.arms) for study in found]
    figure = Figure(figsize=(WIDTH_IN, sum(map(height, rows)) + 0.4), layout="constrained")
    grid = figure.subplots(len(found), 3, squeeze=False, height_ratios=[height(n) for n in rows], sharex="col")
    drawn, ends = [], [1.0]
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
            left.axvline(POINTS * accuracy[mark].mean, color="0.6", linestyle="--", linewidth=1.2, zorder=0)
        left.set_title(f"{study.part.name}, {study.until_s:.0f} s")
        reference = next((arm for arm in references if arm in study.arms), study.arms[0])
        ahead = differences(table, reference, "accuracy")
        dots(middle, study.arms, ahead, POINTS)
        ends += [POINTS * abs(end) for value in ahead.values() for end in value[1:3] if not math.isnan(end)]
        middle.axvline(0, color=LIMIT_COLOUR, linewidth=1.2, zorder=0)
        middle.set_title(f"against {reference}")
        dots(right, study.arms, {arm: value._replace(low=math.nan, high=math.nan) for arm, value in ratio.items()})
        each_seed(right, study.arms, table, "over_budget")
        right.axvline(1, color=LIMIT_COLOUR, linewidth=1.2, zorder=0)
        right.set_title("mean round")
        for axes in (left, middle, right):
            axes.tick_params(labelleft=axes is left, labelbottom=True)
    spread = pd.concat(drawn)
    grid[0][0].set_xlim(spread.min() - 2, spread.max() + 2)  # bars of runs that are far apart may leave the frame
    farthest = min(1.1 * max(ends), MOST_POINTS)
    grid[0][1].set_xlim(-farthest, farthest)
    labels = ("accuracy at equal time, %", "difference by seed, points", "round / latency budget, ratio")
    for axes, label in zip(grid[-1], labels, strict=True):
        axes.set_xlabel(label)
    for axes in grid[:, 2]:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(RATIOS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
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
    right.axvline(0, color=LIMIT_COLOUR, linewidth=1.2, zorder=0)
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
    listed = [[arm for arm in study.arms if arm in bits] for study, _, bits, _, _ in shares]
    rows = [len(arms) for arms in listed]
    figure = Figure(figsize=(WIDTH_IN, sum(map(height, rows)) + 0.4), layout="constrained")
    grid = figure.subplots(len(shares), 2, squeeze=False, height_ratios=[height(n) for n in rows], sharex="col")
    for (left, right), (study, dense, bits, seconds, count), arms in zip(grid, shares, listed, strict=True):
        for axes, values in ((left, bits), (right, seconds)):
            dots(axes, arms, values, 100)
            axes.axvline(100, color="0.6", linestyle="--", linewidth=1.2, zorder=0)
            axes.tick_params(labelbottom=True)
        for row, arm in enumerate(arms):
            if math.isnan(bits[arm].mean):
                met, of = count.loc[arm]
                left.annotate(f"{met} of {of} seeds reach it", (0.02, row), xycoords=("axes fraction", "data"),
                              va="center", fontsize=9, color="0.4",
                              bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
        left.axvline(40, color=LIMIT_COLOUR, linewidth=1.2, zorder=0)
        left.set_title(f"{study.part.name} ({dense} = 100 %)")
        right.set_title("seconds")
        right.tick_params(labelleft=False)
        left.set_xlim(left=0)
        right.set_xlim(left=0)
    grid[-1][0].set_xlabel("uplink bits, % of dense; red: 60 % less")
    grid[-1][1].set_xlabel("simulated time, % of dense")
    figure.suptitle("To the accuracy of dense training less one point, with 95 % intervals")
    return figure
