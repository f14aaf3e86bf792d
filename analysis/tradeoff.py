"""What quality costs: bits, seconds and joules to a target, tables over arms and seeds, quality as a curve over a cost.

Pure functions of `Traces`; does not know files, nor how a table is printed or drawn, nor how two arms compare: that
stands in `analysis.paired`, and which arms nothing beats, and the area under a curve, in `analysis.pareto`.

Quality is accuracy, or perplexity in language modelling, where lower is better; `Traces.quality` says which.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.traces import Traces
from analysis.updates import NONE, due_s, updates
from wfl_sim.quality import ACCURACY, Quality

COSTS = ("uplink_bits", "t_end_s", "energy_j")
"""The columns of ``rounds`` that only grow, against which quality can be read."""

ROUND = "round"
"""The column against which a curve can be drawn besides; it is no cost."""

TARGET_WINDOW = 3
"""Rounds in the median that has to reach a target: one lucky evaluation does not count."""

BITS_PER_MBIT = 1e6


def measured(rounds: pd.DataFrame, quality: Quality) -> pd.Series:
    """The quality after each of some rounds; perplexity is exp(loss). NaN where nothing was evaluated."""
    if quality.metric == ACCURACY.metric:
        return rounds["accuracy"]
    with np.errstate(over="ignore"):  # of a model that has diverged: infinite
        return rounds["loss"].map(np.exp).rename(quality.metric)


def window_in_words(evaluated: Iterable[int]) -> str:
    """Of which rounds the quality at the end is the median, where so many were evaluated in each cell (0: none)."""
    counts = {min(number, TARGET_WINDOW) for number in evaluated if number}
    if counts <= {TARGET_WINDOW}:
        return f"the last {TARGET_WINDOW} rounds"
    if len(counts) > 1:
        return f"the last {TARGET_WINDOW} rounds, or of the fewer that there were"
    (number,) = counts
    return "the only round" if number == 1 else f"the {number} rounds"


def evaluated_rounds(traces: Traces) -> list[int]:
    """How many rounds of each cell were evaluated, of those with any."""
    rounds = traces.rounds[measured(traces.rounds, traces.quality).notna()]
    return [int(number) for number in rounds.groupby(["arm", "seed"]).size()]


def evaluations(rounds: pd.DataFrame, quantity: str, quality: Quality) -> np.ndarray:
    """Cost and quality at the end of each round of a cell that was evaluated, [rounds, 2]."""
    value = measured(rounds, quality)
    evaluated = value.notna()
    return np.column_stack([rounds.loc[evaluated, quantity], value[evaluated]]).astype(float)


def to_target(rounds: pd.DataFrame, target: float, quantity: str, quality: Quality = ACCURACY) -> float:
    """Value of `quantity` at the end of the round in which the target is first reached.

    Round i reaches the target when the median quality of the rounds i-2, i-1 and i does. The median looks
    back only: a run stopped at round i would give the same answer, and the bits charged were all spent by
    then. The first round that can reach a target is therefore the third. Rounds without an evaluation are
    passed over.

    Parameters
    ----------
    rounds
        The ``rounds`` of one cell, in order.
    target
        Accuracy, from 0 to 1; or perplexity, from 1.
    quantity
        ``uplink_bits`` (bit), ``t_end_s`` (s) or ``energy_j`` (J).
    quality
        What the target is a value of, and which way is better.

    Returns
    -------
    float
        In the unit of `quantity`; NaN if the target was never reached.
    """
    check_quantity(quantity)
    _check_one_cell(rounds)
    return _at(rounds, _reached(measured(rounds, quality).dropna(), target, quality), quantity)


def _reached(values: pd.Series, target: float, quality: Quality) -> Any:
    """The index of the first value that reaches the target; None if none does."""
    reaches = median_reaches(values, target, quality)
    return reaches.idxmax() if reaches.any() else None


def _at(rounds: pd.DataFrame, index: Any, quantity: str) -> float:
    return math.nan if index is None else float(rounds[quantity].loc[index])


def median_reaches(values: pd.Series, target: float, quality: Quality) -> pd.Series:
    """Whether the median of each value and the two before it is the target or better; not so for the first two."""
    median = values.replace(np.inf, np.finfo(float).max).rolling(TARGET_WINDOW).median()  # pandas takes inf for a gap
    return median >= target if quality.better == "higher" else median <= target


def summary(traces: Traces) -> pd.DataFrame:
    """One row an arm and seed.

    Columns
    -------
    arm, seed, status, rounds
        Which cell, and how far it came.
    accuracy or perplexity
        Median of the last 3 evaluated rounds.
    uplink_mbit, time_s, energy_j
        Spent until the last finished round.
    round_time_s, latency_budget_s, violation
        Mean duration of a round, the budget, and ``round_time_s / latency_budget_s - 1``: positive means too
        slow; NaN without a budget.
    due_s, over_budget
        The budget, or without one the deadline that the schedule plans for, and ``round_time_s`` over it; NaN without.
    update_kbit, kept, coding_bits
        Means over the uploads, see `updates.Updates`.
    dropped, late, deferred
        Totals over all rounds.
    time_to_<target>_s, uplink_to_<target>_mbit, energy_to_<target>_j
        For each target of any cell, see `to_target`; NaN if never reached.
    """
    targets, quality = targets_of(traces), traces.quality
    rows, by_cell, sent = [], rounds_by_cell(traces), updates(traces)
    for cell in traces.cells.to_dict("records"):
        rounds = by_cell[str(cell["arm"]), int(cell["seed"])]
        values = measured(rounds, quality).dropna()
        round_time_s = float((rounds["t_end_s"] - rounds["t_start_s"]).mean())
        due, update = due_s(cell), sent.get((str(cell["arm"]), int(cell["seed"])), NONE)
        row = {name: cell[name] for name in ("arm", "seed", "status", "rounds")} | {
            quality.metric: float(values.tail(TARGET_WINDOW).median()),
            "uplink_mbit": _last(rounds["uplink_bits"]) / BITS_PER_MBIT,
            "time_s": _last(rounds["t_end_s"]),
            "energy_j": _last(rounds["energy_j"]),
            "round_time_s": round_time_s,
            "latency_budget_s": cell["latency_budget_s"],
            "violation": round_time_s / float(cell["latency_budget_s"]) - 1,
            "due_s": due,
            "over_budget": round_time_s / due,
            "update_kbit": update.kbit,
            "kept": update.kept,
            "coding_bits": update.coding_bits,
            "dropped": int(rounds["dropped"].sum()),
            "late": int(rounds["late"].sum()),
            "deferred": int(rounds["deferred"].sum()),
        }
        for target in targets:
            reached = _reached(values, target, quality)
            row[f"time_to_{target:g}_s"] = _at(rounds, reached, "t_end_s")
            row[f"uplink_to_{target:g}_mbit"] = _at(rounds, reached, "uplink_bits") / BITS_PER_MBIT
            row[f"energy_to_{target:g}_j"] = _at(rounds, reached, "energy_j")
        rows.append(row)
    return pd.DataFrame(rows)


def summary_by_arm(traces: Traces) -> pd.DataFrame:
    """Mean, standard deviation (n - 1 in the denominator) and number of seeds for each column of `summary`.

    Returns
    -------
    DataFrame
        Indexed by arm in the order of the study; columns are pairs ``(column, "mean" | "std" | "n")``, where
        "n" counts the seeds with a value. If a seed has none (it never reached the target, say), the mean is
        NaN: a mean over the seeds that did well would flatter the arm. ``std`` is NaN for one seed.
    """
    return mean_by_arm(summary(traces), traces.arms)


def mean_by_arm(table: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """`summary_by_arm` of any table with a row an arm and seed, and with numbers beside ``arm, seed, status``."""
    columns = [name for name in table.columns if name not in ("arm", "seed", "status")]
    result = {}
    for arm in arms:
        values = table.loc[table["arm"] == arm, columns].astype("float64")
        with np.errstate(invalid="ignore"):  # the perplexity of a model that has diverged is infinite
            parts = {"mean": values.mean(skipna=False), "std": values.std(skipna=False), "n": values.count()}
        result[arm] = {(name, part): parts[part][name] for name in columns for part in parts}
    frame = pd.DataFrame.from_dict(result, orient="index")
    frame.columns = pd.MultiIndex.from_tuples(list(next(iter(result.values()))))
    frame.index.name = "arm"
    return frame.astype({column: "int64" for column in frame.columns if column[1] == "n"})


def at_equal(traces: Traces, quantity: str, value: float) -> pd.DataFrame:
    """Quality of each arm and seed after the same number of bits, seconds or joules.

    Parameters
    ----------
    traces
    quantity
        ``uplink_bits`` (bit), ``t_end_s`` (s) or ``energy_j`` (J).
    value
        How much of it each cell may spend.

    Returns
    -------
    DataFrame
        ``arm, seed, round, <quantity>`` and ``accuracy`` or ``perplexity`` of the last evaluated round that ended
        within `value`; NaN if none did. ``<quantity>`` says how much of it the cell had spent by then: a run that ended
        early has spent less.
    """
    check_quantity(quantity)
    quality = traces.quality
    rows = []
    for arm in traces.arms:
        for seed in traces.seeds(arm):
            rounds = cell_rounds(traces, arm, seed)
            rounds = rounds.assign(**{quality.metric: measured(rounds, quality)})
            within = rounds[(rounds[quantity] <= value) & rounds[quality.metric].notna()]
            row: dict[str, object] = {"arm": arm, "seed": seed}
            for name in ("round", quantity, quality.metric):
                row[name] = _last(within[name])
            rows.append(row)
    return pd.DataFrame(rows)


def curves(traces: Traces, quantity: str) -> pd.DataFrame:
    """Quality of each arm as a curve over a cost, or over the ``round``: mean, lowest and highest over the seeds.

    Seeds end their rounds at different costs. Each is interpolated linearly between its rounds, and the curve
    covers the costs that every seed of the arm has reached, so that it never changes the seeds it stands for.
    Cells without an evaluated round are left out.

    Returns
    -------
    DataFrame
        ``arm, <quantity>, mean, low, high, seeds``; one row for each cost at which a seed ended a round.
    """
    if quantity != ROUND:
        check_quantity(quantity)
    quality = traces.quality
    parts, by_cell = [], rounds_by_cell(traces)
    for arm in traces.arms:
        cells = [by_cell[arm, seed] for seed in traces.seeds(arm)]
        lines = [line for cell in cells if len(line := evaluations(cell, quantity, quality))]
        if not lines:
            continue
        costs = np.unique(np.concatenate([line[:, 0] for line in lines]))
        first, last = max(line[0, 0] for line in lines), min(line[-1, 0] for line in lines)
        costs = costs[(costs >= first) & (costs <= last)]
        values = np.array([np.interp(costs, line[:, 0], line[:, 1]) for line in lines])
        parts.append(
            pd.DataFrame(
                {
                    "arm": arm,
                    quantity: costs,
                    "mean": values.mean(axis=0),
                    "low": values.min(axis=0),
                    "high": values.max(axis=0),
                    "seeds": len(lines),
                }
            )
        )
    columns = ["arm", quantity, "mean", "low", "high", "seeds"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def targets_of(traces: Traces) -> list[float]:
    """The targets of all cells, ascending."""
    return sorted({float(target) for targets in traces.cells["targets"] for target in targets})


def cell_rounds(traces: Traces, arm: str, seed: int) -> pd.DataFrame:
    """The rounds of one cell, in order."""
    rounds = traces.rounds
    return rounds[(rounds["arm"] == arm) & (rounds["seed"] == seed)]


def rounds_by_cell(traces: Traces) -> dict[tuple[str, int], pd.DataFrame]:
    """The rounds of every cell, in order, by arm and seed; one pass over all."""
    parts = dict(iter(traces.rounds.groupby(["arm", "seed"], sort=False)))
    cells = [(str(cell["arm"]), int(cell["seed"])) for cell in traces.cells.to_dict("records")]
    return {cell: parts.get(cell, traces.rounds.iloc[:0]) for cell in cells}


def _last(column: pd.Series) -> float:
    return float(column.iloc[-1]) if len(column) else math.nan


def check_quantity(quantity: str) -> None:
    """Raise ValueError for what is none of `COSTS`."""
    if quantity not in COSTS:
        raise ValueError(f"no cost {quantity!r}; there are: {', '.join(COSTS)}")


def _check_one_cell(rounds: pd.DataFrame) -> None:
    if {"arm", "seed"} <= set(rounds.columns) and len(rounds[["arm", "seed"]].drop_duplicates()) > 1:
        raise ValueError("rounds of more than one cell; pass those of one arm and seed")
