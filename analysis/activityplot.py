"""The picture of who did what when: a row a client, simulated time to the right, and how each transfer ended.

Draws the spans of `activity`; does not know how they follow from a trace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from analysis.activity import STEP_KINDS, UNSENT, Activity, activity, answered
from analysis.house import ACTIVITY_COLOURS, DEFERRED, LIMIT_COLOUR, WIDTH_IN, in_house_style
from analysis.spans import SAME_TIME_S
from analysis.steps import has_steps
from analysis.timeline import number_rounds, window_of
from analysis.traces import TraceError, Traces

MOST_ROWS = 200
"""Rows of an activity timeline; of more clients, so many are drawn."""
LEAST_ROUNDS, CALLS_SHOWN = 4, 4.0
"""Rounds drawn unless told, and how many calls of a median client they have to span: a round of an asynchronous run
is a server update, shorter than any call."""
STEPS_SHOWN = 10
"""Of split training, whose rounds have many parts, so many steps are drawn unless told."""
LEAST_SHARE = 0.25
"""Height of an upload that hardly ever had the air, as a share of a bar; lower could not be seen."""
ROW_IN, ALL_ROWS_IN, LEAST_ROW_IN = 0.44, 8.5, 0.05
LABELLED_ROWS, FEWEST_TICKS = 40, 8
"""Up to so many rows each has its number; with more, at least so many have theirs."""

_DEADLINE: dict[str, Any] = {"color": LIMIT_COLOUR, "linewidth": 1.4, "linestyle": "--"}
_ORDER = (
    "deferred", "server", "waiting", "computing", "forward", "backward", "downlink", "gradient", "activations",
    "sending", "repeating",
)  # fmt: skip
_LABELS = {
    "downlink": "receiving the model",
    "computing": "computing",
    "forward": "computing forward",
    "activations": "sending activations; height: its air",
    "server": "waiting for the server, and served",
    "gradient": "receiving the gradient",
    "backward": "computing backward",
    "waiting": "waiting for the air",
    "sending": "sending; height: share with the air",
    "repeating": "sending again: its share, put last",
    "deferred": "deferred or skipped",
    "not asked": "not asked: away or not picked",
}
_SPLIT_LABELS = _LABELS | {"downlink": "receiving its adapters", "sending": "sending its adapters; height: its air"}
_ENDS = {
    "deadline": ("D", "given up: deadline"),
    "attempts": ("X", "given up: no attempt left"),
    "left": ("<", "given up: client left"),
    "timeout": ("s", "given up: timeout"),
    "diverged": ("*", "nothing sent: diverged"),
    UNSENT: ("v", "computed, but never sent"),
    "": ("P", "given up"),
}
"""Marker and label of each reason."""


@in_house_style
def activity_timeline(
    traces: Traces,
    arm: str,
    seed: int | None = None,
    rounds: tuple[int, int] | None = None,
    clients: Sequence[int] | None = None,
) -> Figure:
    """What each client was doing when: one row a client, the simulated time to the right.

    Colours are receiving, computing, waiting, sending and sending again; a white row is a client that is done or idle.
    In the steps of split training they are the ways of a step: forward, sending activations, waiting for the server,
    receiving the gradient, backward; white is who waits for the others' step.
    The height of sending is the share of that time in which the client had the air (drawn as a quarter where it is
    less), with waiting above it. A trace does not say when packets were repeated: their share of the air time is put
    at the end of the upload. A red mark says why a transfer was given up; it is hollow if some packets had arrived.
    Lines are ends of rounds, dashed red ones deadlines.

    Parameters
    ----------
    traces
    arm
    seed
        By default the first one of the arm.
    rounds
        First and last round to draw; by default the first 4, or more if they are shorter than four calls of a client;
        of split training those of the first 10 steps.
    clients
        Which ones, in this order; by default all. Of more than 200, 200 are drawn at even distances, and the title
        says so.

    Raises
    ------
    TraceError
        For an arm, a seed or clients that are not there, or when none of the rounds has been finished.
    """
    cell = traces.select(arm, seed)
    shown = window_of(cell, arm, rounds or (1, _last_round(cell)))
    start_s, end_s = float(shown["t_start_s"].min()), float(shown["t_end_s"].max())
    rows, who = _rows(cell, arm, clients)
    drawn = activity(cell, rows, start_s, end_s)

    row_in = max(LEAST_ROW_IN, min(ROW_IN, ALL_ROWS_IN / len(rows)))
    figure = Figure(figsize=(WIDTH_IN, 2.4 + row_in * len(rows)), layout="constrained")
    axes = figure.subplots()
    bar = 0.78 if len(rows) <= LABELLED_ROWS else 0.9
    _draw_spans(axes, drawn.spans, rows, bar)
    _draw_ends(axes, drawn.ends, rows, size=max(4.0, min(8.0, 40 * row_in)))
    axes.vlines(shown["t_end_s"], 0, 1, transform=axes.get_xaxis_transform(), color="0.35", lw=1.0, zorder=2.5)
    deadline_s = float(cell.cells["deadline_s"].iloc[0])
    deadlines_s = shown["t_start_s"] + deadline_s
    met = deadlines_s <= shown["t_end_s"] + SAME_TIME_S  # else the round had ended, and this is the time of the next
    axes.vlines(deadlines_s[met], 0, 1, transform=axes.get_xaxis_transform(), zorder=2.6, **_DEADLINE)
    axes.set_xlim(start_s, end_s)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("simulated time, s")
    axes.set_ylabel("client, number")
    axes.grid(False)
    _number_rows(axes, rows)
    number_rounds(axes, shown, end_s - start_s, above=1.005)
    title = f"What each client was doing when: {arm}, seed {cell.cells['seed'].iloc[0]}"
    figure.suptitle(title + (f"\n({who})" if who else ""))
    handles = _handles(drawn)
    if not math.isnan(deadline_s):
        label = f"deadline: {deadline_s:g} s" + ("" if met.any() else ", reached by none")
        handles.append(Line2D([], [], **_DEADLINE, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _last_round(cell: Traces) -> int:
    """The first few rounds; of an asynchronous run more, because each is but one update of the server."""
    numbers, end_s = cell.rounds["round"].to_numpy(), cell.rounds["t_end_s"].to_numpy()
    if not len(numbers):
        return LEAST_ROUNDS
    if has_steps(cell):
        rounds = round(STEPS_SHOWN / float(cell.transmissions["step"].max()))
        return int(numbers[min(max(rounds, 1), len(numbers)) - 1])
    uploads = answered(cell.transmissions[cell.transmissions["direction"] == "up"], cell.decisions)
    call_s = float((uploads["t_end_s"] - uploads["called_s"]).median())
    wanted_s = cell.rounds["t_start_s"].iloc[0] + (0.0 if math.isnan(call_s) else CALLS_SHOWN * call_s)
    place = max(LEAST_ROUNDS - 1, int(np.searchsorted(end_s, wanted_s)))
    # A run of the last few rounds of a long one is not drawn for the sake of a slow client.
    return int(numbers[min(place, len(numbers) - 1)])


def _rows(cell: Traces, arm: str, wanted: Sequence[int] | None) -> tuple[list[int], str]:
    """The clients to draw, and what the title has to say about them."""
    there = sorted(
        {int(c) for c in (*cell.decisions["client"].unique(), *cell.transmissions["client"].unique())} - {-1}
    )
    if not there:
        raise TraceError(f"arm {arm!r} has no decision and no transmission; there is nothing to draw")
    if wanted is not None:
        unknown = sorted(set(wanted) - set(there))
        if unknown or not len(wanted):
            held = f"it has {len(there)} clients, from {there[0]} to {there[-1]}"
            raise TraceError(f"arm {arm!r}: clients {unknown} are not in the trace; {held}")
        there = list(wanted)
    if len(there) <= MOST_ROWS:
        return there, ""
    places = np.linspace(0, len(there) - 1, MOST_ROWS).round().astype(int)
    return [there[place] for place in places], f"{MOST_ROWS} of {len(there):,} clients, at even distances"


def _draw_spans(axes: Axes, spans: pd.DataFrame, rows: Sequence[int], bar: float) -> None:
    place = {client: row for row, client in enumerate(rows)}
    for order, kind in enumerate(_ORDER):
        own = spans[spans["kind"] == kind]
        row, share = own["client"].map(place).to_numpy(dtype=float), own["share"].to_numpy()
        full = np.ones(len(own))
        if kind in ("activations", "sending", "repeating"):
            height = np.clip(share, LEAST_SHARE, 1.0)
        else:
            height = full  # waiting inside an upload lies behind its sending
        bottom = row + bar / 2
        corners = _boxes(own["start_s"].to_numpy(), own["end_s"].to_numpy(), bottom - bar * height, bottom)
        look = DEFERRED if kind == "deferred" else {"facecolor": ACTIVITY_COLOURS[kind], "linewidth": 0}
        if kind in ("downlink", "gradient"):  # an edge, because it may be shorter than a pixel
            look = {"facecolor": ACTIVITY_COLOURS[kind], "edgecolor": ACTIVITY_COLOURS[kind], "linewidth": 0.7}
        axes.add_collection(PolyCollection(list(corners), label=kind, zorder=1 + 0.1 * order, **look), autolim=False)
    idle = spans[spans["kind"] == "not asked"]
    axes.hlines(
        idle["client"].map(place),
        idle["start_s"],
        idle["end_s"],
        color="0.6",
        lw=0.9,
        ls=(0, (1, 3)),
        zorder=1,
        label="not asked",
    )


def _boxes(left: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    x, y = np.stack([left, right, right, left], axis=-1), np.stack([low, low, high, high], axis=-1)
    return np.stack([x, y], axis=-1)


def _draw_ends(axes: Axes, ends: pd.DataFrame, rows: Sequence[int], size: float) -> None:
    place = {client: row for row, client in enumerate(rows)}
    for (reason, partial), own in ends.groupby([ends["reason"], ends["outcome"] == "partial"]):
        # Not clipped, because the last one may end with the window.
        axes.plot(
            own["t_s"], own["client"].map(place), linestyle="", marker=_ENDS.get(str(reason), _ENDS[""])[0], ms=size,
            markerfacecolor="white" if partial else LIMIT_COLOUR, markeredgecolor=LIMIT_COLOUR if partial else "white",
            mew=1.2 if partial else 0.6, zorder=4, clip_on=False,
        )  # fmt: skip


def _number_rows(axes: Axes, rows: Sequence[int]) -> None:
    if len(rows) <= LABELLED_ROWS:
        axes.set_yticks(range(len(rows)), [str(client) for client in rows], fontsize=10 if len(rows) <= 25 else 8)
    else:
        ticks = MaxNLocator(20, integer=True, steps=[1, 2, 5, 10]).tick_values(min(rows), max(rows))
        step = round(ticks[1] - ticks[0])
        places = [place for place, client in enumerate(rows) if client % step == 0]
        if len(places) < FEWEST_TICKS:  # the clients picked have other numbers
            places = list(range(0, len(rows), len(rows) // FEWEST_TICKS))
        axes.yaxis.set_major_locator(FixedLocator(places))
        axes.set_yticklabels([str(rows[place]) for place in places])
    axes.tick_params(axis="y", length=0 if len(rows) <= LABELLED_ROWS else 3)


def _handles(drawn: Activity) -> list[Line2D | Patch]:
    """What the picture holds, and no more."""
    kinds = set(drawn.spans["kind"])
    labels = _LABELS if kinds.isdisjoint(STEP_KINDS) else _SPLIT_LABELS
    handles: list[Line2D | Patch] = []
    for kind in ("downlink", "computing", *STEP_KINDS, "waiting", "sending", "repeating", "deferred"):
        if kind in kinds:
            look = DEFERRED if kind == "deferred" else {"color": ACTIVITY_COLOURS[kind]}
            handles.append(Patch(**look, label=labels[kind]))
    if "not asked" in kinds:
        handles.append(Line2D([], [], color="0.6", lw=1.2, ls=(0, (1, 3)), label=_LABELS["not asked"]))
    for reason in sorted(set(drawn.ends["reason"])):
        known = reason if reason in _ENDS else ""
        handles.append(_mark(_ENDS[known][0], LIMIT_COLOUR, _ENDS[known][1]))
    if (drawn.ends["outcome"] == "partial").any():
        handles.append(_mark("o", "white", "hollow: a part had arrived"))
    handles.append(Line2D([], [], color="0.35", lw=1.0, label="end of a round"))
    return handles


def _mark(marker: str, face: str, label: str) -> Line2D:
    edge = LIMIT_COLOUR if face == "white" else "white"
    return Line2D([], [], marker=marker, ls="", ms=8, markerfacecolor=face, markeredgecolor=edge, label=label)
