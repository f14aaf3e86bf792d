"""What a claim about arms rests on: a row a run, means with 95 % intervals over seeds, and differences within a seed.

Pure functions of `Traces` and tables; does not know which question is asked, nor how an answer is shown.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from analysis.paired import interval_of_mean
from analysis.traces import Traces
from analysis.tradeoff import TARGET_WINDOW, rounds_by_cell, to_target
from analysis.updates import of_updates

BITS_PER_KBIT, BITS_PER_MBIT = 1e3, 1e6


class Mean(NamedTuple):
    """Mean of `n` seeds and the ends of Student's 95 % interval; these are NaN for one seed."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


NOTHING = Mean(math.nan, math.nan, math.nan, 0)


def finished(traces: Traces) -> dict[tuple[str, int], pd.DataFrame]:
    """The rounds of each run that came to its end, by arm and seed."""
    done = {
        (str(cell["arm"]), int(cell["seed"]))
        for cell in traces.cells.to_dict("records")
        if cell["status"] == "finished" and cell["rounds"]
    }
    return {cell: rounds for cell, rounds in rounds_by_cell(traces).items() if cell in done}


def equal_time_s(traces: Traces, without: Collection[str] = ()) -> float:
    """The largest simulated time that all finished runs reach, but for those of some arms; NaN where there is none."""
    return equal_cost(traces, "t_end_s", without)


def equal_cost(traces: Traces, quantity: str, without: Collection[str] = ()) -> float:
    """The same of any cost: a column of the rounds that only grows (`tradeoff.COSTS`)."""
    ends = [float(own[quantity].iloc[-1]) for (arm, _), own in finished(traces).items() if arm not in without]
    return min(ends, default=math.nan)


def runs(traces: Traces, until: float = math.inf, quantity: str = "t_end_s") -> pd.DataFrame:
    """One row a finished run: what it had reached, sent and taken within `until` of a cost, simulated seconds at first.

    Columns
    -------
    arm, seed, rounds
        Which run, and how many rounds ended by then.
    accuracy
        Median of the last 3 evaluated ones of these rounds.
    update_kbit
        Mean payload of the updates that were delivered in them, head and index included, and with split training what
        was sent up in their steps.
    downlink_kbit
        Mean bits of a round to all clients; a broadcast counts once.
    uplink_mbit, time_s, energy_j
        Bits on the air, headers and repeats included, the end of the last of these rounds, and clients' energy.
    round_s, over_budget
        Mean duration of a round; that over the latency budget, NaN where there is none.
    kept_fraction, deferred, dropped
        Mean over the rounds; the latter two in clients a round.
    coherence_a, coherence_b
        In the last of these rounds.
    """
    budget_s = latency_budget_s(traces)
    up = traces.transmissions
    up = up[(up["direction"] == "up") & (up["outcome"] == "delivered")] if len(up) else up
    payloads = dict(iter(up.groupby(["arm", "seed"]))) if len(up) else {}
    rows = []
    for (arm, seed), every in finished(traces).items():
        own = every[every[quantity] <= until]
        sent = payloads.get((arm, seed))
        sent = None if sent is None else sent[sent["round"].isin(own["round"])]
        round_s = float((own["t_end_s"] - own["t_start_s"]).mean())
        rows.append(
            {
                "arm": arm,
                "seed": seed,
                "rounds": len(own),
                "accuracy": float(own["accuracy"].dropna().tail(TARGET_WINDOW).median()),
                "update_kbit": math.nan if sent is None else _update_bits(sent) / BITS_PER_KBIT,
                "downlink_kbit": _last(own["downlink_bits"]) / max(len(own), 1) / BITS_PER_KBIT,
                "uplink_mbit": _last(own["uplink_bits"]) / BITS_PER_MBIT,
                "time_s": _last(own["t_end_s"]),
                "energy_j": _last(own["energy_j"]),
                "round_s": round_s,
                "over_budget": round_s / budget_s,
                "kept_fraction": float(own["kept_fraction_mean"].mean()),
                "deferred": float(own["deferred"].mean()),
                "dropped": float(own["dropped"].mean()),
                "coherence_a": _last(own["coherence_a"]),
                "coherence_b": _last(own["coherence_b"]),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


COLUMNS = [
    *("arm", "seed", "rounds", "accuracy", "update_kbit", "downlink_kbit", "uplink_mbit", "time_s", "energy_j"),
    *("round_s", "over_budget", "kept_fraction", "deferred", "dropped", "coherence_a", "coherence_b"),
]


def latency_budget_s(traces: Traces) -> float:
    """The one latency budget of those arms that have one, by which all are judged; NaN without, or of several."""
    budgets = traces.cells["latency_budget_s"].dropna().unique()
    return float(budgets[0]) if len(budgets) == 1 else math.nan


def reached(traces: Traces, reference: str, points: float) -> pd.DataFrame:
    """Bits and seconds until an arm is `points` short of where `reference` ended, as shares of what that one needed.

    The target is that of the seed: the median accuracy of the last 3 rounds of the reference, less `points` / 100. It
    is reached as in `tradeoff.to_target`, by the median of 3 rounds.

    Returns
    -------
    DataFrame
        ``arm, seed, target, bits, seconds``: the latter two are shares, 1 for the reference itself, NaN if the target
        was never reached. Seeds that the reference has not finished are left out.
    """
    cells = finished(traces)
    rows = []
    for (arm, seed), own in cells.items():
        if (dense := cells.get((reference, seed))) is None:
            continue
        target = float(dense["accuracy"].dropna().tail(TARGET_WINDOW).median()) - points / 100
        row: dict[str, object] = {"arm": arm, "seed": seed, "target": target}
        for name, quantity in (("bits", "uplink_bits"), ("seconds", "t_end_s")):
            row[name] = to_target(own, target, quantity) / to_target(dense, target, quantity)
        rows.append(row)
    return pd.DataFrame(rows, columns=["arm", "seed", "target", "bits", "seconds"])


def mean(values: Iterable[float]) -> Mean:
    """Mean and Student's 95 % interval of the seeds of an arm. NaN if one has no value: see `tradeoff`."""
    own = pd.Series(list(values), dtype="float64")
    if not len(own) or own.isna().any():
        return NOTHING
    return Mean(float(own.mean()), *interval_of_mean(own.to_numpy(), "t"), len(own))


def by_arm(table: pd.DataFrame, column: str) -> dict[str, Mean]:
    """Of each arm of a table of runs, the mean of a column over its seeds."""
    return {str(arm): mean(own) for arm, own in table.groupby("arm", sort=False)[column]}


def differences(table: pd.DataFrame, reference: str, column: str) -> dict[str, Mean]:
    """Of each arm, the mean of its differences to `reference` within a seed, over the seeds that both have.

    Empty if the reference is not there; it is itself left out.
    """
    values: Mapping[str, pd.Series] = {
        str(arm): own.set_index("seed")[column] for arm, own in table.groupby("arm", sort=False)
    }
    if reference not in values:
        return {}
    return {
        arm: mean((own - values[reference]).loc[own.index.intersection(values[reference].index)])
        for arm, own in values.items()
        if arm != reference
    }


def _update_bits(sent: pd.DataFrame) -> float:
    """Mean bits of an update; with split training all that a client sent up for it."""
    whole = len(of_updates(sent))
    return float(sent["payload_bits"].sum()) / whole if whole else math.nan


def _last(column: pd.Series) -> float:
    return float(column.iloc[-1]) if len(column) else math.nan
