"""The tables of arms that a run prints: what was learnt and what the air did; means over seeds, with their spread.

Knows traces and rich; nothing of how they came about.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import NamedTuple

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.clientgroups import ClientGroup, ends, groups_of
from analysis.traces import Traces
from analysis.tradeoff import evaluated_rounds, mean_by_arm, summary_by_arm, targets_of, window_in_words
from analysis.updates import CODING_IN_WORDS, SAME
from analysis.uploads import REASONS, air_summary

NARROWEST = 16
"""Characters that the name of an arm keeps in a line on a narrow terminal, where it goes on in the next one."""
WIDEST_NAME = 40
"""Characters from which on it goes on in the next line anyway."""
WIDTH = 100
"""Characters of a line, unless a caller says less."""


class _Column(NamedTuple):
    name: str
    title: str
    digits: int


_BETWEEN = 2  # spaces between columns
_DUE = [_Column("due_s", "budget\ns", 2), _Column("over_budget", "round /\nbudget", 3)]
_STEPS = [
    _Column("activations_mean_s", "activations\nmean, s", 3),
    _Column("activations_p95_s", "95 %\ns", 3),
    _Column("gradient_mean_s", "gradient\nmean, s", 3),
    _Column("gradient_p95_s", "95 %\ns", 3),
    _Column("steps_lost", "lost in\nsteps", 0),
]
_UPDATE_IN_WORDS = {
    "update_kbit": "update: mean bits of an update as the codec wrote it",
    "kept": "kept: mean kept fraction of an update",
    "coding_bits": f"coding: mean {CODING_IN_WORDS}",
}
_ALL = 0.9995  # kept fractions from here on are shown as 1.000


def arms_table(traces: Traces, width: int = WIDTH) -> Group:
    """One row an arm: quality, bits, seconds, joules, what each target took, round time against the budget.

    Quality is accuracy, or perplexity. With several seeds a cell reads mean ± standard deviation; a dash means that
    some seed never reached the target. Targets that no arm reached with all seeds have no column. The bits of an update
    have one where arms differ in them, and its kept fraction where some arm leaves something out. What does not fit
    `width` goes into a table below.
    """
    frame, quality = summary_by_arm(traces), traces.quality
    lower = " (lower is better)" if quality.better == "lower" else ""
    captions = [f"{quality.metric}: median of {window_in_words(evaluated_rounds(traces))}{lower}"]
    main = [
        _Column(quality.metric, quality.metric, 3 if quality.better == "higher" else 1),
        _Column("uplink_mbit", "uplink\nMbit", 1),
        _Column("time_s", "time\ns", 1),
        _Column("energy_j", "energy\nJ", 0),
    ]
    update = _update_columns(frame)
    main += update
    captions += [_UPDATE_IN_WORDS[column.name] for column in update]
    rounds = [_Column("round_time_s", "round\ns", 2), *(_DUE if frame["due_s", "mean"].notna().any() else [])]
    happened = [name for name in ("deferred", "dropped", "late") if (frame[name, "mean"] > 0).any()]
    rounds += [_Column(name, name, 0) for name in happened]
    captions += ["" if happened else "no client was deferred, and no update was dropped or late"]
    targets, missed = list[list[_Column]](), list[str]()
    for target in targets_of(traces):
        if frame[f"time_to_{target:g}_s", "mean"].isna().all():
            missed.append(f"{target:g}")
            continue
        seconds = _Column(f"time_to_{target:g}_s", f"to {target:g}\ns", 1)
        targets.append([seconds, _Column(f"uplink_to_{target:g}_mbit", f"to {target:g}\nMbit", 1)])
    captions += ["to a target: first round whose median of 3 reaches it"] if targets else []
    captions += [f"no arm reaches {', '.join(missed)} with every seed"] if missed else []
    captions += _due_in_words(traces)
    groups = traces.cells.drop_duplicates("arm").set_index("arm")["group"]
    apart = bool(traces.axes) and (groups != groups.shift()).sum() == groups.nunique()
    return _tables("Arms", traces, frame, [main, rounds, *targets], captions, width, groups if apart else None)


def groups_table(traces: Traces, width: int = WIDTH) -> Group:
    """One row an arm: the quality that each group of clients (`learning.groups`) reached in its own task."""
    quality, rows = traces.quality, ends(traces)
    names = {group: f"group {n}" for n, group in enumerate(groups_of(traces))}
    digits = 3 if quality.better == "higher" else 1
    columns = [_Column(names[group], f"{group.name}\n{group.short}", digits) for group in names]
    whose = [names[ClientGroup(*own)] for own in zip(rows["name"], rows["task"], strict=True)]
    wide = rows.assign(whose=whose).pivot(index=["arm", "seed"], columns="whose", values=quality.metric)
    frame = mean_by_arm(wide.reindex(columns=list(names.values())).reset_index(), traces.arms)
    caption = f"{quality.metric} of each group's own task, median of {window_in_words(evaluated_rounds(traces))}"
    return _tables("Groups", traces, frame, [[column] for column in columns], [caption], width)


def air_table(traces: Traces, width: int = WIDTH) -> Group:
    """One row an arm: what the air carried, to whom, how fast and what it cost; see `uploads.air_summary`.

    Reasons that dropped no upload of any arm have no column. What does not fit `width` goes into a table below.
    """
    frame = mean_by_arm(air_summary(traces), traces.arms)
    without = "" if traces.learns else " (no accuracy: a run without learning)"
    captions = [
        "partial: given up with some packets through; never sent: called, but the model did not arrive, or the client "
        "left or was late before it could send",
        "participation: delivered updates a client and round; fairness: Jain's index of them, over all clients",
        "goodput: payload of delivered uploads over the simulated time; upload: those, from ready to the end",
    ]
    fates = [_Column("rounds", "rounds", 0), _Column("delivered", "delivered", 0), _Column("partial", "partial", 0)]
    for reason in REASONS:
        if (frame[(f"dropped_{reason}", "mean")] > 0).any():
            fates.append(_Column(f"dropped_{reason}", f"dropped:\n{reason}", 0))
    if (frame[("never_sent", "mean")] > 0).any():
        fates.append(_Column("never_sent", "never\nsent", 0))
    fates += [
        _Column("deferred", "deferred", 0),
        _Column("participation", "partici-\npation", 3),
        _Column("fairness", "fair-\nness", 3),
    ]
    update = [] if traces.learns else _update_columns(frame)  # else the other table has them
    captions += [_UPDATE_IN_WORDS[column.name] for column in update]
    spent = [
        *update,
        _Column("uplink_mbit", "uplink\nMbit", 1),
        _Column("simulated_s", "time\ns", 1),
        *(_DUE if frame["due_s", "mean"].notna().any() else []),
        _Column("energy_j", "energy\nJ", 0),
    ]
    speeds = [
        _Column("updates_per_s", "updates\n/s", 2),
        _Column("goodput_mbps", "goodput\nMbit/s", 3),
        _Column("upload_mean_s", "upload\nmean, s", 3),
        _Column("upload_p95_s", "95 %\ns", 3),
    ]
    blocks = [fates, spent, speeds]
    if frame["steps_lost", "mean"].notna().any():
        captions += [
            "of split training all these but goodput are of adapters; activations (up) and gradient (down) are those "
            "of a step, from ready to the end; lost in steps: such transfers that were given up"
        ]
        blocks.append(_STEPS)
    return _tables("The air" + without, traces, frame, blocks, [*captions, *_due_in_words(traces)], width)


def _update_columns(frame: pd.DataFrame) -> list[_Column]:
    """What an update took: its bits where arms differ in them, what was kept where some arm leaves something out.

    Split training keeps all, and chooses how activations are coded.
    """
    kbit, kept = frame["update_kbit", "mean"], frame["kept", "mean"]
    columns = [_Column("update_kbit", "update\nkbit", 1)] if kbit.max() - kbit.min() > SAME * kbit.max() else []
    columns += [_Column("kept", "kept", 3)] if (kept < _ALL).any() else []
    return columns + ([_Column("coding_bits", "coding\nbit", 1)] if frame["coding_bits", "mean"].notna().any() else [])


def _due_in_words(traces: Traces) -> list[str]:
    """What a round is held against, if anything."""
    budget = traces.cells["latency_budget_s"]
    deadline = traces.cells["schedule_deadline_s"].where(budget.isna())
    over = ["the latency budget"] if budget.notna().any() else []
    over += ["the deadline of the schedule"] if deadline.notna().any() else []
    return [f"round / budget: mean time of a round over {' or '.join(over)}, which is kept up to 1"] if over else []


def _tables(
    title: str,
    traces: Traces,
    frame: pd.DataFrame,
    blocks: Sequence[Sequence[_Column]],
    captions: Sequence[str],
    width: int,
    groups: pd.Series | None = None,
) -> Group:
    """As many tables below each other as keep to `width`, and captions; blocks are parted where they have to be."""
    seeds = len(traces.cells["seed"].unique())
    over = f", mean ± standard deviation over {seeds} seeds" if seeds > 1 else ""
    tables: list[RenderableType] = []
    for columns in _parts(frame, blocks, width):
        tables += ["" if tables else Text(title + over, style="italic"), _table(frame, columns, groups)]
    told = [*captions, *(f"note: {note}" for note in traces.notes)]
    return Group(*tables, *(Text(line, style="dim italic") for text in told for line in wrap(text, width)))


def _parts(frame: pd.DataFrame, blocks: Sequence[Sequence[_Column]], width: int) -> Iterator[list[_Column]]:
    """The columns of each table."""
    columns: list[_Column] = []
    for block in blocks:
        for piece in [block] if _fits(frame, block, width) else [[column] for column in block]:
            if columns and not _fits(frame, [*columns, *piece], width):
                yield columns
                columns = []
            columns += piece
    yield columns


def _fits(frame: pd.DataFrame, columns: Sequence[_Column], width: int) -> bool:
    name = min(WIDEST_NAME, max([NARROWEST, *(len(str(arm)) for arm in frame.index)]))
    return name + sum(_BETWEEN + _width(frame, column) for column in columns) <= width


def _width(frame: pd.DataFrame, column: _Column) -> int:
    cells = [_cell(frame.loc[arm], column) for arm in frame.index]
    return max(map(len, (*column.title.split("\n"), *cells)))


def _table(frame: pd.DataFrame, columns: Sequence[_Column], groups: pd.Series | None) -> Table:
    """A table of means by arm; an empty line stands between the `groups` of a grid."""
    table = Table(box=None, pad_edge=False)
    table.add_column("arm", overflow="fold", min_width=NARROWEST, max_width=WIDEST_NAME)
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    before = None
    for arm in frame.index:
        group = None if groups is None else groups[arm]
        if before is not None and group != before:
            table.add_row()
        before = group
        table.add_row(str(arm), *(_cell(frame.loc[arm], column) for column in columns))
    return table


def _cell(row: pd.Series, column: _Column) -> str:
    mean, spread = float(row[(column.name, "mean")]), float(row[(column.name, "std")])
    if math.isnan(mean):
        return "-"
    shown = f"{mean:.{column.digits}f}"
    return shown if math.isnan(spread) or spread == 0 else f"{shown}±{spread:.{column.digits}f}"
