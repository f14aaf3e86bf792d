"""The picture of participation: updates delivered by client, sorted, and how fair that is by Jain's index.

Draws `participation`; does not know schedules.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.armrows import ROW_IN, draw_rows, name_rows, shown_rows
from analysis.curveplot import columns, seeds_said
from analysis.house import WIDTH_IN, arm_line, below, chosen, in_house_style
from analysis.participation import delivered_by_client, fairness
from analysis.traces import TraceError, Traces

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
    rows, more = shown_rows(traces)
    figure = Figure(figsize=(WIDTH_IN, max(4.9, 2.6 + ROW_IN * len(rows))), layout="constrained")
    left, right = figure.subplots(1, 2)
    for arm in few:
        _draw_ranks(left, traces, arm, [own for (name, _), own in counts.items() if name == arm and own.size])
    left.set_xlim(0, 100)
    left.set_ylim(bottom=0)
    left.set_xlabel("clients, from the most updates to the fewest, %")
    left.set_ylabel("updates delivered by a client, number")
    left.set_title("Who took part" + below(note))
    draw_rows(right, traces, rows, fairness(traces), "delivered nothing")
    name_rows(right, rows)
    right.set_xlim(0, 1.05)
    right.set_xlabel("Jain's index (1: all alike), ratio")
    right.set_title("How evenly: a dot a seed, a bar their mean" + below(more))
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles, labels, title=f"left: {seeds_said(traces)}", loc="outside lower center", ncols=columns(figure, labels)
    )
    figure.suptitle("Participation and fairness")
    return figure


def _draw_ranks(axes: Axes, traces: Traces, arm: str, seeds: list[np.ndarray]) -> None:
    look = arm_line(traces, arm)
    if not seeds:
        axes.plot([], [], " ", label=f"{arm}: no client asked")
        return
    clients = max(own.size for own in seeds)
    values = np.stack([np.pad(own, (0, clients - own.size)) for own in seeds])  # [seeds, clients]
    places = np.unique(np.linspace(0, clients - 1, MOST_STEPS).round().astype(int))
    at = 100.0 * np.append(places, clients) / clients
    mean, low, high = (np.append(f(axis=0)[places], f(axis=0)[-1]) for f in (values.mean, values.min, values.max))
    axes.fill_between(at, low, high, step="post", color=look["color"], alpha=0.15, lw=0)
    axes.plot(at, mean, drawstyle="steps-post", label=arm, **look | {"marker": ""})
