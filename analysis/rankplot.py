"""The picture of a plan: rank against kept fraction, lines of equal uplink bits, what the latency budget allows.

Knows a plan by its fields, and no scenario; see `wfl_sim.stage1.report.Planned`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.house import COLOURS, LIMIT_COLOUR, in_house_style

ALLOWED, CHOSEN = COLOURS[0], COLOURS[1]
SHADES = LinearSegmentedColormap.from_list("errors", ["#F7FBF4", "#C9DDBD", "#8FAF85"])
TICKS = (0.05, 0.1, 0.125, 0.2, 0.25, 0.5, 1.0)
LINES = 7  # of equal bits, about


@in_house_style
def rank_plane(planned: Any) -> Figure:
    """Draw the plane of one plan.

    Parameters
    ----------
    planned : wfl_sim.stage1.report.Planned

    Returns
    -------
    Figure
        Not shown and not saved.
    """
    figure = Figure(figsize=(9.2, 6.0), layout="constrained")
    axes = figure.subplots()
    plane, selection = planned.plane, planned.selection
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(plane.ranks[0], plane.ranks[-1])
    axes.set_ylim(plane.kept[0], 1.06)
    axes.grid(visible=False)
    if plane.error is not None:
        shades = axes.pcolormesh(
            plane.ranks, plane.kept, plane.error, cmap=SHADES, shading="gouraud", rasterized=True, zorder=0
        )
        figure.colorbar(shades, ax=axes, label="predicted error (sum of its three parts)", pad=0.02, aspect=30)
    _too_long(axes, plane, selection.latency_budget_s)
    _equal_bits(axes, plane)
    _candidates(axes, planned)
    ranks = [row.rank for row in selection.candidates]
    axes.xaxis.set_major_locator(FixedLocator(ranks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick >= plane.kept[0]]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("rank: how many pieces an update of a layer consists of")
    axes.set_ylabel("kept fraction: share of the pieces that is sent")
    axes.set_title(f"What fits a mean round of {selection.latency_budget_s:.3g} s, arm {planned.arm}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _too_long(axes: Axes, plane: Any, budget_s: float) -> None:
    """What the budget does not allow, above the curve rho_bar(r)."""
    curve = np.clip(plane.allowed, plane.kept[0], 1.0)
    inside = plane.allowed >= plane.kept[0]
    axes.fill_between(
        plane.ranks, np.where(inside, curve, plane.kept[0]), 1.0, where=plane.allowed < 1.0, facecolor="none",
        edgecolor="0.72", hatch="///", linewidth=0.0, zorder=1, label="longer than the budget",
    )  # fmt: skip
    axes.plot(
        plane.ranks[inside], curve[inside], color=ALLOWED, linewidth=2.6, zorder=3,
        label=f"what {budget_s:.3g} s carry at the mean rate",
    )  # fmt: skip


def _equal_bits(axes: Axes, plane: Any) -> None:
    megabits = plane.bits / 1e6
    low, high = float(megabits.min()), float(megabits.max())
    levels = [level for level in _nice(low, high) if low < level < high]
    lines = axes.contour(plane.ranks, plane.kept, megabits, levels=levels, colors="0.35", linewidths=0.9, zorder=2)
    axes.clabel(lines, fmt=lambda level: f"{level:g} Mbit", fontsize=9)
    axes.plot([], [], color="0.35", linewidth=0.9, label="equal uplink bits, all clients of a round")


def _nice(low: float, high: float) -> list[float]:
    """Levels of 1, 1.5, 2, 3, 5 or 7 times a power of ten, thinned to about `LINES`."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    levels = [digit * 10.0**decade for decade in decades for digit in (1, 1.5, 2, 3, 5, 7)]
    within = [level for level in levels if low < level < high]
    if len(within) < 3:
        return [float(f"{level:.2g}") for level in np.geomspace(low, high, 6)[1:-1]]
    return within[:: max(1, round(len(within) / LINES))]


def _candidates(axes: Axes, planned: Any) -> None:
    selection, star = planned.selection, planned.chosen
    groups = (
        ("candidates", [row for row in selection.candidates if row.fits and row is not star], ALLOWED, "o"),
        ("over the budget even at the least", [r for r in selection.candidates if not r.fits], LIMIT_COLOUR, "X"),
    )
    for label, rows, colour, marker in groups:
        if rows:
            axes.plot(
                [row.rank for row in rows], [row.kept_fraction for row in rows], linestyle="", marker=marker,
                color=colour, markersize=9, markeredgecolor="white", zorder=4, label=label, clip_on=False,
            )  # fmt: skip
    chosen = "rank chosen" if selection.rank is not None else "rank of the scenario"
    axes.plot(
        [star.rank], [star.kept_fraction], linestyle="", marker="*", color=CHOSEN, markersize=20,
        markeredgecolor="white", zorder=5, label=chosen, clip_on=False,
    )  # fmt: skip
    for row in selection.candidates:
        if (said := _said(row)) is not None:
            axes.annotate(
                said, (row.rank, row.kept_fraction), xytext=(0, -16), textcoords="offset points", ha="center", va="top",
                fontsize=9.5, fontweight="bold" if row is star else None, zorder=6,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
            )  # fmt: skip


def _said(row: Any) -> str | None:
    if row.loss is not None:
        return f"loss {row.loss:.3g}"
    return None if row.error is None else f"{row.error:.2f}"
