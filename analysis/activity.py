"""What each client was doing when: spans of receiving, computing, waiting, sending and repeating, and how uploads end.

Pure functions of `Traces`; does not know how a span is drawn, nor why a schedule or a protocol decided as it did. What
clients do in the steps of split training is worked out in `steps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.spans import SAME_TIME_S, SPAN, spans
from analysis.steps import has_steps, step_spans, unsent_calls
from analysis.traces import Traces
from analysis.updates import of_updates

KINDS = ("downlink", "computing", "waiting", "sending", "repeating", "deferred", "not asked")
STEP_KINDS = ("forward", "activations", "server", "gradient", "backward")
"""What clients do in the steps of split training, in the order of a step: in place of computing, and before sending."""
UNSENT = "unsent"
"""Reason of an end that no transfer has: the client computed, and its call was over before it could send."""

_END = ["client", "t_s", "direction", "outcome", "reason"]


@dataclass(frozen=True)
class Activity:
    """What some clients of one cell did inside a window of time.

    Attributes
    ----------
    spans
        One row a span: ``client, kind, start_s, end_s, share``. `KINDS` are the kinds, and with split training
        `STEP_KINDS`, where ``sending`` is that of the adapters; ``share`` says for which part of the span it holds. An
        upload that had the air for a third of its time is a span of sending and one of repeating with a share of 1/3,
        and one of waiting over both with 2/3; all other shares are 1. When repeats happened is not in a trace: their
        share of the air time stands at the end of the upload.
    ends
        One row a transfer that did not bring everything: ``client, t_s, direction, outcome, reason``; and one a call
        that ended before its upload began, with the reason `UNSENT`.
    """

    spans: pd.DataFrame
    ends: pd.DataFrame


def activity(cell: Traces, clients: Sequence[int], start_s: float, end_s: float) -> Activity:
    """The spans of `clients` that touch the window from `start_s` to `end_s`, and the failed transfers in it."""
    decided = cell.decisions[cell.decisions["client"].isin(clients)]
    sent = cell.transmissions[cell.transmissions["client"].isin([*clients, -1])]
    uploads, split = answered(sent[sent["direction"] == "up"], decided), has_steps(cell)
    down = _received(sent[sent["direction"] == "down"], decided)
    models = of_updates(down)
    parts = [
        spans("downlink", models, models["t_start_s"], models["t_end_s"]),
        _of(clients, step_spans(cell)) if split else _computing(decided),
        *_upload_spans(uploads),
        _deferred(cell.rounds, decided),
    ]
    every = pd.concat(parts, ignore_index=True)
    drawn = _touching(every, start_s, end_s)
    idle = _not_asked(cell.rounds, decided, drawn, clients, start_s, end_s)
    failed = pd.concat([uploads, down[~down["heard"]]], ignore_index=True)
    failed = failed[failed["outcome"] != "delivered"].rename(columns={"t_end_s": "t_s"})[_END]
    unsent = _unsent_ends(_of(clients, unsent_calls(cell, every)) if split else _unsent(decided, uploads))
    failed = failed if unsent.empty else pd.concat([failed, unsent], ignore_index=True)
    return Activity(
        pd.concat([drawn, idle], ignore_index=True),
        failed[failed["t_s"].between(start_s, end_s)].reset_index(drop=True),
    )


def answered(uploads: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """Uploads, each with the call that it answers: the client's last decision to send before its bits were ready.

    Returns
    -------
    DataFrame
        The rows of `uploads` in order of ``t_request_s``, with ``called_s`` (simulated time of that decision; NaN if
        there is none) and ``ready_from_s`` (when computing ended, or ``t_request_s`` where the trace does not say).
    """
    keys = [name for name in ("arm", "seed", "client") if name in uploads]
    calls = decisions.loc[decisions["action"] == "send", [*keys, "t_s", "compute_start_s", "compute_s"]]
    calls = calls.rename(columns={"t_s": "called_s"}).sort_values("called_s", kind="stable")
    left = uploads.sort_values("t_request_s", kind="stable")
    merged = pd.merge_asof(left, calls, left_on="t_request_s", right_on="called_s", by=keys)
    computed_s = merged["compute_start_s"] + merged["compute_s"]
    # A second upload after the same computing did not wait since then.
    first = ~merged.duplicated([*keys, "called_s"])
    known = first & (computed_s <= merged["t_request_s"] + SAME_TIME_S)
    merged["ready_from_s"] = merged["t_request_s"].where(~known, computed_s)
    return merged.drop(columns=["compute_start_s", "compute_s"])


def _of(clients: Sequence[int], rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["client"].isin(clients)]


def _received(down: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    """Downlinks by client, a broadcast once for each that was called at its time; ``heard``: it has the model."""
    calls = decided.loc[decided["action"] == "send", ["client", "t_s", "compute_start_s"]].sort_values("t_s")
    alone, together = down[down["client"] >= 0], down[down["client"] < 0].drop(columns="client")
    together = together.sort_values("t_request_s", kind="stable")
    shared = pd.merge_asof(calls, together, left_on="t_s", right_on="t_request_s", direction="nearest")
    shared = shared[(shared["t_s"] - shared["t_request_s"]).abs() <= SAME_TIME_S].drop(columns="t_s")
    # Whom a broadcast reached is not in a trace; who was not reached did not compute.
    shared["heard"] = (shared["outcome"] == "delivered") | shared["compute_start_s"].notna()
    rows = pd.concat([alone.assign(heard=alone["outcome"] == "delivered"), shared], ignore_index=True)
    return rows.astype({"heard": bool})


def _unsent(decided: pd.DataFrame, uploads: pd.DataFrame) -> pd.DataFrame:
    """Calls that were over before an upload began: the client computed, sent nothing, and was asked again."""
    ordered = decided.sort_values(["client", "t_s"], kind="stable")
    over = ordered.groupby("client")["t_s"].shift(-1).notna()
    answered_calls = pd.MultiIndex.from_frame(uploads[["client", "called_s"]])
    silent = ~pd.MultiIndex.from_frame(ordered[["client", "t_s"]]).isin(answered_calls)
    rows = ordered[over & silent & ordered["compute_start_s"].notna() & (ordered["action"] == "send")]
    return pd.DataFrame({"client": rows["client"], "t_s": rows["compute_start_s"] + rows["compute_s"]})


def _unsent_ends(calls: pd.DataFrame) -> pd.DataFrame:
    ends = {"client": calls["client"], "t_s": calls["t_s"]}
    return pd.DataFrame(ends | {"direction": "up", "outcome": "dropped", "reason": UNSENT}, columns=_END)


def _computing(decided: pd.DataFrame) -> pd.DataFrame:
    rows = decided[decided["compute_start_s"].notna() & (decided["compute_s"] > 0)]
    return spans("computing", rows, rows["compute_start_s"], rows["compute_start_s"] + rows["compute_s"])


def _upload_spans(uploads: pd.DataFrame) -> list[pd.DataFrame]:
    start_s, end_s = uploads["t_start_s"].fillna(uploads["t_end_s"]), uploads["t_end_s"]
    length_s = (end_s - start_s).where(uploads["packets"] > 0, 0.0)
    start_s = end_s - length_s  # what never had the air only waited
    share = (uploads["air_s"] / length_s.where(length_s > 0)).clip(0.0, 1.0).fillna(0.0)
    repeated = (uploads["retransmissions"] / uploads["packets"].where(uploads["packets"] > 0)).fillna(0.0)
    repeats_s = end_s - repeated * length_s
    kind = (uploads["step"] > 0).map({True: "activations", False: "sending"})
    between = [
        spans("waiting", uploads, uploads["ready_from_s"], start_s),
        spans("waiting", uploads, start_s, end_s, 1.0 - share),
        spans(kind, uploads, start_s, repeats_s, share),
        spans("repeating", uploads, repeats_s, end_s, share),
    ]
    return [part[(part["end_s"] > part["start_s"]) & (part["share"] > SAME_TIME_S)] for part in between]


def _deferred(rounds: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    """From the decision until the client is asked again, at the latest to the end of the round."""
    ordered = decided.sort_values(["client", "t_s"], kind="stable")
    asked_again_s = ordered.groupby("client")["t_s"].shift(-1)
    round_end_s = ordered["round"].map(rounds.set_index("round")["t_end_s"])
    until_s = asked_again_s.fillna(np.inf).combine(round_end_s, min)
    rows = ordered["action"] != "send"
    return spans("deferred", ordered[rows], ordered.loc[rows, "t_s"], until_s[rows])


def _not_asked(
    rounds: pd.DataFrame, decided: pd.DataFrame, spans: pd.DataFrame, clients: Sequence[int],
    start_s: float, end_s: float,
) -> pd.DataFrame:  # fmt: skip
    """What is left of the rounds in which a client was not asked: it was away, or the draw fell on others."""
    asked = set(zip(decided["round"], decided["client"], strict=True))
    busy = {client: own[["start_s", "end_s"]].to_numpy() for client, own in spans.groupby("client")}
    shown = rounds[(rounds["t_end_s"] > start_s) & (rounds["t_start_s"] < end_s)]
    rows = [
        (client, "not asked", *gap, 1.0)
        for number, begin_s, until_s in shown[["round", "t_start_s", "t_end_s"]].itertuples(index=False)
        for client in clients
        if (number, client) not in asked
        for gap in _gaps(busy.get(client, np.empty((0, 2))), begin_s, until_s)
    ]
    return pd.DataFrame(rows, columns=SPAN).astype({"start_s": float, "end_s": float, "share": float})


def _gaps(busy: np.ndarray, start_s: float, end_s: float) -> list[tuple[float, float]]:
    gaps, at_s = [], start_s
    for begin_s, until_s in sorted(busy.tolist()):
        if begin_s >= end_s:
            break
        if begin_s > at_s + SAME_TIME_S:
            gaps.append((at_s, begin_s))
        at_s = max(at_s, until_s)
    if end_s > at_s + SAME_TIME_S:
        gaps.append((at_s, end_s))
    return gaps


def _touching(spans: pd.DataFrame, start_s: float, end_s: float) -> pd.DataFrame:
    return spans[(spans["end_s"] >= start_s) & (spans["start_s"] <= end_s)].reset_index(drop=True)
