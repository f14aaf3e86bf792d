"""How long, and how many bits, each arm takes to a target: a row an arm, every seed shown, and who never got there.

Draws `tradeoff.to_target`; does not know how a target is chosen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import tradeoff as costs
from analysis.armrows import ALL_ROWS_IN, draw_rows, name_rows, rows_in, rows_legend, shown_rows
from analysis.curveplot import cost_unit, nothing_learnt, quality_scale
from analysis.house import WIDTH_IN, below, in_house_style
from analysis.traces import TraceError, Traces

MOST_TARGETS = 3
"""Targets with a row of panels each; of more that were reached, the lowest and the highest."""
FEWER_ROWS = 18
"""Rows of a panel where there are several targets."""
QUANTITIES: dict[str, Callable[[pd.DataFrame, float], pd.Series]] = {
    "t_end_s": lambda table, target: table[f"time_to_{target:g}_s"],
    "uplink_bits": lambda table, target: table[f"uplink_to_{target:g}_mbit"] * costs.BITS_PER_MBIT,
}
"""Where `tradeoff.summary` holds what was spent until a target."""


@in_house_style
def time_to_target(traces: Traces) -> Figure:
    """What each arm spends until it reaches a target: simulated time and uplink bits, see `tradeoff.to_target`.

    A dot is a seed. A bar is the mean over the seeds, drawn only where every seed reached the target: a mean over those
    that did well would flatter the arm. Of the others the picture says how many never reached it.

    Targets that no run reached have no panel; the title names them.

    Raises
    ------
    TraceError
        If nothing was learnt, or no run has a target.
    """
    targets = costs.targets_of(traces)
    if not traces.learns:
        raise TraceError(f"{nothing_learnt(traces)}; there is no target to reach")
    if not targets:
        raise TraceError("these runs have no targets (targets: in the scenario); there is nothing to draw")
    table, (by, unit) = costs.summary(traces), quality_scale(traces.quality)
    reached = [target for target in targets if table[f"time_to_{target:g}_s"].notna().any()]
    shown = reached[: MOST_TARGETS - 1] + reached[-1:] if len(reached) > MOST_TARGETS else reached or targets[:1]
    arms, note = shown_rows(traces, FEWER_ROWS) if len(shown) > 1 else shown_rows(traces)
    notes = [note] if note else []
    if len(reached) > len(shown):
        notes.append(f"{len(shown)} of {len(reached)} targets reached")
    if missed := [f"{by * target:g}" for target in targets if target not in (*reached, *shown)]:
        notes.append(f"no run reached {', '.join(missed)}{unit}")
    height_in = 1.5 + len(shown) * (0.55 + rows_in(arms, ALL_ROWS_IN if len(shown) == 1 else 3.0))
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    rows = figure.subplots(len(shown), len(QUANTITIES), sharex="col", sharey=True, squeeze=False)
    for column, (quantity, of) in enumerate(QUANTITIES.items()):
        spent = {target: table[["arm", "seed"]].assign(value=of(table, target)) for target in shown}
        largest = pd.concat([values["value"] for values in spent.values()]).max()
        scale, label = cost_unit(quantity, 0.0 if np.isnan(largest) else float(largest))
        ends = []
        for axes, (target, values) in zip(rows[:, column], spent.items(), strict=True):
            draw_rows(axes, traces, arms, values.assign(value=values["value"] / scale), "never")
            ends.append(axes.get_xlim()[1] if values["value"].notna().any() else 0.0)
            axes.set_title(f"to {by * target:g}{unit} {traces.quality.metric}" if column == 0 else "")
        rows[0, column].set_xlim(0, max(ends) or 1.0)
        rows[-1, column].set_xlabel(label)
    for axes in rows.flat:
        name_rows(axes, arms)
    figure.suptitle(f"What it takes to a target: time (left) and bits (right){below(*notes)}")
    rows_legend(figure, traces, " where each reached it; a target counts when the median of 3 rounds reaches it")
    return figure
