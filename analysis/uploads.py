"""What became of the uploads: outcomes, times, fairness and goodput, by arm and seed; with or without learning.

Pure functions of `Traces`; does not know accuracy, nor how a table is printed or drawn.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from analysis.activity import answered
from analysis.traces import Traces
from analysis.updates import NONE, due_s, of_steps, of_updates, updates

REASONS = ("attempts", "deadline", "diverged", "left", "timeout")
"""Why an upload was given up, as a trace says it."""
BITS_PER_MBIT = 1e6
P95 = 0.95


def jain_index(counts: np.ndarray) -> float:
    """Jain's fairness index of non-negative counts, one a client; NaN if all are 0.

    Formula: (sum x)^2 / (n sum x^2), from 1/n (one has everything) to 1 (all have the same); Jain, Chiu and Hawe 1984.

    >>> jain_index(np.array([2, 2, 2, 2]))
    1.0
    >>> jain_index(np.array([5, 0, 0, 0]))
    0.25
    """
    values = np.asarray(counts, dtype=np.float64)
    squares = float(np.sum(values**2))
    return float(np.sum(values)) ** 2 / (values.size * squares) if squares > 0 else math.nan


def upload_durations(traces: Traces) -> pd.DataFrame:
    """One row an upload: how long it took, and how long after its call it ended.

    Returns
    -------
    DataFrame
        ``arm, seed, client, of, outcome, upload_s, since_call_s``: from the bits being ready to the end of the upload,
        and from the decision to send; both in s. ``since_call_s`` is NaN where the trace holds no decision. ``of`` says
        what was sent: an ``update``, or in a step of split training its ``activations``.
    """
    rows = answered(traces.transmissions[traces.transmissions["direction"] == "up"], traces.decisions)
    rows["upload_s"] = rows["t_end_s"] - rows["t_request_s"]
    rows["since_call_s"] = rows["t_end_s"] - rows["called_s"]
    rows["of"] = (rows["step"] > 0).map({True: "activations", False: "update"})
    return rows[["arm", "seed", "client", "of", "outcome", "upload_s", "since_call_s"]]


def air_summary(traces: Traces) -> pd.DataFrame:
    """One row an arm and seed: what the air carried, to whom, how fast, and what it cost.

    Columns
    -------
    arm, seed, status, rounds
        Which cell, and how many rounds (of an asynchronous run: server updates) it has finished.
    delivered, partial, dropped_<reason>
        Uploads of updates by outcome; those dropped by their reason, see `REASONS`.
    never_sent
        Calls that led to no upload: the model did not reach the client, or it left, or was late before it could send.
    deferred
        Decisions that let a client not send.
    participation
        Delivered updates a client and round; 1 when every client delivers in every round.
    fairness
        `jain_index` of the delivered updates by client, of all clients of the scenario.
    update_kbit, kept, coding_bits
        Means over the updates, see `updates.Updates`; of split training with all that a client sends up in a round.
    uplink_mbit
        Bits on the air, headers and repeats included, until the last finished round.
    goodput_mbps
        Payload bits of the delivered uploads, activations of split training too, over the simulated time, in Mbit/s.
    simulated_s, updates_per_s
        Simulated time of the finished rounds, and delivered updates over it.
    latency_budget_s, due_s, over_budget
        The latency budget; that or the deadline of the schedule, and the mean time of a round over it; NaN without.
    upload_mean_s, upload_p95_s
        Of the delivered updates, from the bits being ready to the end; NaN if there is none.
    activations_mean_s, activations_p95_s, gradient_mean_s, gradient_p95_s, steps_lost
        The same of what goes up and down in the steps of split training, and how many of these transfers were given up;
        NaN without steps.
    energy_j
        Clients' energy: transmission and computation.
    """
    sent = traces.transmissions[traces.transmissions["direction"] == "up"]
    rows, means, in_steps = [], updates(traces), of_steps(traces.transmissions)
    for cell in traces.cells.to_dict("records"):
        arm, seed = cell["arm"], cell["seed"]
        own = sent[(sent["arm"] == arm) & (sent["seed"] == seed)]
        rounds = traces.rounds[(traces.rounds["arm"] == arm) & (traces.rounds["seed"] == seed)]
        decided = traces.decisions[(traces.decisions["arm"] == arm) & (traces.decisions["seed"] == seed)]
        clients = _clients(cell["clients"], own, decided)
        steps = in_steps[(in_steps["arm"] == arm) & (in_steps["seed"] == seed)]
        good_bits = own.loc[own["outcome"] == "delivered", "delivered_bits"]
        own = of_updates(own)
        merged, dropped = own[own["outcome"] == "delivered"], own[own["outcome"] == "dropped"]
        counts, update = np.zeros(clients), means.get((str(arm), int(seed)), NONE)
        by_client = merged["client"].value_counts().to_numpy()
        counts[: by_client.size] = by_client
        took_s = merged["t_end_s"] - merged["t_request_s"]
        span_s = float(rounds["t_end_s"].max() - rounds["t_start_s"].min())
        rows.append(
            {name: cell[name] for name in ("arm", "seed", "status", "rounds")}
            | {"delivered": len(merged), "partial": int((own["outcome"] == "partial").sum())}
            | {f"dropped_{reason}": int((dropped["reason"] == reason).sum()) for reason in REASONS}
            | {
                "never_sent": max(0, int((decided["action"] == "send").sum()) - len(own)),
                "deferred": int((decided["action"] != "send").sum()),
                "participation": len(merged) / (clients * len(rounds)) if clients and len(rounds) else math.nan,
                "fairness": jain_index(counts),
                "update_kbit": update.kbit,
                "kept": update.kept,
                "coding_bits": update.coding_bits,
                "uplink_mbit": _last(rounds["uplink_bits"]) / BITS_PER_MBIT,
                "goodput_mbps": float(good_bits.sum()) / BITS_PER_MBIT / span_s if span_s > 0 else math.nan,
                "simulated_s": span_s,
                "latency_budget_s": float(cell["latency_budget_s"]),
                "due_s": due_s(cell),
                "over_budget": float((rounds["t_end_s"] - rounds["t_start_s"]).mean()) / due_s(cell),
                "updates_per_s": len(merged) / span_s if span_s > 0 else math.nan,
                "upload_mean_s": float(took_s.mean()),
                "upload_p95_s": float(took_s.quantile(P95)),
                "energy_j": _last(rounds["energy_j"]),
            }
            | _of_steps(steps)
        )
    return pd.DataFrame(rows)


def _of_steps(steps: pd.DataFrame) -> dict[str, float]:
    """How long the transfers of steps took, by direction, and how many were given up."""
    arrived = steps[steps["outcome"] == "delivered"]
    found = {"steps_lost": float(len(steps) - len(arrived)) if len(steps) else math.nan}
    for name, direction in (("activations", "up"), ("gradient", "down")):
        own = arrived[arrived["direction"] == direction]
        took_s = own["t_end_s"] - own["t_request_s"]
        found |= {f"{name}_mean_s": float(took_s.mean()), f"{name}_p95_s": float(took_s.quantile(P95))}
    return found


def _clients(stated: float, uploads: pd.DataFrame, decided: pd.DataFrame) -> int:
    """Clients of the scenario; where its manifest does not say, those that appear."""
    seen = len(set(uploads["client"]) | set(decided["client"]))
    return seen if math.isnan(stated) else max(seen, int(stated))


def _last(column: pd.Series) -> float:
    return float(column.iloc[-1]) if len(column) else math.nan
