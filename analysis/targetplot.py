"""How long, and how many bits, each arm takes to a target: a row an arm, every seed shown, and who never got there.

Draws `tradeoff.to_target`; does not know how a target is chosen.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis import tradeoff as costs
from analysis.armrows import ROW_IN, draw_rows, name_rows, rows_legend, shown_rows
from analysis.curveplot import NO_ACCURACY, cost_unit, quality_scale
from analysis.grid import evenly
from analysis.house import WIDTH_IN, below, in_house_style
from analysis.traces import TraceError, Traces

MOST_TARGETS = 3
"""Targets with a row of panels each; of more, so many at even distances."""
FEWER_ROWS = 18
"""Rows of a panel where there are several targets."""
QUANTITIES = ("t_end_s", "uplink_bits")


@in_house_style
def time_to_target(traces: Traces) -> Figure:
    """What each arm spends until it reaches a target: simulated time and uplink bits, see `tradeoff.to_target`.

    A dot is a seed. A bar is the mean over the seeds, drawn only where every seed reached the target: a mean over those
    that did well would flatter the arm. Of the others the picture says how many never reached it.

    Raises
    ------
    TraceError
        If nothing was learnt, or no run has a target.
    """
    targets = costs.targets_of(traces)
    if not traces.learns:
        raise TraceError(f"{NO_ACCURACY if len(traces.rounds) else 'no round has been finished yet'}; no target to reach")
    if not targets:
        raise TraceError("these runs have no targets (targets: in the scenario); there is nothing to draw")
    shown = sorted(float(text) for text in evenly([f"{target!r}" for target in targets], MOST_TARGETS))
    arms, note = shown_rows(traces, FEWER_ROWS) if len(shown) > 1 else shown_rows(traces)
    if len(shown) < len(targets):
        note = "; ".join(part for part in (note, f"{len(shown)} of {len(targets)} targets") if part)
    figure = Figure(figsize=(WIDTH_IN, 1.5 + len(shown) * (0.55 + ROW_IN * len(arms))), layout="constrained")
    rows = figure.subplots(len(shown), len(QUANTITIES), sharex="col", sharey=True, squeeze=False)
    by, unit = quality_scale(traces.quality)
    for column, quantity in enumerate(QUANTITIES):
        spent = {target: spent_to(traces, target, quantity) for target in shown}
        largest = max(float(values["value"].max()) if values["value"].notna().any() else 0.0 for values in spent.values())
        scale, label = cost_unit(quantity, largest)
        ends = []
        for axes, (target, values) in zip(rows[:, column], spent.items(), strict=True):
            draw_rows(axes, traces, arms, values.assign(value=values["value"] / scale), "never")
            ends.append(axes.get_xlim()[1] if values["value"].notna().any() else 0.0)
            axes.set_title(f"to {by * target:g}{unit} {traces.quality.metric}" if column == 0 else "")
        rows[0, column].set_xlim(0, max(ends) or 1.0)
        rows[-1, column].set_xlabel(label)
    name_rows(rows[0, 0], arms)
    for axes in rows.flat:
        axes.grid(False, axis="y")
    figure.suptitle(f"What it takes to a target: time (left) and bits (right){below(note)}")
    rows_legend(figure, traces, " where each reached it; a target counts when the median of 3 rounds reaches it")
    return figure


def spent_to(traces: Traces, target: float, quantity: str) -> pd.DataFrame:
    """``arm, seed, value``: what each cell had spent when it reached the target; NaN where it never did."""
    rows = [
        (arm, seed, costs.to_target(costs.cell_rounds(traces, arm, seed), target, quantity, traces.quality))
        for arm in traces.arms
        for seed in traces.seeds(arm)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "value"])
