"""The picture of a plan: rank against kept fraction, lines of equal uplink bits, what the latency budget allows.

Knows a plan by its fields, and no scenario; see `wfl_sim.stage1.report.Planned`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.house import COLOURS, LIMIT_COLOUR, in_house_style

ALLOWED, CHOSEN = COLOURS[0], COLOURS[1]
SHADES = LinearSegmentedColormap.from_list("errors", ["#F7FBF4", "#C9DDBD", "#8FAF85"])
TICKS = (0.05, 0.1, 0.125, 0.2, 0.25, 0.5, 1.0)
LINES = 7  # of equal bits, about
DISTINCT = 0.02  # budgets that differ by less are drawn as one


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
    _budgets(axes, planned)
    of_lines, of_ranks = _equal_bits(axes, plane), _candidates(axes, planned)
    ranks = [row.rank for row in selection.candidates]
    axes.xaxis.set_major_locator(FixedLocator(ranks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick >= plane.kept[0]]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("rank: of how many pieces an update of a layer consists")
    axes.set_ylabel("kept fraction: share of the pieces that is sent")
    axes.set_title(f"{planned.name}, {planned.arm}: what fits a mean round of {selection.latency_budget_s:.3g} s")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.draw_without_rendering()  # which tells where texts are
    taken = [text.get_window_extent() for text in of_ranks]
    for text in of_lines:
        if any(text.get_window_extent().overlaps(box) for box in taken):
            text.remove()
    return figure


def _budgets(axes: Axes, planned: Any) -> None:
    """What the budget of the table carries, what is too long for it, and what the budget recommended carries."""
    plane, budget_s, own_s = planned.plane, planned.selection.latency_budget_s, planned.advice.latency_budget_s
    met = plane.least_s <= budget_s  # beyond that not even the least fits
    edge = np.where(met, np.clip(plane.allowed(budget_s), plane.kept[0], 1.0), plane.kept[0])
    axes.fill_between(
        plane.ranks, edge, 1.0, where=edge < 1.0, facecolor="none", edgecolor="0.72", hatch="///", linewidth=0.0,
        zorder=1, label=f"longer than {budget_s:.3g} s",
    )  # fmt: skip
    axes.plot(
        plane.ranks[met], edge[met], color=ALLOWED, linewidth=2.6, zorder=3,
        label=f"what {budget_s:.3g} s carry from the mean client",
    )  # fmt: skip
    if met.any() and not met.all():
        last = plane.ranks[met][-1]
        axes.plot([last, last], [edge[met][-1], plane.kept[0]], color=ALLOWED, linewidth=1.2, linestyle=":", zorder=3)
    if abs(own_s - budget_s) > DISTINCT * budget_s:
        met = plane.least_s <= own_s
        axes.plot(
            plane.ranks[met], np.clip(plane.allowed(own_s), plane.kept[0], 1.0)[met], color=CHOSEN, linewidth=1.8,
            linestyle="--", zorder=3, label=f"what {own_s:.3g} s carry, the budget recommended",
        )  # fmt: skip
    least = planned.selection.kept_fraction_min
    axes.axhline(least, color="0.45", linewidth=1.0, linestyle=(0, (1, 2)), zorder=2, label="least that may be sent")


def _equal_bits(axes: Axes, plane: Any) -> list[Text]:
    """The lines; returns their labels."""
    megabits = plane.bits / 1e6
    low, high = float(megabits.min()), float(megabits.max())
    levels = [level for level in _nice(low, high) if low < level < high]
    lines = axes.contour(plane.ranks, plane.kept, megabits, levels=levels, colors="0.35", linewidths=0.9, zorder=2)
    axes.plot([], [], color="0.35", linewidth=0.9, label="equal uplink bits, all clients of a round")
    return list(axes.clabel(lines, fmt=lambda level: f"{level:g} Mbit", fontsize=9))


def _nice(low: float, high: float) -> list[float]:
    """Levels of 1, 1.5, 2, 3, 5 or 7 times a power of ten, thinned to about `LINES`."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    levels = [digit * 10.0**decade for decade in decades for digit in (1, 1.5, 2, 3, 5, 7)]
    within = [level for level in levels if low < level < high]
    if len(within) < 3:
        return [float(f"{level:.2g}") for level in np.geomspace(low, high, 6)[1:-1]]
    return within[:: max(1, round(len(within) / LINES))]


def _candidates(axes: Axes, planned: Any) -> list[Text]:
    """Each rank where the budget of the table puts it, or at its least; the one recommended at its own budget.

    Returns the labels, of which that of the rank recommended tells of its own budget too.
    """
    selection, star = planned.selection, planned.chosen
    groups = (
        ("ranks within the budget", [row for row in selection.candidates if row.fits], ALLOWED, "o", 9),
        ("over the budget even at the least", [r for r in selection.candidates if not r.fits], LIMIT_COLOUR, "X", 11),
    )
    for label, rows, colour, marker, size in groups:
        if rows:
            axes.plot(
                [row.rank for row in rows], [row.kept_fraction for row in rows], linestyle="", marker=marker,
                color=colour, markersize=size, markeredgecolor="white", zorder=4, label=label, clip_on=False,
            )  # fmt: skip
    name = "recommended" if selection.rank is not None else "recommended for this rank"
    axes.plot(
        [star.rank], [star.kept_fraction], linestyle="", marker="*", color=CHOSEN, markersize=20,
        markeredgecolor="white", zorder=5, label=name, clip_on=False,
    )  # fmt: skip
    texts: list[Text] = []
    for row in selection.candidates:
        own = row.rank == star.rank
        told = star if own else row
        beside = row.fits and row is not selection.candidates[0]  # where the axis leaves no room
        text = axes.annotate(
            _said(told), (row.rank, told.kept_fraction), xytext=(-8, -7) if beside else (0, -12),
            textcoords="offset points", ha="right" if beside else "center", va="top", fontsize=9.5,
            fontweight="bold" if own else None, zorder=6, color="black" if row.fits else LIMIT_COLOUR,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0},
        )  # fmt: skip
        texts.append(text)
    return texts


def _said(row: Any) -> str:
    if not row.fits:
        return f"needs {row.least_s:.3g} s"
    if row.loss is not None:
        return f"loss {row.loss:.3g}"
    return f"{row.bits / 1e3:.0f} kbit each" if row.error is None else f"error {row.error:.2f}"
