"""The picture of who holds what: clients by classes, and how many examples each client has.

Draws the counts that a manifest has; does not know how they were split, nor what is learnt from them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FixedLocator, MaxNLocator

from analysis.groupsplot import MOST_GROUPS
from analysis.house import COLOURS, WIDTH_IN, below, in_house_style
from analysis.traces import Holdings, TraceError, Traces

MOST_COLUMNS = 120
"""Up to so many clients have a column each, in order of their numbers; more are sorted and drawn together."""
NUMBERED_COLUMNS, NUMBERED_ROWS = 16, 24
"""Up to so many clients and classes, a cell is large enough to hold its number."""
ROW_IN, LEAST_ROW_IN, ALL_ROWS_IN, LEAST_ALL_IN = 0.29, 0.15, 7.5, 1.2
ROUND_ABOUT_IN = 2.7  # sizes, words and room of a panel
MOST_LINED = 2500
"""Up to so many cells, white lines keep them apart."""
NAMED_ROWS = 56
"""Up to so many classes each has its name at the axis; of more, some have."""
LONGEST_NAME = 24
# One colour that gets darker, also in grey; the palest is still apart from white, which is none at all.
SHADES = LinearSegmentedColormap.from_list("holdings", ["#DFECF6", "#7FB8DA", COLOURS[0], "#003354"])


@in_house_style
def holdings(traces: Traces, arm: str, seed: int | None = None) -> Figure:
    """Who holds what: a column a client, a row a class, the darker the more examples; above, all that a client has.

    White means none. More than 120 clients are sorted by their commonest class and by its share, and neighbours are
    drawn together in one column: its mean, and above it the span of their sizes. Groups of clients that learn unlike
    classes have a panel each.

    Raises
    ------
    TraceError
        For an arm or a seed that is not there, or whose manifest does not say who holds what.
    """
    cell = traces.select(arm, seed)
    held = next(iter(cell.holdings.values()), ())
    if not held:
        raise TraceError(f"arm {arm!r}: its manifest does not say who holds what (data.holdings)")
    shown = held[:MOST_GROUPS]
    heights_in = [_rows_in(one) + ROUND_ABOUT_IN for one in shown]
    if len(held) == 1:
        figure = Figure(figsize=(WIDTH_IN, heights_in[0]), layout="constrained")
        _draw_panel(figure, held[0])
        figure.suptitle(f"Who holds what: {_words(held[0])}")
        return figure
    figure = Figure(figsize=(WIDTH_IN, sum(heights_in) + 0.5), layout="constrained")
    panels = figure.subfigures(len(shown), 1, height_ratios=heights_in, squeeze=False)[:, 0]
    for panel, one in zip(panels, shown, strict=True):
        _draw_panel(panel, one)
        panel.suptitle(f"{one.group}: {_words(one)}", fontsize=11)
    few = "" if len(shown) == len(held) else f"the first {len(shown)} of {len(held)} groups of clients"
    figure.suptitle(f"Who holds what, group by group{below(few)}")
    return figure


def _rows_in(held: Holdings) -> float:
    classes = len(held.classes)
    return min(ALL_ROWS_IN, max(LEAST_ALL_IN, max(LEAST_ROW_IN, min(ROW_IN, 9.0 / classes)) * classes))


def _words(held: Holdings) -> str:
    clients, classes = held.counts.shape
    groups, who = columns_of(held), f"{clients:,} clients"
    if len(groups) < clients:
        smallest, largest = len(groups[-1]), len(groups[0])
        who += f"\n({smallest}{f' or {largest}' if largest > smallest else ''} clients to a column: their mean)"
    return f"{int(held.counts.sum()):,} examples of {classes:,} classes at {who}"


def _draw_panel(figure: FigureBase, held: Holdings) -> None:
    """The sizes above, and the cells below them."""
    clients, classes = held.counts.shape
    groups = columns_of(held)
    together = len(groups) < clients
    first = 0 if together else held.first
    above, cells = figure.subplots(2, 1, sharex=True, height_ratios=(1.15, _rows_in(held)))
    edges = first + np.concatenate([[0], np.cumsum([len(group) for group in groups])]) - 0.5
    _draw_sizes(above, held, groups, edges)
    mesh = _draw_cells(cells, held, groups, edges)
    few = clients <= NUMBERED_COLUMNS and classes <= NUMBERED_ROWS
    if not few:
        bar = figure.colorbar(mesh, ax=[above, cells], pad=0.015, fraction=0.04, aspect=30)
        bar.set_label("examples (white: none), number")
        bar.outline.set_visible(False)
        bar.locator = MaxNLocator(5, integer=int(held.counts.max()) > 5)
        bar.update_ticks()
    cells.set_xlabel("clients, sorted by their commonest class and its share, number" if together else "client, number")
    numbers = FixedLocator(range(first, first + clients))
    cells.xaxis.set_major_locator(numbers if clients <= 30 else MaxNLocator(12, integer=True))


def columns_of(held: Holdings) -> list[np.ndarray]:
    """The clients of each column: one each by number, or of more than 120 neighbours in order of their classes."""
    counts = held.counts
    clients = len(counts)
    if clients <= MOST_COLUMNS:
        return [np.array([client]) for client in range(clients)]
    commonest = np.argsort(-counts, axis=1, kind="stable")[:, :3].T
    share = counts.max(axis=1) / np.maximum(1, counts.sum(axis=1))
    # The second and third class tell clients of equal shares apart.
    return np.array_split(np.lexsort((*commonest[:0:-1], -share, commonest[0])), MOST_COLUMNS)


def _draw_sizes(axes: Axes, held: Holdings, groups: list[np.ndarray], edges: np.ndarray) -> None:
    sizes = [held.counts[group].sum(axis=1) for group in groups]
    mean, low, high = (np.array([f(size) for size in sizes], dtype=float) for f in (np.mean, np.min, np.max))
    gap = 0.12 if len(groups) <= 60 else 0.0
    width = np.diff(edges)
    axes.bar(edges[:-1] + width / 2, mean, width * (1 - gap), color="0.65", linewidth=0)
    if len(groups) < len(held.counts):
        axes.vlines(edges[:-1] + width / 2, low, high, color="0.35", linewidth=0.9)
    if len(groups) <= NUMBERED_COLUMNS:
        for x, size in zip(edges[:-1] + width / 2, mean, strict=True):
            axes.annotate(f"{size:.0f}", (x, size), (0, 2), textcoords="offset points", ha="center", fontsize=9)
    axes.set_ylim(0, 1.22 * high.max() if len(groups) <= NUMBERED_COLUMNS else 1.05 * high.max())
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.set_ylabel("examples,\nnumber")
    axes.grid(False, axis="x")
    axes.tick_params(bottom=False, labelbottom=False)


def _draw_cells(axes: Axes, held: Holdings, groups: list[np.ndarray], edges: np.ndarray) -> QuadMesh:
    classes = len(held.classes)
    values = np.stack([held.counts[group].mean(axis=0) for group in groups], axis=1)  # [classes, columns]
    shown = np.ma.masked_equal(values, 0.0)
    # The square root: a few large holdings would leave all others pale.
    norm = PowerNorm(0.5, vmin=0.0, vmax=max(1.0, float(values.max())))
    lines: dict[str, Any] = {"edgecolors": "white", "linewidth": 0.6} if values.size <= MOST_LINED else {}
    mesh = axes.pcolormesh(edges, np.arange(classes + 1) - 0.5, shown, cmap=SHADES, norm=norm, rasterized=True, **lines)
    if len(groups) <= NUMBERED_COLUMNS and classes <= NUMBERED_ROWS:
        for (row, column), value in np.ndenumerate(values):
            if value:
                ink = "white" if norm(value) > 0.5 else "black"
                axes.text(
                    float(edges[column]) + 0.5, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=9
                )
    step = math.ceil(classes / NAMED_ROWS)
    names = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in held.classes]
    size = 10 if classes <= 24 else 8
    axes.set_yticks(range(0, classes, step), names[::step], fontsize=size)
    axes.set_ylim(classes - 0.5, -0.5)  # the first class on top
    axes.set_xlim(edges[0], edges[-1])
    axes.tick_params(length=0, axis="y")
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_color("0.8")
    return mesh
