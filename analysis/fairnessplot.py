"""The picture of participation: updates delivered by client, sorted, and how fair that is by Jain's index.

Draws `participation`; does not know schedules.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.airplots import MARK_EVERY
from analysis.armrows import draw_rows, name_rows, rows_in, shown_rows
from analysis.curveplot import legend_below, seeds_said
from analysis.house import WIDTH_IN, arm_lines, below, chosen, in_house_style
from analysis.participation import delivered_by_client, fairness
from analysis.traces import TraceError, Traces

DASH = 4.0
MOST_SHOWN, FEW_ROWS = 20, 5
"""Rows of Jain's index at most, and up to how many they are no higher."""
MOST_STEPS = 400
"""Clients at whose ranks a line is drawn; more could not be told apart."""


@in_house_style
def participation(traces: Traces) -> Figure:
    """Who took part, and how evenly: updates delivered by client from the most to the fewest, and Jain's index.

    Left: a line an arm, the mean over the seeds of the client at each rank; its band spans the lowest to the highest.
    Right: Jain's fairness index over all clients, 1 if all delivered the same, 1/n if one of n delivered all.

    Raises
    ------
    TraceError
        If no arm has a client.
    """
    counts = delivered_by_client(traces)
    if not any(own.size for own in counts.values()):
        raise TraceError("no client has been asked yet; there is nothing to draw")
    few, note = chosen(traces)
    rows, more = shown_rows(traces, MOST_SHOWN)
    several = bool(traces.cells.groupby("arm").size().max() > 1)
    figure = Figure(figsize=(WIDTH_IN, max(4.9, 2.6 + rows_in(rows))), layout="constrained")
    left, right = figure.subplots(1, 2)
    looks = arm_lines(traces)
    ranks = {arm: _ranks([own for (name, _), own in counts.items() if name == arm and own.size]) for arm in few}
    for number, (arm, values) in enumerate(ranks.items()):
        alike = [other for other, own in ranks.items() if np.array_equal(own[1], values[1])]
        marks = {"markevery": (0.04 * (number % 7), MARK_EVERY)}  # so that they do not lie on each other
        _draw_ranks(left, arm, values, looks[arm] | marks | _turns(alike.index(arm), len(alike)))
    left.set_xlim(0, 100)
    left.set_ylim(bottom=0)
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_xlabel("clients, from the most updates to the fewest, %")
    left.set_ylabel("updates delivered by a client, number")
    left.set_title("Who took part" + below(note))
    draw_rows(right, traces, rows, fairness(traces), "delivered nothing")
    name_rows(right, rows)
    spare = max(0.0, (FEW_ROWS - len(rows)) / 2)  # else the bars of two arms fill the panel
    right.set_ylim(len(rows) - 0.45 + spare, -0.55 - spare)
    right.set_xlim(0, 1.05)
    right.set_xlabel("Jain's index (1: all alike), ratio")
    right.set_title("How evenly" + below(more))
    labels = [str(line.get_label()) for line in left.get_lines()]
    handles = [Line2D([], [], **looks[arm]) for arm in few]  # as they look where they lie alone
    said = seeds_said(traces)
    legend_below(figure, handles, labels, f"left: {said}; right: a dot a seed" if several else said)
    figure.suptitle("Participation and fairness")
    return figure


def _ranks(seeds: list[np.ndarray]) -> np.ndarray:
    """Place in % of the clients, and mean, lowest and highest over the seeds of the count there; [4, places]."""
    if not seeds:
        return np.empty((4, 0))
    clients = max(own.size for own in seeds)
    values = np.stack([np.pad(own, (0, clients - own.size)) for own in seeds])  # [seeds, clients]
    places = np.unique(np.linspace(0, clients - 1, MOST_STEPS).round().astype(int))
    counts = np.stack([values.mean(axis=0), values.min(axis=0), values.max(axis=0)])[:, places]
    at = 100.0 * np.append(places, clients) / clients
    return np.vstack([at, np.column_stack([counts, counts[:, -1]])])


def _draw_ranks(axes: Axes, arm: str, ranks: np.ndarray, look: dict[str, Any]) -> None:
    at, mean, low, high = ranks
    axes.fill_between(at, low, high, step="post", color=look["color"], alpha=0.15, lw=0)
    label = arm if at.size else f"{arm}: no client asked"
    axes.plot(at, mean, drawstyle="steps-post", label=label, **look)


def _turns(place: int, alike: int) -> dict[str, Any]:
    """Of lines that lie on each other dashes in turns, so that all are seen."""
    return {} if alike == 1 else {"linestyle": (DASH * place, (DASH, DASH * (alike - 1)))}
