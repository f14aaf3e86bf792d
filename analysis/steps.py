"""What clients did in the steps of split training: forward, waiting for the server, receiving a gradient, backward.

Pure functions of `Traces`; does not know how a span is drawn.

A trace has each transfer of a step, and of each call when its client began to compute and how long it computed in all.
The passes follow from that. In one call all forward passes take equally long, and so do all backward passes::

    forward = first activations' request - begin of computing
    backward = (all computing - number of activations x forward) / number of gradients that arrived

The second holds for a call that came to send its adapters. Of one that was cut short, the backward pass takes so many
times its forward as in the client's other calls (whose cut is the same); what is then left over of its computing is a
pass that was begun. Where the client has no whole call, its passes are of equal length, as above.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.spans import SAME_TIME_S, spans
from analysis.traces import Traces
from analysis.updates import of_steps, of_updates

_CALL = ["round", "client"]


class _Steps(NamedTuple):
    """The transfers of steps, and of each call, indexed by round and client, how long its passes take."""

    up: pd.DataFrame
    down: pd.DataFrame
    diverged: pd.DataFrame
    calls: pd.DataFrame
    latency_s: float


def has_steps(cell: Traces) -> bool:
    """Whether clients shared steps with a server."""
    return bool((cell.transmissions["step"] > 0).any())


def step_spans(cell: Traces) -> pd.DataFrame:
    """Spans of the kinds ``forward``, ``backward``, ``server``, ``gradient`` and ``waiting``, of all clients.

    From its activations' arrival to its gradient a client waits for the server, which has others before it: ``server``.
    Then the gradient may wait for the air, ``waiting``. Times that a message takes beyond the air belong to the server
    on the way up; on the way down, as behind a broadcast, nothing is drawn.
    """
    steps = _read(cell)
    up, down = steps.up, steps.down
    forward, backward = _passes(steps)
    answers = [*_CALL, "step", "t_request_s"]
    answered = up.merge(down[answers], "left", [*_CALL, "step"], suffixes=("", "_down"))
    ended_s = answered.merge(steps.diverged[[*_CALL, "t_request_s"]], "left", _CALL, suffixes=("", "_diverged"))
    until_s = answered["t_request_s_down"].fillna(ended_s["t_request_s_diverged"])
    served = (answered["outcome"] == "delivered") & (until_s > answered["t_end_s"])
    begins_s = down["t_start_s"].fillna(down["t_end_s"])
    parts = [
        spans("forward", forward, forward["start_s"], forward["end_s"]),
        spans("backward", backward, backward["start_s"], backward["end_s"]),
        spans("server", answered[served], answered.loc[served, "t_end_s"], until_s[served]),
        spans("waiting", down, down["t_request_s"], begins_s),
        spans("gradient", down, begins_s, down["t_end_s"]),
    ]
    found = pd.concat(parts, ignore_index=True)
    return found[found["end_s"] > found["start_s"]].reset_index(drop=True)


def unsent_calls(cell: Traces, worked: pd.DataFrame) -> pd.DataFrame:
    """Calls whose client computed and came to send no adapters, though nothing else tells why: ``client, t_s``.

    Parameters
    ----------
    cell : Traces
    worked : DataFrame
        All spans of the cell; the last of a call tells its time.
    """
    sent, calls = cell.transmissions, _calls(cell)
    told = pd.concat([of_updates(sent[sent["direction"] == "up"]), sent[sent["reason"] == "left"]])
    silent = calls[~calls.index.isin(pd.MultiIndex.from_frame(told[_CALL]))]
    ends_s = cell.rounds.set_index("round")["t_end_s"]
    rows = []
    for number, client in silent.index:
        own = worked[(worked["client"] == client) & (worked["end_s"] <= ends_s[number] + SAME_TIME_S)]
        rows.append((client, own["end_s"].max()))
    return pd.DataFrame(rows, columns=["client", "t_s"]).dropna().astype({"client": int, "t_s": float})


def _calls(cell: Traces) -> pd.DataFrame:
    """Those who computed: ``compute_start_s`` and ``compute_s`` by round and client."""
    decided = cell.decisions
    began = decided[(decided["action"] == "send") & decided["compute_start_s"].notna()]
    return began.set_index(_CALL)[["compute_start_s", "compute_s"]]


def _read(cell: Traces) -> _Steps:
    sent, calls = cell.transmissions, _calls(cell)
    both = of_steps(sent)
    up, down = (both[both["direction"] == direction].reset_index(drop=True) for direction in ("up", "down"))
    updates = of_updates(sent[sent["direction"] == "up"])
    is_diverged = updates["reason"] == "diverged"
    calls["forward_s"] = up[up["step"] == 1].set_index(_CALL)["t_request_s"] - calls["compute_start_s"]
    calls["forwards"] = up.groupby(_CALL).size()
    calls["backwards"] = down[down["outcome"] == "delivered"].groupby(_CALL).size()
    calls = calls.fillna({"forward_s": 0.0, "forwards": 0, "backwards": 0})
    rest_s = calls["compute_s"] - calls["forwards"] * calls["forward_s"]
    each_s = rest_s / calls["backwards"].where(calls["backwards"] > 0)
    whole = calls.index.isin(pd.MultiIndex.from_frame(updates.loc[~is_diverged, _CALL]))
    times = (each_s / calls["forward_s"])[whole].groupby(level="client").median()
    usual_s = calls["forward_s"] * times.reindex(calls.index.get_level_values("client")).to_numpy()
    calls["backward_s"] = each_s.where(whole | usual_s.isna(), usual_s)
    left_s = rest_s - calls["backwards"] * calls["backward_s"].fillna(0.0)
    calls["left_s"] = left_s.where(~whole, 0.0)
    return _Steps(up, down, updates[is_diverged], calls, _latency_s(sent, calls))


def _latency_s(sent: pd.DataFrame, calls: pd.DataFrame) -> float:
    """From the end of a transfer to its arrival: as from the model's downlink to the begin of computing."""
    models = of_updates(sent[sent["direction"] == "down"])
    alone = models[models["client"] >= 0].groupby(_CALL)["t_end_s"].max().reindex(calls.index)
    together = models[models["client"] < 0].groupby("round")["t_end_s"].max()
    ended_s = alone.fillna(pd.Series(together.reindex(calls.index.get_level_values("round")).to_numpy(), calls.index))
    latency_s = (calls["compute_start_s"] - ended_s).median()
    return 0.0 if np.isnan(latency_s) else float(latency_s)


