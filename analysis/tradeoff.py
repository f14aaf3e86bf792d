"""What quality costs: bits, seconds and joules to a target, tables over arms and seeds, paired differences.

Pure functions of `Traces`; does not know files, nor how a table is printed or drawn.

Quality is accuracy, or perplexity in language modelling, where lower is better; `Traces.quality` says which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.traces import Traces
from wfl_sim.quality import ACCURACY, Quality

COSTS = ("uplink_bits", "t_end_s", "energy_j")
"""The columns of ``rounds`` that only grow, against which quality can be read."""

TARGET_WINDOW = 3
"""Rounds in the median that has to reach a target: one lucky evaluation does not count."""

BITS_PER_MBIT = 1e6


def measured(rounds: pd.DataFrame, quality: Quality) -> pd.Series:
    """The quality after each of some rounds; perplexity is exp(loss). NaN where nothing was evaluated."""
    if quality.metric == ACCURACY.metric:
        return rounds["accuracy"]
    with np.errstate(over="ignore"):  # of a model that has diverged: infinite
        return rounds["loss"].map(np.exp).rename(quality.metric)


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
    _check_quantity(quantity)
    _check_one_cell(rounds)
    values = measured(rounds, quality).dropna()
    reaches = median_reaches(values, target, quality)
    reached = rounds.loc[values.index[reaches], quantity]
    return float(reached.iloc[0]) if len(reached) else math.nan


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
    dropped, deferred
        Totals over all rounds.
    time_to_<target>_s, uplink_to_<target>_mbit
        For each target of any cell, see `to_target`; NaN if never reached.
    """
    targets, quality = targets_of(traces), traces.quality
    rows = []
    for cell in traces.cells.to_dict("records"):
        rounds = cell_rounds(traces, str(cell["arm"]), int(cell["seed"]))
        round_time_s = float((rounds["t_end_s"] - rounds["t_start_s"]).mean())
        row = {name: cell[name] for name in ("arm", "seed", "status", "rounds")} | {
            quality.metric: float(measured(rounds, quality).dropna().tail(TARGET_WINDOW).median()),
            "uplink_mbit": _last(rounds["uplink_bits"]) / BITS_PER_MBIT,
            "time_s": _last(rounds["t_end_s"]),
            "energy_j": _last(rounds["energy_j"]),
            "round_time_s": round_time_s,
            "latency_budget_s": cell["latency_budget_s"],
            "violation": round_time_s / float(cell["latency_budget_s"]) - 1,
            "dropped": int(rounds["dropped"].sum()),
            "deferred": int(rounds["deferred"].sum()),
        }
        for target in targets:
            row[f"time_to_{target:g}_s"] = to_target(rounds, target, "t_end_s", quality)
            row[f"uplink_to_{target:g}_mbit"] = to_target(rounds, target, "uplink_bits", quality) / BITS_PER_MBIT
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


def paired(traces: Traces, baseline: str, column: str) -> pd.DataFrame:
    """Differences to a baseline arm, seed by seed, with a 95 % interval of their mean.

    Arms with the same seed share gains, data and first weights, so that the difference within a seed is free
    of what they share. The interval is Student's t with n - 1 degrees of freedom: with the three to ten seeds
    of a study a bootstrap would be much too narrow. It assumes differences that are about normal.

    Parameters
    ----------
    traces
    baseline
        The arm that is subtracted.
    column
        A column of `summary`.

    Returns
    -------
    DataFrame
        Indexed by arm, without the baseline; columns ``seed <k>`` for each seed of the baseline, ``n`` (seeds
        for which both have a value), ``mean``, ``low``, ``high``. A seed that both arms ran but in which one
        has no value (never reached the target) makes mean and interval NaN, as in `summary_by_arm`. A seed
        that an arm did not run is left out. With one seed there is a mean and no interval.
    """
    table = summary(traces)
    measured = [name for name in table.columns if name not in ("arm", "seed", "status")]
    if column not in measured:
        raise ValueError(f"no column {column!r} to compare; there are: {', '.join(measured)}")
    traces.seeds(baseline)
    values = {arm: table[table["arm"] == arm].set_index("seed")[column].astype("float64") for arm in traces.arms}
    reference = values[baseline]
    rows = {}
    for arm in traces.arms:
        if arm == baseline:
            continue
        own = values[arm]
        common = own.index.intersection(reference.index)
        difference = own.loc[common] - reference.loc[common]
        half = interval_half_width(difference.to_numpy())
        mean = float(difference.mean(skipna=False)) if len(common) else math.nan
        rows[arm] = {
            **{f"seed {seed}": difference.get(seed, math.nan) for seed in reference.index},
            "n": int(difference.count()),
            "mean": mean,
            "low": mean - half,
            "high": mean + half,
        }
    names = [*(f"seed {seed}" for seed in reference.index), "n", "mean", "low", "high"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names)
    frame.index.name = "arm"
    return frame


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
    _check_quantity(quantity)
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
    """Quality of each arm as a curve over a cost: mean, lowest and highest over the seeds.

    Seeds end their rounds at different costs. Each is interpolated linearly between its rounds, and the curve
    covers the costs that every seed of the arm has reached, so that it never changes the seeds it stands for.
    Cells without an evaluated round are left out.

    Returns
    -------
    DataFrame
        ``arm, <quantity>, mean, low, high, seeds``; one row for each cost at which a seed ended a round.
    """
    _check_quantity(quantity)
    quality = traces.quality
    parts = []
    for arm in traces.arms:
        cells = [cell_rounds(traces, arm, seed) for seed in traces.seeds(arm)]
        lines = [np.column_stack([c[quantity], measured(c, quality)]).astype(float) for c in cells]
        lines = [kept for line in lines if len(kept := line[~np.isnan(line[:, 1])])]
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


def interval_half_width(differences: np.ndarray) -> float:
    """Half width of the 95 % t interval of a mean; NaN for fewer than two values or when one is NaN."""
    n = len(differences)
    if n < 2:
        return math.nan
    return t_quantile_975(n - 1) * float(np.std(differences, ddof=1)) / math.sqrt(n)


def t_quantile_975(degrees: int) -> float:
    """The 97.5 % quantile of Student's t.

    From the table up to 10 degrees of freedom; above, the Cornish-Fisher expansion about the normal quantile
    (Abramowitz and Stegun 26.7.5), whose error is below 1e-4 there.
    """
    if degrees < 1:
        raise ValueError(f"degrees of freedom {degrees}; at least 1")
    if degrees <= len(_T_975):
        return _T_975[degrees - 1]
    z, v = 1.959963984540054, degrees
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


_T_975 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


def _last(column: pd.Series) -> float:
    return float(column.iloc[-1]) if len(column) else math.nan


def _check_quantity(quantity: str) -> None:
    if quantity not in COSTS:
        raise ValueError(f"no cost {quantity!r}; there are: {', '.join(COSTS)}")


def _check_one_cell(rounds: pd.DataFrame) -> None:
    if {"arm", "seed"} <= set(rounds.columns) and len(rounds[["arm", "seed"]].drop_duplicates()) > 1:
        raise ValueError("rounds of more than one cell; pass those of one arm and seed")
