"""The picture of the ledger of bits: what clients offered and what became of it, what the air carried for it.

Draws `ledger.bits_ledger`; does not know transmissions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis import grid
from analysis.armrows import name_rows, rows_in, shown_rows
from analysis.house import WIDTH_IN, below, in_house_style
from analysis.ledger import AIR, PAYLOAD, bits_ledger
from analysis.traces import TraceError, Traces

# From dark to light, so that the order of the parts stays without colour; hatched is what was lost.
LOOKS = {
    "delivered_bits": ("#0072B2", "", "payload of updates that came"),
    "partial_bits": ("#56B4E9", "....", "payload that arrived of updates that did not"),
    "dropped_bits": ("#D55E00", "////", "payload that never arrived"),
    "in_flight_bits": ("#F3E3B0", "", "payload still under way at the end"),
    "repeat_bits": ("#E69F00", "\\\\\\\\", "packets sent again (share of packets)"),
    "other_bits": ("#C8C8C8", "", "headers, and packets that never arrived"),
}


@in_house_style
def ledger_bars(traces: Traces) -> Figure:
    """The ledger of uplink bits, a bar an arm: payload offered, and what was on the air; means over the seeds.

    Left: offered = delivered + dropped + in flight. Right: payload that arrived, packets sent again, and the rest.

    Raises
    ------
    TraceError
        If no upload has ended.
    """
    books = bits_ledger(traces)
    if not books["offered_bits"].sum() > 0:
        raise TraceError("no upload has ended yet; there is nothing to draw")
    arms, note = shown_rows(traces)
    means = books.groupby("arm").mean(numeric_only=True).reindex(arms)
    figure = Figure(figsize=(WIDTH_IN, 2.3 + rows_in(arms)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, sharex=True)
    scale, unit = grid.scale_of("bit", float(means[["offered_bits", "sent_bits"]].to_numpy().max()))
    _draw_bars(left, means / scale, PAYLOAD, 100 * means["delivered_bits"] / means["offered_bits"], "came")
    _draw_bars(right, means / scale, AIR, 100 * means["delivered_bits"] / means["sent_bits"], "useful")
    name_rows(left, arms)
    right.grid(False, axis="y")
    left.set_title("Offered = delivered + dropped + in flight")
    right.set_title("On the air, for the uploads that ended")
    for axes in (left, right):
        axes.set_xlim(0, 1.42 * float(means[["offered_bits", "sent_bits"]].to_numpy().max()) / scale)
        axes.set_xlabel(f"uplink of all clients, {unit}")
    seen = [name for name in LOOKS if means[name].sum() > 0]
    handles = [Patch(facecolor=LOOKS[n][0], hatch=LOOKS[n][1], edgecolor="white", label=LOOKS[n][2]) for n in seen]
    seeds = int(traces.cells.groupby("arm").size().max())
    title = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
    figure.legend(handles=handles, title=title, loc="outside lower center", ncols=2 if len(handles) > 3 else 3)
    figure.suptitle(f"Where the bits went{below(note)}")
    return figure


def _draw_bars(axes: Axes, means: pd.DataFrame, parts: Sequence[str], shares: pd.Series, word: str) -> None:
    base = np.zeros(len(means))
    for name in parts:
        colour, hatch, _ = LOOKS[name]
        width = means[name].to_numpy()
        look: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.6}
        axes.barh(range(len(means)), width, 0.66, left=base, label=name, **look)
        base = base + width
    for row, (end, share) in enumerate(zip(base, shares, strict=True)):
        text = f"{end:.3g}" + ("" if np.isnan(share) else f"  ({share:.0f} % {word})")
        axes.annotate(text, (end, row), (5, 0), textcoords="offset points", va="center", color="0.3", fontsize=9)