def _passes(steps: _Steps) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The forward and the backward passes: ``round, client, step, start_s, end_s``."""
    up, calls = steps.up.join(steps.calls, on=_CALL), steps.calls
    forward = up[[*_CALL, "step"]].assign(start_s=up["t_request_s"] - up["forward_s"], end_s=up["t_request_s"])
    got = steps.down[steps.down["outcome"] == "delivered"].join(calls, on=_CALL)
    start_s = got["t_end_s"] + steps.latency_s
    backward = got[[*_CALL, "step"]].assign(start_s=start_s, end_s=start_s + got["backward_s"])
    last = got["step"] == got.groupby(_CALL)["step"].transform("max")
    backward.loc[last, "end_s"] += got.loc[last, "left_s"].clip(upper=0.0)
    begun = _begun(steps, forward, backward)
    return (pd.concat([forward, begun], ignore_index=True) if len(begun) else forward), backward


def _begun(steps: _Steps, forward: pd.DataFrame, backward: pd.DataFrame) -> pd.DataFrame:
    """Forward passes whose activations were never sent: the client left, or its training diverged."""
    rows = []
    for (number, client), call in steps.calls[steps.calls["left_s"] > SAME_TIME_S].iterrows():
        step, left_s = call["forwards"] + 1, call["left_s"]
        diverged = _of(steps.diverged, number, client)["t_request_s"]
        others = forward[(forward["round"] == number) & (forward["step"] == step)]["start_s"]
        before = [_of(backward, number, client)["end_s"]]
        before += [_of(sent, number, client)["t_end_s"] + steps.latency_s for sent in (steps.up, steps.down)]
        if len(diverged):
            start_s = diverged.iloc[0] - left_s
        elif step == 1:
            start_s = call["compute_start_s"]
        else:  # a step begins for all at once
            start_s = others.min() if len(others) else pd.concat(before).max()
        rows.append((number, client, step, start_s, start_s + left_s))
    return pd.DataFrame(rows, columns=forward.columns)


def _of(rows: pd.DataFrame, number: int, client: int) -> pd.DataFrame:
    return rows[(rows["round"] == number) & (rows["client"] == client)]
