"""The air over time: what each client sent, when, over which link, and what became of it.

Draws the rows of a trace as they are; does not know how a link or a schedule works.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from analysis.activity import activity
from analysis.house import ACTIVITY_COLOURS, COLOURS, DEFERRED, LIMIT_COLOUR, WIDTH_IN, in_house_style
from analysis.steps import has_steps
from analysis.traces import TraceError, Traces
from analysis.updates import CODINGS_BITS, FULL_BITS

MAX_CLIENTS = 12
"""Rows of a link timeline; more could not be read."""
LINK_ROUNDS = (1, 8)
FADE_DEPTH_DB = 8.0
"""How far below the lowest mean the scale reaches; deep fades, a slot long, would flatten all the rest."""

ADAPTERS_COLOUR = COLOURS[4]
"""Of the adapters of split training, to which the coding of its activations does not apply."""
LANE_BOTTOM, LANE_HEIGHT = 0.03, 0.12
"""Where in a row downlink and computing are drawn, as shares of its height."""


@in_house_style
def link_timeline(traces: Traces, arm: str, seed: int | None = None, rounds: tuple[int, int] = LINK_ROUNDS) -> Figure:
    """What each client sent, when, over which link: one row a client, the simulated time to the right.

    A horizontal bar is an upload: its height the mean SNR in the granted band, its colour the kept fraction (of split
    training, how activations are coded, on one scale for all arms; adapters have a colour of their own), its length the
    time on the air. The whisker falls to the lowest SNR of a slot, or off the scale. Below it lie the downlink and the
    computing; a hatched round was deferred, a cross is a transmission given up, a red number counts the packets lost.
    Beyond 12 clients the first 12 are drawn, and the title says so.

    Parameters
    ----------
    traces
    arm
    seed
        By default the first one of the arm.
    rounds
        First and last round to draw; few, so that a person can read them.

    Raises
    ------
    TraceError
        For an arm or seed that is not there, or when none of the rounds has been finished.
    """
    cell = traces.select(arm, seed)
    shown = window_of(cell, arm, rounds)
    start_s, end_s = float(shown["t_start_s"].iloc[0]), float(shown["t_end_s"].iloc[-1])
    everyone = sorted((set(cell.decisions["client"]) | set(cell.transmissions["client"])) - {-1})
    if not everyone:
        raise TraceError(f"arm {arm!r} has no decision and no transmission; there is nothing to draw")
    clients = everyone[:MAX_CLIENTS]
    uploads = cell.transmissions[
        (cell.transmissions["direction"] == "up")
        & cell.transmissions["client"].isin(clients)
        & (cell.transmissions["t_end_s"] > start_s)  # one may go on past the end of its round
        & (cell.transmissions["t_start_s"] < end_s)
    ]
    drawn = activity(cell, clients, start_s, end_s)
    split = has_steps(cell)
    colour_map, norm = _kept_colours(uploads, split)
    low, high = _snr_range(uploads)

    figure = Figure(figsize=(WIDTH_IN, max(4.5, 2.3 + 0.78 * len(clients))), layout="constrained")
    grid = figure.subplots(len(clients), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, client in zip(grid, clients, strict=True):
        axes.set_ylabel(f"client {client}", rotation=0, ha="right", va="center", labelpad=8)
        axes.grid(False, axis="x")
        axes.vlines(shown["t_start_s"], 0, 1, transform=axes.get_xaxis_transform(), color="0.75", lw=0.8, zorder=0)
        _draw_device(axes, drawn.spans[drawn.spans["client"] == client])
        lost = drawn.ends[(drawn.ends["client"] == client) & (drawn.ends["direction"] == "down")]
        for at_s in lost["t_s"]:
            _cross(axes, at_s, LANE_BOTTOM + LANE_HEIGHT / 2, transform=axes.get_xaxis_transform())
        _draw_uploads(axes, uploads[uploads["client"] == client], colour_map, norm, split, (low, high), end_s)
    # Room below for downlink and computing, above for the number of lost packets.
    grid[0].set_ylim(low - 0.32 * (high - low), high + 0.45 * (high - low))
    ticks = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(low, high)
    grid[0].set_yticks([tick for tick in ticks if low <= tick <= high][-2:])  # a row has room for two
    grid[0].set_xlim(start_s, end_s)
    number_rounds(grid[0], shown, end_s - start_s)
    grid[-1].set_xlabel("simulated time, s")
    figure.supylabel("SNR of the uplink in the granted band, dB", fontsize=11)
    label, whole = (
        ("coding of activations, bits a value", FULL_BITS) if split else ("kept fraction of the update, %", 100)
    )
    codings = [bits / FULL_BITS for bits in CODINGS_BITS] if split else None
    figure.colorbar(
        ScalarMappable(norm, colour_map), ax=list(grid), label=label, pad=0.01, aspect=40, ticks=codings,
        format=lambda value, _: f"{whole * value:g}",
    )  # fmt: skip
    who = f"\n(the first {len(clients)} of {len(everyone)} clients)" if len(everyone) > len(clients) else ""
    seed_shown = cell.cells["seed"].iloc[0]
    figure.suptitle(f"What was sent when, and over which link: {arm}, seed {seed_shown}{who}")
    figure.legend(handles=_handles(colour_map, split), loc="outside lower center", ncols=4)
    return figure


def _kept_colours(uploads: pd.DataFrame, split: bool) -> tuple[Colormap, Normalize]:
    # Viridis without its yellow end, which white swallows; dark is the whole update.
    colours = matplotlib.colormaps["viridis"](np.linspace(0.85, 0.0, 256))
    most = float(uploads["kept_fraction"].max()) if len(uploads) else 1.0
    # From 0 to 1, so that a shade means the same in every arm, unless all would look alike; codings are told apart.
    narrow = 0 < most < 0.3 and not split
    return LinearSegmentedColormap.from_list("kept", colours), Normalize(0, most if narrow else 1.0)


def _snr_range(uploads: pd.DataFrame) -> tuple[float, float]:
    mean_db, min_db = uploads["snr_mean_db"].dropna(), uploads["snr_min_db"].dropna()
    if mean_db.empty:
        return 0.0, 20.0
    low, high = max(min_db.min(), mean_db.min() - FADE_DEPTH_DB), mean_db.max()
    return float(low), float(max(high, low + 10))


def _draw_device(axes: Axes, spans: pd.DataFrame) -> None:
    """Downlink, computing and deferred rounds of one client."""

    def ranges(*kinds: str) -> list[tuple[float, float]]:
        own = spans[spans["kind"].isin(kinds)]
        return list(zip(own["start_s"], own["end_s"] - own["start_s"], strict=True))

    to_row = axes.get_xaxis_transform()
    lane = (LANE_BOTTOM, LANE_HEIGHT)
    axes.broken_barh(ranges("deferred"), (0, 1), transform=to_row, **DEFERRED)
    computing = ranges("computing", "forward", "backward")
    axes.broken_barh(computing, lane, transform=to_row, facecolor=ACTIVITY_COLOURS["computing"])
    # An edge, because a broadcast may be shorter than a pixel.
    colour = ACTIVITY_COLOURS["downlink"]
    axes.broken_barh(
        ranges("downlink", "gradient"), lane, transform=to_row, facecolor=colour, edgecolor=colour, linewidth=0.8
    )


def _draw_uploads(
    axes: Axes, uploads: pd.DataFrame, colour_map: Colormap, norm: Normalize, split: bool,
    range_db: tuple[float, float], until_s: float,
) -> None:  # fmt: skip
    low, high = range_db
    middle_s, mean_db = (uploads["t_start_s"] + uploads["t_end_s"]) / 2, uploads["snr_mean_db"]
    lowest_db = uploads["snr_min_db"].clip(lower=low)
    cut = uploads["snr_min_db"] < low
    axes.vlines(middle_s, lowest_db, mean_db, color="0.35", linewidth=1)
    axes.plot(middle_s[~cut], lowest_db[~cut], color="0.35", marker="_", linestyle="", markersize=4)
    axes.plot(middle_s[cut], lowest_db[cut], color="0.35", marker="v", linestyle="", markersize=4)
    colours = colour_map(norm(uploads["kept_fraction"].to_numpy()))
    if split:
        colours[~(uploads["step"] > 0).to_numpy()] = to_rgba(ADAPTERS_COLOUR)
    axes.hlines(mean_db, uploads["t_start_s"], uploads["t_end_s"], colors=colours, linewidth=5, zorder=3)
    given_up = (uploads["outcome"] != "delivered") & (uploads["t_end_s"] <= until_s)
    for upload in uploads[given_up].to_dict("records"):
        _cross(axes, upload["t_end_s"], upload["snr_mean_db"])
    for at_s, lost in zip(middle_s, uploads["lost"], strict=True):
        if lost:
            top_db = high + 0.42 * (high - low)
            text = axes.text(
                at_s, top_db, str(lost), color=LIMIT_COLOUR, fontsize=8, ha="center", va="top", clip_on=True
            )
            text.set_in_layout(False)  # it lies inside; measuring hundreds of them is what takes the time


def _cross(axes: Axes, x: float, y: float, **kwargs: Any) -> None:
    # Not clipped, because the last one may end with the window.
    axes.plot(x, y, "x", color=LIMIT_COLOUR, ms=8, mew=2.2, zorder=4, clip_on=False, **kwargs)


def window_of(cell: Traces, arm: str, rounds: tuple[int, int]) -> pd.DataFrame:
    """The finished rounds from the first to the last of `rounds`; `TraceError` if there is none."""
    first, last = rounds
    shown = cell.rounds[cell.rounds["round"].between(first, last)]
    if shown.empty:
        raise TraceError(f"arm {arm!r} has no finished round from {first} to {last}; it has {len(cell.rounds)} rounds")
    return shown


def number_rounds(axes: Axes, rounds: pd.DataFrame, span_s: float, above: float = 1.04) -> None:
    """Write the numbers of the rounds above their middles, where they fit."""
    for row in rounds.to_dict("records"):
        share = (row["t_end_s"] - row["t_start_s"]) / span_s if span_s > 0 else 1.0
        if share > 0.02:  # else the number is wider than its round
            middle_s = (row["t_start_s"] + row["t_end_s"]) / 2
            axes.text(
                middle_s, above, f"round {row['round']}" if share > 0.07 else str(row["round"]),
                transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=9, color="0.3",
            )  # fmt: skip


def _handles(colour_map: Colormap, split: bool) -> list[Line2D | Patch]:
    def mark(marker: str, colour: str, size: float, label: str) -> Line2D:
        return Line2D(
            [], [], marker=marker, color=colour, markersize=size, markeredgewidth=2.2 * (marker == "x"),
            linestyle="", label=label,
        )  # fmt: skip

    what = "upload of activations" if split else "upload"
    adapters = [Line2D([], [], color=ADAPTERS_COLOUR, linewidth=5, label="the same of adapters")]
    return [
        Line2D([], [], color=colour_map(0.6), linewidth=5, label=f"{what}, at its mean SNR"),
        *(adapters if split else ()),
        mark("$\\perp$", "0.35", 9, "down to its lowest slot"),
        mark("v", "0.35", 5, "… which is off the scale"),
        Patch(**DEFERRED, label="deferred, does not train"),
        Patch(color=ACTIVITY_COLOURS["downlink"], label="downlink"),
        Patch(color=ACTIVITY_COLOURS["computing"], label="computing"),
        mark("$7$", LIMIT_COLOUR, 6, "packets lost"),
        mark("x", LIMIT_COLOUR, 8, "given up"),
    ]
