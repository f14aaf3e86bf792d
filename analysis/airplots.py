"""Pictures of the shared air: who was granted which part of the band, and how long uploads take.

Draws numbers of traces and of `uploads`; does not know time lines, nor anything of accuracy.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import grid
from analysis.curveplot import columns, legend_below
from analysis.house import COLOURS, WIDTH_IN, arm_lines, below, chosen, in_house_style
from analysis.traces import TraceError, Traces
from analysis.uploads import upload_durations

FEW_CLIENTS = 12
"""Up to so many clients have a layer each in the picture of shares."""
LARGEST_SHOWN = len(COLOURS) - 1
"""Of more clients, those of the largest shares have a layer each, and the others one together."""
OTHERS_COLOUR = "0.88"
NUMBERED_ROUNDS = 24
"""Up to this many rounds a bar is wide enough to hold the number of its client."""
MARK_EVERY = 0.25
"""Distance of the markers on a curve of steps, as a share of the diagonal."""
STEPS_WIDTH = 0.9
"""Of the curve of activations, beside the one of adapters, which has markers."""
MOST_STEPS = 1000
"""Points of a curve; more could not be told apart."""
ROUNDING = 1e-6
"""Relative, of bandwidths, which are means over time."""


@in_house_style
def bandwidth_shares(traces: Traces, arm: str, seed: int | None = None) -> Figure:
    """Who was granted how much of the uplink band: one stacked bar a round, one layer a client.

    Of more than 12 clients, the 6 that were granted most over all rounds have a layer each; all others stand together
    above them, and the legend says how much one of them was granted.

    Where the air gives what idle clients leave to those who send, they may hold more than they were granted; if any
    did, the title says that these are grants at the call.

    Without common rounds, clients are called one by one and hold their parts at different times, so what all calls of
    an update were granted may be more than the band; axis and title say so.
    """
    cell = traces.select(arm, seed)
    granted = cell.decisions.pivot_table(
        index="round", columns="client", values="bandwidth_hz", aggfunc="sum", fill_value=0.0
    )
    if granted.empty:
        raise TraceError(f"arm {arm!r} has no decision yet; there is nothing to draw")
    scale, unit = grid.scale_of("Hz", float(granted.sum(axis=1).max()))
    figure = Figure(figsize=(WIDTH_IN, 4.6), layout="constrained")
    axes = figure.subplots()
    few = granted.shape[1] <= FEW_CLIENTS
    base, whole = np.zeros(len(granted)), float(granted.sum(axis=1).max()) / scale
    for layer in _layers(granted, scale, unit):
        bars = axes.bar(
            granted.index, layer.share, 0.85, bottom=base, color=layer.colour, edgecolor="white", linewidth=0.6,
            label=layer.label,
        )  # fmt: skip
        if len(granted) <= NUMBERED_ROUNDS:
            ink = "white" if float(np.dot(to_rgb(layer.colour), (0.299, 0.587, 0.114))) < 0.5 else "black"
            texts = [layer.name if part > 0.04 * whole else "" for part in layer.share]
            axes.bar_label(bars, texts, label_type="center", color=ink, fontsize=9)
        base += layer.share
    axes.set_xlim(granted.index.min() - 0.6, granted.index.max() + 0.6)
    axes.set_ylim(0, 1.03 * whole or 1.0)
    axes.set_xlabel("round, number")
    at_once = not _called_apart(cell)
    axes.set_ylabel(f"bandwidth granted{'' if at_once else ', sum of all calls'}, {unit}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(False, axis="x")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    who = "" if few else f"the {LARGEST_SHOWN} largest of {granted.shape[1]:,} clients, and the others together"
    when = "" if at_once else "called at different times, so the sum of a round may exceed the band"
    shared = "as granted at the start of a round" if at_once else "as granted at the call"
    shared = f"{shared}, before what idle clients leave is shared out" if _held_more(cell) else ""
    title = f"Who was granted how much of the uplink: {arm}, seed {cell.cells['seed'].iloc[0]}"
    figure.suptitle(title + below(who) + below(when) + below(shared))
    return figure


def _held_more(cell: Traces) -> bool:
    """Whether any upload had, in the mean over its time, more of the band than was granted."""
    sent = cell.transmissions[cell.transmissions["direction"] == "up"]
    held_hz, granted_hz = (rows.groupby(["round", "client"])["bandwidth_hz"].max() for rows in (sent, cell.decisions))
    return bool((held_hz > (1 + ROUNDING) * granted_hz.reindex(held_hz.index)).any())


def _called_apart(cell: Traces) -> bool:
    """Whether clients of one round are called at different times, or are still busy when it ends."""
    times = cell.decisions.groupby("round")["t_s"]
    return bool((times.max() > times.min()).any() or (cell.rounds["late"] > 0).any())


class _Layer(NamedTuple):
    name: str
    label: str
    colour: str
    share: np.ndarray


def _layers(granted: pd.DataFrame, scale: float, unit: str) -> list[_Layer]:
    """The layers from below: what a bar says, what the legend says, the colour; and the share in each round."""
    clients = [int(client) for client in granted.columns]
    parts = {client: granted[client].to_numpy(dtype=float) / scale for client in clients}
    if len(clients) <= FEW_CLIENTS:
        # A stride keeps the shades of neighbours apart, and the number in the bar says who it is without colour.
        stride = next(s for s in (3, 5, 7, 1) if math.gcd(s, len(clients)) == 1)
        shades = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.95, len(clients)))
        colours = [to_hex(shades[n * stride % len(clients)]) for n in range(len(clients))]
        return [_Layer(f"{c}", f"client {c}", colour, parts[c]) for c, colour in zip(clients, colours, strict=True)]
    # Of equal shares the lowest numbers, so that the picture does not depend on the order of sums.
    ordered = granted.sum().round(3).sort_values(ascending=False, kind="stable")
    largest = sorted(int(client) for client in ordered.index[:LARGEST_SHOWN])
    layers = [_Layer(f"{c}", f"client {c}", COLOURS[n], parts[c]) for n, c in enumerate(largest)]
    others = np.array([parts[client] for client in clients if client not in largest])
    each = others[others > 0]
    low, high = (f"{each.min():.3g}", f"{each.max():.3g}") if each.size else ("0", "0")
    count = f"{len(others):,} others"
    label = f"{count},\n{low if low == high else f'{low} to {high}'} {unit} each"
    return [*layers, _Layer(count, label, OTHERS_COLOUR, others.sum(axis=0))]


@in_house_style
def upload_times(traces: Traces) -> Figure:
    """How long uploads take, and which share of updates a deadline would let in; one curve an arm, over all its seeds.

    Left: the empirical distribution of the time from an update being ready to its upload's end, of those delivered.
    Right: of all clients called, the share whose update had arrived so long after the call; it ends below 100 % where
    updates were lost, or never sent. With split training updates are the adapters at the end of a round; to the left
    the activations of its steps have a curve of their own, thin and without markers.

    Raises
    ------
    TraceError
        If no arm has an upload.
    """
    durations = upload_durations(traces)
    if durations.empty:
        raise TraceError("no upload has ended yet; there is nothing to draw")
    calls = traces.decisions[traces.decisions["action"] == "send"].groupby("arm").size()
    figure = Figure(figsize=(WIDTH_IN, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    delivered = durations[durations["outcome"] == "delivered"]
    few, note = chosen(traces)
    looks = arm_lines(traces)
    whole, until_s = delivered[delivered["of"] == "update"], delivered["upload_s"].max()
    for arm in few:
        arrived, steps = (
            whole[whole["arm"] == arm],
            delivered[(delivered["arm"] == arm) & (delivered["of"] != "update")],
        )
        called = max(int(calls.get(arm, 0)), int(((durations["arm"] == arm) & (durations["of"] == "update")).sum()))
        label = f"{arm}: adapters" if len(steps) else arm
        _draw_shares(left, label, looks[arm], arrived["upload_s"], len(arrived), until_s)
        _draw_shares(right, label, looks[arm], arrived["since_call_s"], called, whole["since_call_s"].max())
        if len(steps):
            look = looks[arm] | {"marker": "", "linewidth": STEPS_WIDTH}
            _draw_shares(left, f"{arm}: activations", look, steps["upload_s"], len(steps), until_s)
    left.set_title("How long a delivered upload takes")
    left.set_ylabel("uploads that took no longer, %")
    left.set_xlabel("time from ready to delivered, s")
    right.set_title("What a deadline would let in")
    right.set_ylabel("delivered by then, of those called, %")
    right.set_xlabel("time since the call, s")
    deadlines = sorted(set(traces.cells["deadline_s"].dropna()))
    for axes in (left, right):
        axes.set_ylim(0, 103)
        axes.set_xlim(left=0)
    if len(deadlines) == 1:
        right.axvline(deadlines[0], color="0.35", lw=1.2, ls=(0, (5, 4)), zorder=1)
        right.annotate(f"deadline {deadlines[0]:g} s", (deadlines[0], 3), (-4, 0), textcoords="offset points",
                       rotation=90, ha="right", va="bottom", color="0.35", fontsize=10)  # fmt: skip
    handles, labels = left.get_legend_handles_labels()
    legend_below(figure, handles, labels)
    figure.set_figheight(figure.get_figheight() + 0.2 * (len(labels) // columns(figure, labels)))
    figure.suptitle("How long uploads take" + below(note))
    return figure


def _draw_shares(axes: Axes, name: str, look: dict[str, Any], times_s: pd.Series, out_of: int, until_s: float) -> None:
    """A step up at each time, by one of `out_of`, and level from the last; of very many times some, at even shares."""
    times = np.sort(times_s.dropna().to_numpy())
    if len(times) > MOST_STEPS:
        ranks = np.unique(np.linspace(1, len(times), MOST_STEPS).round().astype(int))
    else:
        ranks = np.arange(1, len(times) + 1)
    shares = 100.0 * ranks / max(1, out_of)
    x = [times[0], *times[ranks - 1], until_s] if len(times) else []
    y = [0.0, *shares, shares[-1]] if len(times) else []
    axes.plot(x, y, drawstyle="steps-post", label=name if len(times) else f"{name}: none delivered",
              markevery=MARK_EVERY, **look)  # fmt: skip
