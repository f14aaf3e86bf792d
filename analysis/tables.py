"""The table of arms that a run prints: means over seeds, with their spread.

Knows traces and rich; nothing of how they came about.
"""

from __future__ import annotations

import math

import pandas as pd
from rich.table import Table

from analysis.traces import Traces
from analysis.tradeoff import summary_by_arm, targets_of


def arms_table(traces: Traces) -> Table:
    """One row an arm: accuracy, bits, seconds, joules, what each target took, round time against the budget.

    With several seeds a cell reads mean ± standard deviation; a dash means that some seed never reached the target.
    """
    frame = summary_by_arm(traces)
    seeds = len(traces.cells["seed"].unique())
    table = Table(
        title="Arms" + (f", mean ± standard deviation over {seeds} seeds" if seeds > 1 else ""),
        caption="accuracy: median of the last 3 rounds; to a target: first round whose median of 3 reaches it",
        box=None,
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )
    columns = [
        ("accuracy", "accuracy", 3),
        ("uplink_mbit", "uplink\nMbit", 1),
        ("time_s", "time\ns", 1),
        ("energy_j", "energy\nJ", 0),
    ]
    for target in targets_of(traces):
        columns += [
            (f"time_to_{target:g}_s", f"to {target:g}\ns", 1),
            (f"uplink_to_{target:g}_mbit", f"to {target:g}\nMbit", 1),
        ]
    columns += [
        ("round_time_s", "round\ns", 2),
        ("latency_budget_s", "budget\ns", 2),
        ("deferred", "deferred", 0),
        ("dropped", "dropped", 0),
    ]
    table.add_column("arm", no_wrap=True)
    for _, title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for arm in traces.arms:
        table.add_row(arm, *(_cell(frame.loc[arm], column, digits) for column, _, digits in columns))
    return table


def _cell(row: pd.Series, column: str, digits: int) -> str:
    mean, spread = float(row[(column, "mean")]), float(row[(column, "std")])
    if math.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" if math.isnan(spread) else f"{mean:.{digits}f}±{spread:.{digits}f}"
