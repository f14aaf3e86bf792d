"""The tables of arms that a run prints: what was learnt and what the air did; means over seeds, with their spread.

Knows traces and rich; nothing of how they came about.
"""

from __future__ import annotations

import math

import pandas as pd
from rich.markup import escape
from rich.table import Table

from analysis.traces import Traces
from analysis.tradeoff import mean_by_arm, summary_by_arm, targets_of
from analysis.uploads import REASONS, air_summary

NARROWEST = 16
"""Characters that the name of an arm keeps in a line on a narrow terminal, where it goes on in the next one."""

_BUDGET_IS_KEPT = "round / budget: mean time of a round over the latency budget, which is kept up to 1"
_BUDGET = [("latency_budget_s", "budget\ns", 2), ("over_budget", "round /\nbudget", 3)]


def arms_table(traces: Traces) -> Table:
    """One row an arm: quality, bits, seconds, joules, what each target took, round time against the budget.

    Quality is accuracy, or perplexity. With several seeds a cell reads mean ± standard deviation; a dash means that
    some seed never reached the target.
    """
    frame, quality = summary_by_arm(traces), traces.quality
    for part, more in (("mean", 1.0), ("std", 0.0)):
        frame["over_budget", part] = frame["violation", part] + more
    lower = " (lower is better)" if quality.better == "lower" else ""
    caption = (
        f"{quality.metric}: median of the last 3 rounds{lower}; to a target: first round whose median of 3 reaches it"
    )
    budgets = bool(traces.cells["latency_budget_s"].notna().any())
    table = _table("Arms", traces, f"{caption}\n{_BUDGET_IS_KEPT}" if budgets else caption)
    columns = [
        (quality.metric, quality.metric, 3 if quality.better == "higher" else 1),
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
        *(_BUDGET if budgets else []),
        ("deferred", "deferred", 0),
        ("dropped", "dropped", 0),
        *([("late", "late", 0)] if (frame[("late", "mean")] > 0).any() else []),
    ]
    groups = traces.cells.drop_duplicates("arm").set_index("arm")["group"]
    apart = bool(traces.axes) and (groups != groups.shift()).sum() == groups.nunique()
    _fill(table, frame, columns, groups if apart else None)
    return table


def air_table(traces: Traces) -> Table:
    """One row an arm: what the air carried, to whom, how fast and what it cost; see `uploads.air_summary`.

    Reasons that dropped no upload of any arm have no column.
    """
    frame = mean_by_arm(air_summary(traces), traces.arms)
    without = "" if traces.learns else " (no accuracy: a run without learning)"
    budgets = bool(frame[("latency_budget_s", "mean")].notna().any())
    table = _table(
        "The air" + without,
        traces,
        "partial: given up with some packets through; never sent: called, but the model did not arrive, or the client\n"
        "left or was late before it could send;\n"
        "participation: delivered updates a client and round; fairness: Jain's index of them, over all clients;\n"
        "goodput: payload of delivered uploads over the simulated time; upload: those, from ready to the end"
        + (f"\n{_BUDGET_IS_KEPT}" if budgets else ""),
    )
    columns = [("rounds", "rounds", 0), ("delivered", "delivered", 0), ("partial", "partial", 0)]
    for reason in REASONS:
        if (frame[(f"dropped_{reason}", "mean")] > 0).any():
            columns.append((f"dropped_{reason}", f"dropped:\n{reason}", 0))
    if (frame[("never_sent", "mean")] > 0).any():
        columns.append(("never_sent", "never\nsent", 0))
    columns += [
        ("deferred", "deferred", 0),
        ("participation", "partici-\npation", 3),
        ("fairness", "fair-\nness", 3),
        ("uplink_mbit", "uplink\nMbit", 1),
        ("simulated_s", "time\ns", 1),
        *(_BUDGET if budgets else []),
        ("updates_per_s", "updates\n/s", 2),
        ("goodput_mbps", "goodput\nMbit/s", 3),
        ("upload_mean_s", "upload\nmean, s", 3),
        ("upload_p95_s", "95 %\ns", 3),
        ("energy_j", "energy\nJ", 0),
    ]
    _fill(table, frame, columns)
    return table


def _table(title: str, traces: Traces, caption: str) -> Table:
    seeds = len(traces.cells["seed"].unique())
    return Table(
        title=title + (f", mean ± standard deviation over {seeds} seeds" if seeds > 1 else ""),
        caption="\n".join([caption, *(f"note: {escape(note)}" for note in traces.notes)]),
        box=None,
        pad_edge=False,
        title_justify="left",
        caption_justify="left",
    )


def _fill(
    table: Table, frame: pd.DataFrame, columns: list[tuple[str, str, int]], groups: pd.Series | None = None
) -> None:
    """Fill a table from means by arm; an empty line stands between the `groups` of a grid."""
    table.add_column("arm", overflow="fold", min_width=NARROWEST)
    for _, title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    before = None
    for arm in frame.index:
        group = None if groups is None else groups[arm]
        if before is not None and group != before:
            table.add_row()
        before = group
        table.add_row(str(arm), *(_cell(frame.loc[arm], column, digits) for column, _, digits in columns))


def _cell(row: pd.Series, column: str, digits: int) -> str:
    mean, spread = float(row[(column, "mean")]), float(row[(column, "std")])
    if math.isnan(mean):
        return "-"
    return f"{mean:.{digits}f}" if math.isnan(spread) else f"{mean:.{digits}f}±{spread:.{digits}f}"
